/** The Python that runs the sandbox program and CheckCode. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ConfigurationError } from '../functions/service/errors.ts';
import { findEnvironment } from './python-environment.ts';

const MINIMUM = [3, 11] as const;

/**
 * The path of Python ≥ 3.11: the one that PYTHON names, else the one that `npm run packages` has made in `dataDir`, else
 * `python3`. That of the interpreter itself, as a version manager's stand-in for it costs time at every start and adds
 * to the environment. @throws ConfigurationError
 */
export async function findPython(dataDir?: string): Promise<string> {
  const named = process.env.PYTHON?.trim();
  const environment = named || dataDir === undefined ? null : await findEnvironment(dataDir);
  if (environment) return environment.python;
  const command = named || 'python3';
  const advice = `Install Python ≥ ${MINIMUM.join('.')}, or name it in PYTHON.`;
  const said = await ask(command).catch((error) => {
    throw new ConfigurationError(`${command} cannot be run. ${advice}`, { cause: error });
  });
  const [executable = command, major = '', minor = ''] = said.trim().split('\n');
  const isNewEnough = Number(major) === MINIMUM[0] && Number(minor) >= MINIMUM[1];
  if (isNewEnough) return executable;
  throw new ConfigurationError(`${command} is Python ${major}.${minor}. ${advice}`);
}

async function ask(command: string): Promise<string> {
  const script = 'import sys; print(sys.executable, *sys.version_info[:2], sep="\\n")';
  return (await promisify(execFile)(command, ['-c', script])).stdout;
}
