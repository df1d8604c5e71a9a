/** The states and events that mend what went wrong, each called as Step Functions or EventBridge would. */
import { existsSync } from 'node:fs';
import { DescribeTasksCommand } from '@aws-sdk/client-ecs';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AttemptRecord, ExecutionRecord } from '../../functions/execution/records.ts';
import type { StoredText } from '../../functions/execution/texts.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';
import { runResult } from '../support/run-result.ts';

type Handler = (event: never, context: never) => Promise<unknown>;

let product: Product;
let store: typeof import('../support/store.ts');

beforeAll(async () => {
  product = await startProduct();
  store = await import('../support/store.ts');
});
afterAll(() => product.close());

async function call(name: string, event: object): Promise<unknown> {
  const folder = existsSync(`functions/states/${name}.ts`) ? 'states' : 'triggers';
  const { handler }: { handler: Handler } = await import(`../../functions/${folder}/${name}.ts`);
  return asFunction(`${folder}/${name}`, () => handler(event as never, { awsRequestId: 'test' } as never));
}

async function upload(key: string, document: object): Promise<void> {
  const { s3 } = await import('../../functions/service/aws.ts');
  const Body = JSON.stringify(document);
  await s3.send(new PutObjectCommand({ Bucket: process.env.BUCKET_NAME, Key: key, Body }));
}

let number = 0;
/** An execution without a workflow, whose attempt waits for a sandbox that has uploaded its result already. */
async function waitingWithResult(
  output: string,
  code: StoredText = { text: 'print(1)' },
): Promise<[ExecutionRecord, AttemptRecord]> {
  const { nextAttempt } = await import('../../functions/execution/lifecycle.ts');
  number += 1;
  const id = `recovery-${number}`;
  const sandbox_id = `sandbox-recovery-${number}`;
  const now = new Date().toISOString();
  await store.createExecution(
    store.newExecutionRecord({ execution_id: id, owner: 'recovery', max_retries: 1, created_at: now }),
  );
  const work = await store.openWork(id);
  const current = work && (await nextAttempt(work));
  if (!current) throw new Error('no attempt');
  await store.createSandbox({
    sandbox_id,
    execution_id: id,
    status: 'starting',
    created_at: now,
    expires_at: now,
    start_tries: 0,
  });
  await store.assignSandbox(work.execution, sandbox_id);
  const checking = await store.moveAttempt(current.attempt, 'checking', { code });
  await upload(`mailbox/${sandbox_id}/results/${id}_1-1.json`, runResult(`${id}_1-1`, { output }));
  const execution = await store.getExecution(id);
  if (!execution) throw new Error('no execution');
  return [execution, checking];
}

test('RunCode takes a result that is there already', async () => {
  const [{ execution_id, sandbox_id = '' }, attempt] = await waitingWithResult('x'.repeat(20_000));
  const waiting = await store.moveAttempt(attempt, 'waiting');
  await store.changeAttempt(waiting, { sandbox_id: sandbox_id, task_token: 'of a life before that' });
  await call('run-code', { execution_id, attempt: 1, task_token: 'of an earlier life' });
  expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'succeeded' });
});

/** The same, of whose sandbox is known that it is ready. */
async function readyWithResult(code?: StoredText) {
  const [execution, attempt] = await waitingWithResult('done', code);
  const { execution_id, sandbox_id = '' } = execution;
  const feed = await store.Feed.open(execution_id);
  const ready = store.sandboxReady(sandbox_id, { isolation: {}, packages: [] });
  await feed.publish([{ type: 'sandbox.ready', isolation: {} }], [ready], { ready_sandbox: sandbox_id });
  return { ...execution, attempt };
}
const BEGUN = ['attempt.started', 'sandbox.ready'];
const typesOf = async (id: string) => (await store.listEvents(id, 0)).map(({ type }) => type);
const uploaded = ({ execution_id, sandbox_id }: ExecutionRecord) => ({
  Records: [{ s3: { object: { key: `mailbox/${sandbox_id}/results/${execution_id}_1-1.json` } } }],
});

