/** kill -9 of the runtime while a quota is used up: what goes on after the restart still counts, and no more when it has ended. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Execution } from '../../functions/core/execution.ts';
import '../../local/polyfill.ts';
import { type ModelServer, python, startModelServer } from '../support/model-server.ts';
import { followExecution } from '../support/product.ts';

let model: ModelServer;
let dataDir: string;
let runtime: ChildProcess;

beforeAll(async () => {
  model = await startModelServer();
  dataDir = await mkdtemp(path.join(tmpdir(), 'executor-quota-'));
});
afterAll(async () => {
  await kill();
  await model.close();
  await rm(dataDir, { recursive: true });
});

/** Starts the runtime as a process of its own; gives its URL. */
async function start(): Promise<string> {
  runtime = spawn(process.execPath, ['--import', 'tsx', 'test/support/runtime-process.ts'], {
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      PORT: '0',
      WARM_SANDBOXES: '0',
      OPENAI_BASE_URL: model.url,
      OPENAI_API_KEY: 'test-key',
      QUOTA_EXECUTIONS_AT_ONCE: '1',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: runtime.stdout as NodeJS.ReadableStream });
  const [url] = await Promise.race([
    once(lines, 'line'),
    once(runtime, 'exit').then(() => Promise.reject(new Error('The runtime ended before it was ready.'))),
  ]);
  return String(url);
}

async function kill(): Promise<void> {
  if (runtime.exitCode !== null || runtime.signalCode !== null) return;
  runtime.kill('SIGKILL');
  await once(runtime, 'exit');
}

const post = (url: string, prompt: string) =>
  fetch(`${url}/api/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'respond-async' },
    body: JSON.stringify({ prompt }),
  });

test('a place at once is held over a restart, and free after the end', async () => {
  const gate = Promise.withResolvers<void>();
  const hangs = { text: '```python\nprint(', ending: 'hang' } as const;
  model.replyTo('Held', hangs, { text: python('print("held")'), gate: gate.promise });
  model.replyTo('Next', python('print("next")'));
  let url = await start();
  const execution = (await (await post(url, 'Held')).json()) as Execution;
  await model.received(1);
  await kill();
  url = await start();
  expect((await post(url, 'Refused')).status).toBe(429);
  const follower = followExecution(url, execution);
  gate.resolve();
  await follower.ended;
  follower.close();
  expect((await post(url, 'Next')).status).toBe(202);
});
