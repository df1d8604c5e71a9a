/**
 * npm run packages: gives programs on this machine the packages that the sandbox image has, in a Python environment
 * of their own under the data folder, which `npm start` and `npm run execute` then use. `--remove` removes it.
 *
 * Exit code: 0 done, 1 it could not be, 2 the command line is wrong, 130 interrupted.
 */
import { existsSync, rmSync } from 'node:fs';
import { ConfigurationError } from '../functions/service/errors.ts';
import { offeredPackages } from '../infra/sandbox-image.ts';
import { loadDotenv } from './dotenv.ts';
import { makeEnvironment } from './make-environment.ts';
import { findPython } from './python.ts';
import {
  environmentFolder,
  environmentsFolder,
  findEnvironment,
  isInUse,
  pythonVersion,
  removeOthers,
} from './python-environment.ts';
import { readSettings, type Settings, sandboxKind } from './settings.ts';

const USAGE = `Usage: npm run packages [-- --remove]

Installs the packages that the sandbox image has for programs on this machine:
${offeredPackages()
  .join(', ')
  .replaceAll(/(.{60,75}) /g, '$1\n')}.

  --remove   remove them again
  --help     this text
`;

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

class UsageError extends Error {}
class Interrupted extends Error {}

async function main(args: string[]): Promise<void> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    return;
  }
  const unknown = args.find((argument) => argument !== '--remove');
  if (unknown !== undefined) throw new UsageError(`${unknown} is not known.`);
  loadDotenv();
  const settings = readSettings();
  if (args.includes('--remove')) remove(settings);
  else await install(settings);
}

function remove({ dataDir }: Settings): void {
  const folder = environmentsFolder(dataDir);
  if (!existsSync(folder)) {
    say('There are none to remove.');
    return;
  }
  if (isInUse(folder)) throw new ConfigurationError(`${folder} is in use: stop npm start first.`);
  rmSync(folder, { recursive: true });
  say(`Removed ${folder}.`);
}

async function install(settings: Settings): Promise<void> {
  if (sandboxKind(settings) === 'docker') {
    say('Programs run in Docker here, and the image has its packages: there is nothing to install.');
    return;
  }
  const { dataDir } = settings;
  const python = await findPython();
  const version = await pythonVersion(python);
  const folder = environmentFolder(dataDir, version);
  const existing = await findEnvironment(dataDir);
  if (existing?.folder === folder) say(`They are there already, for Python ${version}: ${folder}`);
  else {
    rmSync(folder, { recursive: true, force: true }); // one that does not work
    await make(dataDir, python);
  }
  removeOthers(dataDir, folder);
  const named = process.env.PYTHON?.trim();
  say(
    named
      ? `PYTHON is set, so programs run with ${named} and do not see them. Unset it to use them.`
      : 'npm start and npm run execute use them from their next start on.',
  );
}

async function make(dataDir: string, python: string): Promise<void> {
  const progress = new Progress();
  const interruption = new AbortController();
  const interrupt = () => interruption.abort(new Interrupted());
  for (const signal of STOP_SIGNALS) process.once(signal, interrupt);
  let folder: string;
  try {
    folder = await makeEnvironment(dataDir, python, {
      onStep: (step) => progress.tell(step),
      onSize: (size) => progress.add(` (${size})`),
      signal: interruption.signal,
    });
  } finally {
    progress.end();
  }
  say(`Installed: ${folder}`);
}

/** One line that changes on a terminal; a line for each step elsewhere. */
class Progress {
  #line = '';

  tell(step: string): void {
    this.#line = step;
    this.#show();
    if (!process.stdout.isTTY) say(step);
  }

  /** Goes on with the line. */
  add(more: string): void {
    this.#line += more;
    this.#show();
  }

  /** Takes the line away. */
  end(): void {
    this.#line = '';
    this.#show();
  }

  #show(): void {
    if (!process.stdout.isTTY) return;
    process.stdout.write(`\r\x1b[K${this.#line.slice(0, process.stdout.columns - 1)}`);
  }
}

const say = (line: string) => process.stdout.write(`${line}\n`);

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else if (error instanceof Interrupted) {
    process.stderr.write(
      'Interrupted. What was downloaded is in the cache of pip, so the next run is quicker.\n',
    );
    process.exitCode = 130;
  } else if (error instanceof ConfigurationError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}
