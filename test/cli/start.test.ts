/** `npm start` as a person meets it: what it says, what it reads, and that it leaves nothing behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { descendants, isAlive } from '../support/processes.ts';

const ROOT = process.cwd();

let folder: string;
let started: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'executor-start-'));
  started = [];
});
afterEach(async () => {
  for (const child of started) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  }
  await rm(folder, { recursive: true });
});

function start(env: Record<string, string>, cwd = folder) {
  const { OPENAI_API_KEY: _key, OPENAI_BASE_URL: _url, ...rest } = process.env;
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', path.join(ROOT, 'local/bundled.js'), path.join(ROOT, 'local/main.ts')],
    {
      cwd,
      env: { ...rest, PORT: '0', DATA_DIR: path.join(folder, 'data'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  started.push(child);
  const stderr = text(child.stderr);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  let stdout = '';
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
      if (stdout.includes('Ctrl-C')) resolve(stdout);
    });
    exited.then(async (code) => reject(new Error(`ended with ${code}: ${await stderr}`)));
  });
  ready.catch(() => undefined);
  return { child, ready, exited, stderr };
}

test('says where it listens, which model, which isolation; Ctrl-C stops everything', async () => {
  const { child, ready, exited } = start({});
  const said = await ready;
  expect(said).toMatch(/page and API\s+http:\/\/127\.0\.0\.1:\d+/);
  expect(said).toMatch(/AWS endpoint\s+http:\/\/127\.0\.0\.1:\d+/);
  expect(said).toMatch(/model\s+demo/);
  expect(said).toMatch(/isolation\s+.*seccomp on/);
  expect(said).toMatch(/packages\s+(standard library only|\S+ \d.*); Python 3\.\d+\.\d+/);
  const children = descendants(child.pid ?? 0);
  expect(children.some(({ name }) => name.startsWith('sandbox'))).toBe(true);
  child.kill('SIGINT');
  expect(await exited).toBe(0);
  await expect.poll(() => children.filter(({ pid }) => isAlive(pid))).toEqual([]);
});

test('reads .env', async () => {
  await writeFile(
    path.join(folder, '.env'),
    'OPENAI_BASE_URL=http://127.0.0.1:9/v1\nOPENAI_MODEL=from-dotenv\n',
  );
  expect(await start({}).ready).toMatch(/model\s+from-dotenv at http:\/\/127\.0\.0\.1:9\/v1/);
});

test('a busy port is named, and how to choose another', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { exited, stderr } = start({ PORT: String(port) });
  expect(await exited).toBe(1);
  expect(await stderr).toBe(
    `Port ${port} is taken by another program. Stop that, or set PORT to a free port.\n`,
  );
  server.close();
});

test('a folder in use is named', async () => {
  await start({}).ready;
  const second = start({});
  expect(await second.exited).toBe(1);
  expect(await second.stderr).toMatch(/is in use by another process: stop it, or use another DATA_DIR\.\n$/);
});

test.each([
  [{ SANDBOX: 'vm' }, 'SANDBOX must be one of auto, process, docker, unconfined, but is "vm"'],
  [{ PORT: 'http' }, 'PORT must be a whole number from 0 to 65535, but is "http"'],
  [{ MAX_RETRIES: '0' }, 'MAX_RETRIES must be a whole number from 1 to 10, but is "0"'],
  [{ SANDBOX_MEMORY_MB: '64' }, 'SANDBOX_MEMORY_MB must be a whole number from 128 to 16384, but is "64"'],
  [{ EXECUTION_TIMEOUT: '-1' }, 'EXECUTION_TIMEOUT must be a number from 0.1 to 300, but is "-1"'],
  [{ POLICY: 'lax' }, 'POLICY must be one of strict, standard, but is "lax"'],
  [{ WARM_SANDBOXES: 'many' }, 'WARM_SANDBOXES must be a whole number from 0 to 100, but is "many"'],
  [
    { PYTHON: 'no-such-python' },
    'no-such-python cannot be run. Install Python ≥ 3.11, or name it in PYTHON.',
  ],
])('%j is refused with a sentence', async (env, message) => {
  const { exited, stderr } = start(env as Record<string, string>);
  expect(await exited).toBe(1);
  expect(await stderr).toBe(`${message}\n`);
});