describe('RunCode', () => {
  test('looks for the result itself, and does not wait for the event that brings it', async () => {
    const { execution_id } = await readyWithResult();
    await call('run-code', { execution_id, attempt: 1, task_token: 'nobody waits' });
    expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'succeeded' });
    expect(await typesOf(execution_id)).toEqual([...BEGUN, 'check.passed', 'attempt.finished']);
  });

  test('and CollectResult at once take a result in once', async () => {
    const execution = await readyWithResult();
    const { execution_id, sandbox_id = '' } = execution;
    await store.moveAttempt(execution.attempt, 'waiting', { sandbox_id, task_token: 'nobody waits' });
    await Promise.all([
      call('run-code', { execution_id, attempt: 1, task_token: 'of another life' }),
      call('collect-result', uploaded(execution)),
      call('collect-result', uploaded(execution)),
    ]);
    expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'succeeded' });
    expect(await typesOf(execution_id)).toEqual([...BEGUN, 'attempt.finished']);
  });

  test.each(['started', 'output', 'results'])(
    'and CollectResult leave alone what another sandbox, or the one of an earlier run, sends of %s',
    async (kind) => {
      const { execution_id, sandbox_id, attempt } = await readyWithResult();
      await store.moveAttempt(attempt, 'waiting', { sandbox_id, task_token: 'nobody waits' });
      const before = await typesOf(execution_id);
      const chunk = kind === 'output' ? '/1' : '';
      for (const [sandbox, run] of [
        ['sandbox-of-another', `${execution_id}_1-1`],
        [sandbox_id, `${execution_id}_1-2`],
      ]) {
        const key = `mailbox/${sandbox}/${kind}/${run}${chunk}.json`;
        await upload(key, kind === 'output' ? { chunk: 1, text: 'not mine' } : runResult(String(run)));
        await call('collect-result', { Records: [{ s3: { object: { key } } }] });
      }
      expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'waiting' });
      expect(await typesOf(execution_id)).toEqual(before);
    },
  );

  test('is left to look while it surely does, and CollectResult answers until the workflow has gone on', async () => {
    const execution = await readyWithResult();
    const { execution_id, sandbox_id } = execution;
    const { stepFunctions } = await import('../../functions/service/aws.ts');
    const answers: unknown[] = [];
    stepFunctions.middlewareStack.add(
      (next) => (args) => {
        answers.push(args.input);
        return next(args);
      },
      { step: 'initialize', name: 'answers' },
    );
    const looked_for_until = Date.now() + 5_000;
    const waiting = { sandbox_id, task_token: 'token', looked_for_until };
    const attempt = await store.moveAttempt(execution.attempt, 'waiting', waiting);
    await call('collect-result', uploaded(execution));
    expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'waiting' });
    expect(answers).toEqual([]);

    await store.changeAttempt(attempt, { looked_for_until: Date.now() });
    await call('collect-result', uploaded(execution));
    // It may have died before the answer.
    await call('collect-result', uploaded(execution));
    const output = JSON.stringify({ execution_id, attempt: 1, next: 'finish' });
    expect(answers).toEqual([
      { taskToken: 'token', output },
      { taskToken: 'token', output },
    ]);
    expect(await typesOf(execution_id)).toEqual([...BEGUN, 'attempt.finished']);
    const { endExecution } = await import('../../functions/execution/lifecycle.ts');
    await endExecution(execution_id);
    await call('collect-result', uploaded(execution));
    stepFunctions.middlewareStack.remove('answers');
    expect(answers).toHaveLength(2);
    expect(await typesOf(execution_id)).toEqual([...BEGUN, 'attempt.finished', 'execution.finished']);
  });

  test('runs no program whose text is lost', async () => {
    const { execution_id } = await readyWithResult({ key: 'executions/lost/code.py' });
    const run = call('run-code', { execution_id, attempt: 1, task_token: 'x' });
    await expect(run).rejects.toThrow('The code of this attempt is lost.');
  });

  test('says so if there is no sandbox, or none that lives, and loses no run for it', async () => {
    const { execution_id, sandbox_id = '' } = await readyWithResult();
    const run = () => call('run-code', { execution_id, attempt: 1, task_token: 'x' });
    await store.setSandboxStopped(sandbox_id);
    await expect(run()).rejects.toMatchObject({ name: 'SandboxMissing' });
    expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'checking', run: 1 });
  });
});

