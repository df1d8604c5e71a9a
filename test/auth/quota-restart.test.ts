/** kill -9 of the runtime while a quota is used up: what goes on after the restart still counts, and no more when it has ended. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import '../../local/polyfill.ts';
import { KillableRuntime } from '../support/killable-runtime.ts';
import { type ModelServer, python, startModelServer } from '../support/model-server.ts';
import { followExecution } from '../support/product.ts';

let model: ModelServer;
let dataDir: string;
let runtime: KillableRuntime;

beforeAll(async () => {
  model = await startModelServer();
  dataDir = await mkdtemp(path.join(tmpdir(), 'executor-quota-'));
  runtime = new KillableRuntime({
    DATA_DIR: dataDir,
    OPENAI_BASE_URL: model.url,
    QUOTA_EXECUTIONS_AT_ONCE: '1',
  });
});
afterAll(async () => {
  await runtime.kill();
  await model.close();
  await rm(dataDir, { recursive: true });
});

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
  let url = await runtime.start();
  const execution = (await (await post(url, 'Held')).json()) as Execution;
  await model.received(1);
  await runtime.kill();
  url = await runtime.start();
  expect((await post(url, 'Refused')).status).toBe(429);
  const follower = followExecution(url, execution);
  gate.resolve();
  await follower.ended;
  follower.close();
  expect((await post(url, 'Next')).status).toBe(202);
});
