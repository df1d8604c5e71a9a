/** Makes the environment of python-environment.ts, with the pip of the Python that it is for. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ConfigurationError } from '../functions/service/errors.ts';
import { environmentFolder, folderInTheMaking, pythonVersion, REQUIREMENTS } from './python-environment.ts';

/** About as much as the environment takes. */
const NEEDED_MB = 800;

/** What pip says, and what is to be done about it. The first that matches counts: one fault brings others. */
const FAULTS: [pattern: RegExp, advice: string][] = [
  [
    /ensurepip is not available|No module named '?(venv|ensurepip)/,
    'This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv; or name another in PYTHON.',
  ],
  [
    /No space left on device|Disk quota exceeded/,
    `The disk is full. The packages take about ${NEEDED_MB} MB; DATA_DIR names another place for them.`,
  ],
  [
    /NewConnectionError|ConnectTimeout|ReadTimeout|timed out|Temporary failure in name resolution|Name or service not known|Network is unreachable|Connection (refused|reset|aborted)|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|ConnectionError|Could not fetch URL|\b(403|407|5\d\d) \w+ Error/,
    "The package index cannot be reached. Check the network, and the proxy and index in pip's settings (`pip config list`).",
  ],
  [
    /DO NOT MATCH THE HASHES/,
    'The package index gave other files than those that are pinned, and they were not installed. Ask another index.',
  ],
  [
    /No matching distribution found for|is not a supported wheel/,
    'Not every package has been built for this Python and machine. Python 3.11 to 3.14 on Linux (x86-64, ARM64) do: name one in PYTHON. Or use SANDBOX=docker.',
  ],
  [
    /Permission denied|Read-only file system/,
    'The data folder cannot be written to. DATA_DIR names another.',
  ],
];

/** Lines of pip that are shown where nothing better is known. */
const LINES_SHOWN = 5;

export class CommandFailed extends Error {}

export interface MakingOptions {
  /** default: the image's */
  requirements?: string;
  /** Told what is done now. */
  onStep(step: string): void;
  /** Told of what size the package is that the last step named. */
  onSize(size: string): void;
  /** Breaks it off. */
  signal: AbortSignal;
}

/**
 * Gives the folder of a new environment for `python`. Nothing is there before all is, and nothing is left behind.
 * @throws ConfigurationError that says what to do; what the signal was aborted with
 */
export async function makeEnvironment(
  dataDir: string,
  python: string,
  { requirements = REQUIREMENTS, onStep, onSize, signal }: MakingOptions,
): Promise<string> {
  const version = await pythonVersion(python);
  const folder = environmentFolder(dataDir, version, requirements);
  const inTheMaking = folderInTheMaking(dataDir);
  const total = countOf(requirements);
  let found = 0;
  try {
    onStep(`Making an environment for Python ${version}`);
    mkdirSync(path.dirname(inTheMaking), { recursive: true });
    await run(python, ['-m', 'venv', '--clear', inTheMaking], signal);
    const options = ['--only-binary', ':all:', '--require-hashes', '--progress-bar', 'off', '--retries', '2'];
    const install = ['-m', 'pip', 'install', ...options, '--requirement', requirements];
    await run(path.join(inTheMaking, 'bin/python'), install, signal, (line) => {
      const [, name] = /^Collecting ([\w.-]+)/.exec(line) ?? [];
      const [, size] = /^ +Downloading \S+ \((.+?)\)/.exec(line) ?? [];
      if (name) onStep(`Downloading ${++found} of ${total}: ${name}`);
      if (size) onSize(size);
      if (line.startsWith('Installing collected packages')) onStep('Installing what was downloaded');
    });
    publish(inTheMaking, folder);
    return folder;
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error);
  } finally {
    rmSync(inTheMaking, { recursive: true, force: true });
  }
}

/** Another run may have been quicker: what that has made is as good. */
function publish(inTheMaking: string, folder: string): void {
  try {
    renameSync(inTheMaking, folder);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

const countOf = (requirements: string) => readFileSync(requirements, 'utf8').match(/^\S+==/gm)?.length ?? 0;

/** Runs Python and tells each line that it prints. @throws CommandFailed with all of them */
async function run(
  python: string,
  args: string[],
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<void> {
  // What these name would count as installed.
  const { PYTHONPATH: _path, PYTHONHOME: _home, ...env } = process.env;
  const child = spawn(python, args, {
    env: {
      ...env,
      PIP_DISABLE_PIP_VERSION_CHECK: '1',
      PIP_NO_INPUT: '1',
      PIP_USER: '0',
      PYTHONUNBUFFERED: '1',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own, as these start processes themselves
  });
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      said.push(line);
      onLine(line);
    });
  }
  const stop = () => child.pid && process.kill(-child.pid, 'SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  child.on('error', (error) => said.push(error.message));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  signal.removeEventListener('abort', stop);
  if (code !== 0) throw new CommandFailed(said.join('\n'));
}

/** Into a sentence that says what to do, where that is known. */
export function explain(error: unknown): unknown {
  const said = error instanceof Error ? error.message : '';
  const [, advice] = FAULTS.find(([pattern]) => pattern.test(said)) ?? [];
  if (advice)
    return new ConfigurationError(`The packages could not be installed. ${advice}`, { cause: error });
  if (!(error instanceof CommandFailed)) return error;
  const last = said.trim().split('\n').slice(-LINES_SHOWN).join('\n');
  return new ConfigurationError(`The packages could not be installed. pip said:\n${last}`, { cause: error });
}