test('a sandbox that goes while the model writes is replaced, and no run is lost for it', async () => {
  const { loseSandbox } = await import('../../functions/sandbox/sandboxes.ts');
  const gate = Promise.withResolvers<void>();
  product.model.replyTo('Idle', python('print(1 / 0)'), { text: python('print(1)'), gate: gate.promise });
  const execution = await product.start({ prompt: 'Idle' });
  const follower = product.follow(execution);
  await follower.seen((event) => event.type === 'attempt.started' && event.attempt === 2);
  const first = (await store.getExecution(execution.execution_id))?.sandbox_id ?? '';
  await loseSandbox(first, 'for a test');
  gate.resolve();
  await follower.ended;
  follower.close();
  expect(await product.get(execution.execution_id)).toMatchObject({ status: 'succeeded', attempts: 2 });
  expect(await store.getAttempt(execution.execution_id, 2)).toMatchObject({ run: 1 });
  expect((await store.getExecution(execution.execution_id))?.sandbox_id).not.toBe(first);
});

test('RecoverRun takes a result that came late', async () => {
  const [{ execution_id, sandbox_id = '' }, attempt] = await waitingWithResult('y'.repeat(20_000));
  const waiting = await store.moveAttempt(attempt, 'waiting');
  await store.changeAttempt(waiting, { sandbox_id: sandbox_id, task_token: 'timed out' });
  const failure = { Error: 'States.Timeout' };
  expect(await call('recover-run', { execution_id, attempt: 1, failure })).toMatchObject({ next: 'finish' });
  expect(await store.getAttempt(execution_id, 1)).toMatchObject({ status: 'succeeded', run: 1 });
});

test('RecoverRun gives up where sandboxes are lost before a program runs, in words; not for withdrawn ones', async () => {
  const [{ execution_id }, checking] = await waitingWithResult('of a run that is over');
  const Cause = JSON.stringify({
    errorType: 'SandboxLost',
    errorMessage: 'The sandbox has stopped.',
    trace: [],
  });
  const failure = { Error: 'SandboxLost', Cause };
  let attempt = await store.moveAttempt(checking, 'waiting');
  const lose = async (number: number, withdrawn: boolean) => {
    const sandbox_id = `sandbox-lost-${number}`;
    const now = new Date().toISOString();
    await store.createSandbox({
      sandbox_id,
      execution_id,
      status: 'ready',
      created_at: now,
      expires_at: now,
      start_tries: 0,
    });
    await store.changeAttempt(attempt, { sandbox_id: sandbox_id, task_token: 'token' });
    await store.setSandboxStopped(sandbox_id, { withdrawn });
    await call('recover-run', { execution_id, attempt: 1, failure });
    attempt = (await store.getAttempt(execution_id, 1)) ?? attempt;
  };
  for (const number of [1, 2, 3, 4]) await lose(number, true);
  for (const number of [5, 6]) await lose(number, false);
  expect(attempt).toMatchObject({ status: 'waiting', run: 7, crashes: 0, losses: 2, lossesInAll: 2 });
  await lose(7, false);
  expect(attempt).toMatchObject({ status: 'failed', error_category: 'sandbox_error' });
  expect(attempt.error).toBe(
    'This program could not be run to its end: 3 sandboxes were lost (the last: The sandbox has stopped). Try again later.',
  );
});

test('a sandbox that sends nonsense is replaced', async () => {
  const loops = 'import time\nprint("begun", flush=True)\nwhile True:\n    time.sleep(0.01)';
  product.model.replyTo('Nonsense', python(loops));
  const execution = await product.start({ prompt: 'Nonsense', timeout: 60 });
  const follower = product.follow(execution);
  await follower.seen(({ type }) => type === 'run.output');
  const record = await store.getExecution(execution.execution_id);
  const job_id = `${execution.execution_id}_1-1`;
  await upload(`mailbox/${record?.sandbox_id}/results/${job_id}.json`, { job_id, success: 'yes' });
  await follower.seen((event) => event.type === 'run.output' && event.run === 2);
  await product.call('DELETE', `/api/executions/${execution.execution_id}`);
  await follower.ended;
  follower.close();
});

