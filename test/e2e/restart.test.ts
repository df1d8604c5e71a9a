/** kill -9 of the runtime in mid-execution, and a restart on the same data: nothing acknowledged is lost or doubled. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { KillableRuntime } from '../support/killable-runtime.ts';
import { type ModelServer, python, startModelServer } from '../support/model-server.ts';
import { descendants, isAlive } from '../support/processes.ts';
import { followExecution } from '../support/product.ts';

let model: ModelServer;
let dataDir: string;
let runtime: KillableRuntime;

beforeEach(async () => {
  model = await startModelServer();
  dataDir = await mkdtemp(path.join(tmpdir(), 'executor-restart-'));
  runtime = new KillableRuntime({
    DATA_DIR: dataDir,
    OPENAI_BASE_URL: model.url,
    OPENAI_MODEL: 'test-model',
  });
});
afterEach(async () => {
  await runtime.kill();
  await model.close();
  await rm(dataDir, { recursive: true });
});

async function execute(url: string, request: object): Promise<Execution> {
  const response = await fetch(`${url}/api/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer: 'respond-async' },
    body: JSON.stringify(request),
  });
  return (await response.json()) as Execution;
}

const get = async (url: string, id: string) =>
  (await (await fetch(`${url}/api/executions/${id}`)).json()) as Execution;

/** Restarts on the same data and waits until the execution has ended. */
async function restartAndFinish(execution: Execution) {
  await runtime.kill();
  const url = await runtime.start();
  const follower = followExecution(url, execution);
  await follower.ended;
  follower.close();
  const sequences = follower.events.map(({ sequence }) => sequence);
  expect(sequences).toEqual(sequences.map((_, index) => index + 1));
  for (const attempt of new Set(
    follower.events.flatMap((event) => ('attempt' in event ? event.attempt : [])),
  )) {
    const finished = follower.events.filter(
      (event) => event.type === 'attempt.finished' && event.attempt === attempt,
    );
    expect(finished).toHaveLength(1);
  }
  expect(follower.events.filter(({ type }) => type === 'execution.finished')).toHaveLength(1);
  return get(url, execution.execution_id);
}

describe('kill -9 and restart', () => {
  test('while the model writes the second attempt', async () => {
    const half = { text: '```python\nprint("never f', ending: 'hang' } as const;
    model.replyTo('Kill me', python('1 / 0'), half, python('print("finished")'));
    const url = await runtime.start();
    const execution = await execute(url, { prompt: 'Kill me' });
    const follower = followExecution(url, execution);
    await follower.seen((event) => event.type === 'code.delta' && event.attempt === 2);
    const ended = await restartAndFinish(execution);
    expect(ended).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(ended.results).toMatchObject([
      { attempt: 1, error: 'ZeroDivisionError: division by zero' },
      { attempt: 2, success: true, output: 'finished\n', code: 'print("finished")' },
    ]);
  });

  test('while the code runs', async () => {
    model.replyTo('Kill me', python('import time\nprint("begun", flush=True)\ntime.sleep(1)\nprint("done")'));
    const url = await runtime.start();
    const execution = await execute(url, { prompt: 'Kill me', max_retries: 1 });
    const follower = followExecution(url, execution);
    await follower.seen(({ type }) => type === 'run.output');
    const ended = await restartAndFinish(execution);
    expect(ended).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(ended.results).toMatchObject([{ attempt: 1, success: true, output: 'begun\ndone\n' }]);
    expect(model.requests).toHaveLength(1);
  });

  test('again and again while the code runs, which is no fault of the code', async () => {
    model.replyTo(
      'Kill me often',
      python('import time\nprint("begun", flush=True)\ntime.sleep(1)\nprint("done")'),
    );
    let url = await runtime.start();
    const execution = await execute(url, { prompt: 'Kill me often', max_retries: 1 });
    for (const run of [1, 2, 3]) {
      const follower = followExecution(url, execution);
      await follower.seen((event) => event.type === 'run.output' && event.run === run);
      follower.close();
      await runtime.kill();
      url = await runtime.start();
    }
    const ended = await restartAndFinish(execution);
    expect(ended).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(model.requests).toHaveLength(1);
  });

  test('its sandboxes and their template end with it, and leave nothing', async () => {
    model.replyTo('Kill me', python('import time\nprint("begun", flush=True)\ntime.sleep(60)'));
    const url = await runtime.start();
    const follower = followExecution(url, await execute(url, { prompt: 'Kill me', timeout: 60 }));
    await follower.seen(({ type }) => type === 'run.output');
    follower.close();
    const sandboxes = descendants(runtime.pid ?? 0).filter(({ name }) => name.startsWith('sandbox'));
    const parts = ['sandbox', 'sandbox-attempt', 'sandbox-nursery', 'sandbox-zygote'];
    expect(sandboxes.map(({ name }) => name).sort()).toEqual(parts);
    const [folder = ''] = /[^" ]*sandbox-nursery-[\w-]+/.exec(sandboxes[0]?.command ?? '') ?? [];
    expect(existsSync(folder)).toBe(true);
    await runtime.kill();
    await expect.poll(() => sandboxes.filter(({ pid }) => isAlive(pid)), { timeout: 10_000 }).toEqual([]);
    expect(existsSync(folder)).toBe(false);
  });

  test('what had ended stays as it was', async () => {
    model.replyTo('Done before', python('print("kept")'));
    const url = await runtime.start();
    const execution = await execute(url, { prompt: 'Done before' });
    const follower = followExecution(url, execution);
    await follower.ended;
    const before = await get(url, execution.execution_id);
    expect(await restartAndFinish(execution)).toEqual(before);
  });
});
