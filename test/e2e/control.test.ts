/** What happens around the loop: cancelling, sandboxes that die, messages that come late, many executions at once. */
import { SFNClient, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { config } from '../../functions/service/config.ts';
import { python } from '../support/model-server.ts';
import { descendants } from '../support/processes.ts';
import { type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';
import { runResult } from '../support/run-result.ts';

let product: Product;

beforeAll(async () => {
  product = await startProduct();
});
afterAll(() => product.close());

const sandboxes = () => descendants(process.pid).filter(({ name }) => name === 'sandbox');
const running = () => sandboxes().flatMap(({ pid }) => descendants(pid));

const LOOPS = python('import time\nprint("begun", flush=True)\nwhile True:\n    time.sleep(0.01)');

async function untilRunning(execution: Execution) {
  const follower = product.follow(execution);
  await follower.seen(({ type }) => type === 'run.output');
  return follower;
}

describe('cancel', () => {
  test('while the model writes: the request to the model is given up', async () => {
    product.model.replyTo('Never answered', { text: '```python\nprint(', ending: 'hang' });
    const execution = await product.start({ prompt: 'Never answered' });
    const follower = product.follow(execution);
    await follower.seen(({ type }) => type === 'code.delta');
    const request = product.model.requests.at(-1);
    const answer = await product.call<Execution>('DELETE', `/api/executions/${execution.execution_id}`);
    expect(answer).toMatchObject({ status: 200, body: { status: 'cancelled', success: false } });
    await follower.ended;
    follower.close();
    expect(await request?.closed).toBe('by client');
    const ended = await product.get(execution.execution_id);
    expect(ended.results).toMatchObject([{ status: 'cancelled', success: false }]);
  });

  test('by an operator, who stops the workflow: the execution fails and its sandbox goes', async () => {
    product.model.replyTo('Stopped from outside', LOOPS);
    const execution = await product.start({ prompt: 'Stopped from outside', timeout: 60 });
    const follower = await untilRunning(execution);
    const executionArn = `${config.stateMachineArn.replace(':stateMachine:', ':execution:')}:${execution.execution_id}`;
    await new SFNClient().send(new StopExecutionCommand({ executionArn }));
    await follower.ended;
    follower.close();
    const ended = await product.get(execution.execution_id);
    expect(ended).toMatchObject({ status: 'failed', error_category: 'sandbox_error' });
    expect(ended.error).toMatch(/stopped by an operator/);
    await expect.poll(() => sandboxes().length + running().length).toBe(0);
  });

  test('while the code runs: its process is gone within 2 s, and late messages change nothing', async () => {
    product.model.replyTo('Runs for ever', LOOPS);
    const execution = await product.start({ prompt: 'Runs for ever', timeout: 60 });
    const follower = await untilRunning(execution);
    expect(running().length).toBeGreaterThan(0);
    const since = Date.now();
    await product.call('DELETE', `/api/executions/${execution.execution_id}`);
    await expect.poll(() => sandboxes().length + running().length, { timeout: 2_000, interval: 20 }).toBe(0);
    expect(Date.now() - since).toBeLessThan(2_000);
    await follower.ended;
    follower.close();

    const ended = await product.get(execution.execution_id);
    expect(ended.status).toBe('cancelled');
    await sendLateMessages(ended);
    expect(await product.get(execution.execution_id)).toEqual(ended);
  });

  test('again, or after the end', async () => {
    product.model.replyTo('Quick', python('print(1)'));
    const execution = await product.run({ prompt: 'Quick' });
    const answer = await product.call<{ detail: string }>(
      'DELETE',
      `/api/executions/${execution.execution_id}`,
    );
    expect(answer.status).toBe(409);
    expect(answer.body.detail).toContain('succeeded already');

    product.model.replyTo('Cancel twice', LOOPS);
    const second = await product.start({ prompt: 'Cancel twice' });
    for (const _ of [1, 2]) {
      const { status } = await product.call('DELETE', `/api/executions/${second.execution_id}`);
      expect(status).toBe(200);
    }
    const types = (await eventsOf(second)).filter((type) => type === 'execution.finished');
    expect(types).toHaveLength(1);
  });
});

async function eventsOf({ execution_id }: Execution) {
  const { body } = await product.call<{ events: { type: string }[] }>(
    'GET',
    `/api/executions/${execution_id}/events`,
  );
  return body.events.map(({ type }) => type);
}

/** All that could still arrive of an execution that has ended: each message goes to the real handler. */
async function sendLateMessages({ execution_id }: Execution) {
  const { getExecution } = await import('../support/store.ts');
  const { handler: collect } = await import('../../functions/triggers/collect-result.ts');
  const { handler: stateChange } = await import('../../functions/triggers/sandbox-state-change.ts');
  const { handler: recover } = await import('../../functions/states/recover-run.ts');
  const { handler: finish } = await import('../../functions/states/finish-execution.ts');
  const { handler: generate } = await import('../../functions/states/generate-code.ts');
  const { handler: acquire } = await import('../../functions/states/acquire-sandbox.ts');
  const { S3Client, PutObjectCommand } = await import('@aws-sdk/client-s3');
  const record = await getExecution(execution_id);
  const context = { awsRequestId: 'late' } as never;
  const job_id = `${execution_id}_1-1`;
  const key = `mailbox/${record?.sandbox_id}/results/${job_id}.json`;
  const Body = JSON.stringify(runResult(job_id, { output: 'late' }));
  await new S3Client().send(new PutObjectCommand({ Bucket: process.env.BUCKET_NAME, Key: key, Body }));
  const stopped = { lastStatus: 'STOPPED', group: record?.sandbox_id ?? '' };
  const failure = { Error: 'SandboxLost' };
  await asFunction('triggers/collect-result', () =>
    collect({ Records: [{ s3: { object: { key } } }] }, context),
  );
  await asFunction('triggers/sandbox-state-change', () => stateChange({ detail: stopped }, context));
  await asFunction('states/recover-run', () => recover({ execution_id, attempt: 1, failure }, context));
  expect(await generate({ execution_id }, context)).toMatchObject({ next: 'finish' });
  expect(await acquire({ execution_id }, context)).toEqual({ execution_id });
  await finish({ execution_id }, context);
}

describe('a sandbox that dies', () => {
  test('is replaced: the same attempt is run again, and no attempt is used up', async () => {
    product.model.replyTo('Survivor', LOOPS, python('print("second")'));
    const execution = await product.start({ prompt: 'Survivor', max_retries: 1, timeout: 2 });
    const follower = await untilRunning(execution);
    const [sandbox] = sandboxes();
    process.kill(sandbox?.pid ?? 0, 'SIGKILL');
    await follower.seen((event) => event.type === 'run.output' && event.run === 2);
    await follower.ended;
    follower.close();
    const ended = await product.get(execution.execution_id);
    expect(ended).toMatchObject({ status: 'failed', attempts: 1, error_category: 'timeout' });
    expect(ended.results).toHaveLength(1);
    expect(follower.events.filter(({ type }) => type === 'sandbox.ready')).toHaveLength(2);
  });

  test('before it has run anything is replaced too', async () => {
    const gate = Promise.withResolvers<void>();
    product.model.replyTo('Lost early', { text: python('print("fine")'), gate: gate.promise });
    const execution = await product.start({ prompt: 'Lost early' });
    const follower = product.follow(execution);
    await follower.seen(({ type }) => type === 'sandbox.ready');
    process.kill(sandboxes()[0]?.pid ?? 0, 'SIGKILL');
    gate.resolve();
    await follower.ended;
    follower.close();
    expect(await product.get(execution.execution_id)).toMatchObject({ status: 'succeeded', attempts: 1 });
  });
});

test('twenty executions at once, each with its own output and files', async () => {
  const numbers = Array.from({ length: 20 }, (_, index) => index + 1);
  for (const n of numbers) {
    const code = `with open("number.txt", "w") as file:\n    file.write("${n * n}")\nprint("square of ${n}:", ${n} ** 2)`;
    product.model.replyTo(`Task number ${n}.`, python('print(1 / 0)'), python(code));
  }
  const executions = await Promise.all(
    numbers.map((n) => product.run({ prompt: `Task number ${n}.`, policy: 'standard' })),
  );
  for (const [index, execution] of executions.entries()) {
    const n = index + 1;
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(execution.final_result?.output).toBe(`square of ${n}: ${n * n}\n`);
    const { headers } = await product.call(
      'GET',
      `/api/executions/${execution.execution_id}/artifacts/number.txt`,
    );
    expect(await (await fetch(new URL(headers.get('location') ?? '', product.url))).text()).toBe(
      String(n * n),
    );
  }
  await expect.poll(() => sandboxes().length).toBe(0);
});