describe('WorkflowEnded', () => {
  test.each([
    ['FAILED', /report the execution_id/],
    ['TIMED_OUT', /took longer/],
  ])('ends an execution whose workflow %s', async (status, error) => {
    product.model.replyTo(`Workflow ${status}`, { text: '```python\n', ending: 'hang' });
    const execution = await product.start({ prompt: `Workflow ${status}` });
    const follower = product.follow(execution);
    await follower.seen(({ type }) => type === 'sandbox.ready');
    await call('workflow-ended', { detail: { name: execution.execution_id, status } });
    await follower.ended;
    follower.close();
    const ended = await product.get(execution.execution_id);
    expect(ended).toMatchObject({ status: 'failed', error_category: 'sandbox_error' });
    expect(ended.error).toMatch(error);
    expect(ended.results).toMatchObject([{ status: 'failed' }]);
  });

  test('leaves one alone that has ended', async () => {
    product.model.replyTo('Ended well', python('print(1)'));
    const execution = await product.run({ prompt: 'Ended well' });
    await call('workflow-ended', { detail: { name: execution.execution_id, status: 'ABORTED' } });
    expect(await product.get(execution.execution_id)).toEqual(execution);
  });
});

test('Spot is asked for the sandboxes that are started for an execution, if it is to be, and not for warm ones', async () => {
  const { planSandbox } = await import('../../functions/sandbox/sandboxes.ts');
  expect(await planSandbox('somebody')).toMatchObject({ capacity_provider: 'FARGATE' });
  process.env.SANDBOX_SPOT = 'on';
  const own = await planSandbox('somebody');
  const warm = await planSandbox();
  delete process.env.SANDBOX_SPOT;
  expect([own, warm].map((one) => one.capacity_provider)).toEqual(['FARGATE_SPOT', 'FARGATE']);
  expect(await store.getSandbox(own.sandbox_id)).toMatchObject({ capacity_provider: 'FARGATE_SPOT' });
  await store.setSandboxStopped(warm.sandbox_id);
});

describe('RecordSandbox', () => {
  const failed = { Tasks: [], Failures: [{ Reason: 'RESOURCE:FARGATE', Detail: 'no capacity' }] };

  test('has a start without a task tried again, and gives up in the end', async () => {
    const { planSandbox } = await import('../../functions/sandbox/sandboxes.ts');
    const { sandbox_id } = await planSandbox('nobody');
    const names: string[] = [];
    for (let tries = 0; tries < 8; tries += 1) {
      const event = { execution_id: 'nobody', sandbox_id, run_task: failed };
      await call('record-sandbox', event).catch((error: Error) =>
        names.push(`${error.name}: ${error.message}`),
      );
    }
    expect(names.slice(0, 7)).toEqual(Array(7).fill('SandboxNotStarted: no capacity'));
    expect(names[7]).toBe('SandboxUnavailable: No sandbox could be started: no capacity');
  });

  test('gives up one that was to replace a warm one: nobody waits for it', async () => {
    const { planSandbox } = await import('../../functions/sandbox/sandboxes.ts');
    const { sandbox_id } = await planSandbox();
    const event = { execution_id: 'somebody', sandbox_id, run_task: failed };
    expect(await call('record-sandbox', event)).toEqual({ sandbox_id });
    expect(await store.getSandbox(sandbox_id)).toMatchObject({ status: 'stopped' });
    expect(await store.listWarmSandboxes()).toEqual([]);
  });

  test('stops the task of a sandbox that was given up meanwhile', async () => {
    const { ecs } = await import('../../functions/service/aws.ts');
    const { config } = await import('../../functions/service/config.ts');
    const { planSandbox } = await import('../../functions/sandbox/sandboxes.ts');
    const { startSandboxTask } = await import('../../functions/sandbox/warm-pool.ts');
    const planned = await planSandbox('nobody');
    const { sandbox_id } = planned;
    const TaskArn = await startSandboxTask(planned);
    await store.setSandboxStopped(sandbox_id);
    const run_task = { Tasks: [{ TaskArn }], Failures: [] };
    await call('record-sandbox', { execution_id: 'nobody', sandbox_id, run_task });
    const status = async () =>
      (await ecs.send(new DescribeTasksCommand({ cluster: config.sandboxCluster, tasks: [TaskArn] })))
        .tasks?.[0]?.lastStatus;
    await expect.poll(status, { timeout: 10_000 }).toBe('STOPPED');
  });
});
