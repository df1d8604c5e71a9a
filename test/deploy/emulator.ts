/**
 * The emulator: ministack from PyPI, pinned, in a virtual environment that is kept for the next time, at a port that is
 * free. `environment` points the CLIs, the CDK and the SDK to it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../support/free-port.ts';
import { installTools } from '../support/python-tools.ts';

/** With the client that CloudFormation's own functions find in their runtime. */
const PACKAGES = ['ministack==1.5.33', 'boto3==1.43.106'];
/** Of the sandbox image's libraries those that the scenarios use. */
const LIBRARIES = ['matplotlib', 'numpy'];
const START_TIMEOUT = 60_000;

export const REGION = 'eu-central-1';
export const ACCOUNT = '123456789012';

export interface Emulator {
  url: string;
  environment: Record<string, string>;
  close(): Promise<void>;
}

/** Installs what is missing; gives the environment's Python. */
async function install(root: string): Promise<string> {
  const requirements = await readFile(path.join(root, 'sandbox-image', 'requirements.txt'), 'utf8');
  const pinned = LIBRARIES.map(
    (name) => new RegExp(`^${name}==[\\w.]+`, 'm').exec(requirements)?.[0] ?? name,
  );
  const commands = await installTools('emulator', [...PACKAGES, ...pinned]);
  return path.join(commands, 'python3');
}

/** `folder` is its own, for its files and its log. */
export async function startEmulator(root: string, folder: string): Promise<Emulator> {
  const python = await install(root);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const temporary = path.join(folder, 'tmp');
  await mkdir(temporary, { recursive: true });
  const credentials = {
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    // Twelve digits stand for an account.
    AWS_ACCESS_KEY_ID: ACCOUNT,
    AWS_SECRET_ACCESS_KEY: 'test',
  };
  const child = spawn(python, [path.join(import.meta.dirname, 'emulator.py')], {
    cwd: folder,
    env: {
      PATH: `${path.dirname(process.execPath)}:${process.env.PATH}`,
      HOME: folder,
      TMPDIR: temporary,
      ...credentials,
      MINISTACK_REGION: REGION,
      MINISTACK_ACCOUNT_ID: ACCOUNT,
      GATEWAY_PORT: String(port),
      BIND_HOST: '127.0.0.1',
      ...pick('SANDBOX_IMAGE', 'SANDBOX_IMAGE_FLAGS', 'DOCKER_HOST'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const log = createWriteStream(path.join(folder, 'emulator.log'));
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  await answering(`${url}/_ministack/health`, child, folder);
  return {
    url,
    environment: { ...credentials, AWS_ENDPOINT_URL: url },
    async close() {
      const ended = child.exitCode === null && once(child, 'exit');
      child.kill('SIGTERM');
      const killed = setTimeout(() => killGroup(child), 10_000);
      await ended;
      clearTimeout(killed);
      // Workers of its functions.
      killGroup(child);
    },
  };
}

const pick = (...names: string[]) =>
  Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid) process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function answering(url: string, child: ChildProcess, folder: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT;
  while (Date.now() < deadline && child.exitCode === null) {
    if (
      await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return;
    await sleep(100);
  }
  killGroup(child);
  throw new Error(
    `The emulator does not answer: ${await readFile(path.join(folder, 'emulator.log'), 'utf8')}`,
  );
}
