/**
 * The disk below the data folder fills while executions are under way: new ones are refused, those that were acknowledged
 * wait, and all go on by themselves once there is room, also in the next life.
 */
import '../../local/polyfill.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { KillableRuntime } from '../support/killable-runtime.ts';
import { type ModelServer, python, startModelServer } from '../support/model-server.ts';
import { followExecution, type ProblemBody } from '../support/product.ts';
import { canMount, mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';

let model: ModelServer;
let disk: SmallDisk;
let runtime: KillableRuntime;

beforeEach(async (context) => {
  if (!canMount) context.skip('a small disk can only be mounted by root');
  model = await startModelServer();
  disk = mountSmallDisk(60);
  runtime = new KillableRuntime({
    DATA_DIR: disk.folder,
    OPENAI_BASE_URL: model.url,
    OPENAI_MODEL: 'test-model',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
  });
});
afterEach(async () => {
  await runtime?.kill();
  await model?.close();
  disk?.remove();
});

const post = (url: string, prompt: string) =>
  fetch(`${url}/api/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'respond-async' },
    body: JSON.stringify({ prompt }),
  });

const execute = async (url: string, prompt: string) => (await (await post(url, prompt)).json()) as Execution;

const get = async (url: string, id: string) =>
  (await (await fetch(`${url}/api/executions/${id}`)).json()) as Execution;

const ended = async (url: string, execution: Execution) => {
  const follower = followExecution(url, execution);
  await follower.ended;
  follower.close();
  return get(url, execution.execution_id);
};

test('what was acknowledged is kept and finished, new work is refused until there is room', async () => {
  const gate = Promise.withResolvers<void>();
  model.replyTo('before', python('print("before")'));
  // A reply that could not be stored is asked for again.
  const replies = Array.from({ length: 20 }, () => ({
    text: python('print("meanwhile")'),
    gate: gate.promise,
  }));
  model.replyTo('meanwhile', ...replies);
  const url = await runtime.start();
  const before = await ended(url, await execute(url, 'before'));
  expect(before.status).toBe('succeeded');
  const meanwhile = await execute(url, 'meanwhile');
  await model.received(2);

  disk.fill();
  gate.resolve();
  const refused = await post(url, 'refused');
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('10');
  const { type, detail } = (await refused.json()) as ProblemBody;
  expect(type).toBe('urn:recursive-ai-executor:problem:storage-full');
  expect(detail).toContain(disk.folder);
  const health = await fetch(`${url}/api/health`);
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ status: 'unhealthy', problem: detail });
  expect((await get(url, before.execution_id)).results).toEqual(before.results);
  // What cannot be written is told as that, whatever was asked for.
  const cancelled = await fetch(`${url}/api/executions/${meanwhile.execution_id}`, { method: 'DELETE' });
  expect(cancelled.status).toBe(503);
  expect(await cancelled.json()).toMatchObject({ type, detail });
  await expect(followExecution(url, meanwhile).ended).rejects.toThrow('503');

  disk.free();
  const late = await ended(url, meanwhile);
  expect(late).toMatchObject({ status: 'succeeded', attempts: 1 });
  await expect.poll(async () => (await fetch(`${url}/api/health`)).status).toBe(200);
  model.replyTo('after', python('print("after")'), python('print("after")'), python('print("after")'));
  const after: Execution[] = [];
  for (let n = 0; n < 3; n++) after.push(await ended(url, await execute(url, `after ${n}`)));
  expect(after.map(({ status }) => status)).toEqual(['succeeded', 'succeeded', 'succeeded']);

  await runtime.kill();
  const again = await runtime.start();
  for (const execution of [before, late, ...after])
    expect(await get(again, execution.execution_id)).toEqual(execution);
});
