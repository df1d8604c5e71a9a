/** The warm pool and the upkeep: sandboxes that wait, are claimed once, replaced, retired, and never forgotten. */
import { DescribeTasksCommand, paginateListTasks } from '@aws-sdk/client-ecs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AwsError } from '../../local/aws/http.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';

let product: Product;
let store: typeof import('../support/store.ts');

/** What RunTask is to fail with. */
let refusal: AwsError | undefined;
/** Milliseconds from RunTask to the start of a sandbox. */
let startDelay = 0;

beforeAll(async () => {
  product = await startProduct({
    warmSandboxes: 2,
    sandboxStartDelay: () => {
      if (refusal) throw refusal;
      return startDelay;
    },
  });
  store = await import('../support/store.ts');
});
afterAll(() => product.close());

const upkeep = async () => {
  const { handler } = await import('../../functions/triggers/maintain.ts');
  await asFunction('triggers/maintain', () => handler({}, { awsRequestId: 'upkeep' } as never));
};
const ready = async (count: number) =>
  expect
    .poll(async () => (await store.listWarmSandboxes()).filter(({ status }) => status === 'ready').length, {
      timeout: 20_000,
    })
    .toBe(count);

test('an execution takes a warm sandbox and starts exactly the one that replaces it', async () => {
  await ready(2);
  const before = (await store.listWarmSandboxes()).map(({ sandbox_id }) => sandbox_id);
  product.model.replyTo('Warm', python('print(1 / 0)'), python('print("warm")'));
  const execution = await product.run({ prompt: 'Warm' });
  expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
  const { sandbox_id } = (await store.getExecution(execution.execution_id)) ?? {};
  expect(sandbox_id).toBe(before[0]);
  expect(await store.getSandbox(sandbox_id ?? '')).toMatchObject({ status: 'stopped' });
  await ready(2);
  const after = (await store.listWarmSandboxes()).map((warm) => warm.sandbox_id);
  expect(after).toContain(before[1]);
  expect(after).not.toContain(before[0]);
});

test('an execution that has a warm sandbox does not fail for want of its replacement', async () => {
  await ready(2);
  refusal = new AwsError('ClientException', 'Capacity is unavailable at this time.');
  product.model.replyTo('No capacity', python('print("all the same")'));
  const execution = await product.run({ prompt: 'No capacity' });
  expect(execution).toMatchObject({ status: 'succeeded' });
  expect(await store.listWarmSandboxes()).toHaveLength(1);
  await expect(upkeep()).rejects.toThrow(/Capacity is unavailable/);
  expect(await store.listWarmSandboxes()).toHaveLength(1);
  refusal = undefined;
  await upkeep();
});

test('more executions at once than the pool holds get sandboxes of their own', async () => {
  await ready(2);
  const names = ['one', 'two', 'three', 'four'];
  for (const name of names) product.model.replyTo(`Pool of ${name}.`, python(`print("${name}")`));
  const executions = await Promise.all(names.map((name) => product.run({ prompt: `Pool of ${name}.` })));
  expect(executions.map(({ final_result }) => final_result?.output)).toEqual(
    names.map((name) => `${name}\n`),
  );
  const records = await Promise.all(executions.map(({ execution_id }) => store.getExecution(execution_id)));
  expect(new Set(records.map((record) => record?.sandbox_id)).size).toBe(4);
});

test('the upkeep makes good what was lost', async () => {
  await ready(2);
  const [lost] = await store.listWarmSandboxes();
  await store.setSandboxStopped(lost?.sandbox_id ?? '');
  await upkeep();
  await ready(2);
});

const MINUTE = 60_000;
const fromNow = (minutes: number) => new Date(Date.now() + minutes * MINUTE).toISOString();
/** Puts a sandbox without a task at the head of the pool. */
async function pretend(sandbox_id: string, created: number, expires: number, isReady: boolean) {
  await store.createSandbox({
    sandbox_id,
    status: 'starting',
    created_at: fromNow(created),
    expires_at: fromNow(expires),
    start_tries: 0,
  });
  if (isReady) await store.setSandboxReady(sandbox_id, { isolation: {}, packages: [] });
  expect((await store.listWarmSandboxes())[0]).toMatchObject({ sandbox_id });
}

test.each([
  ['whose URLs end soon', -120, 1, true],
  ['that has not started for long', -11, 120, false],
] as const)('the upkeep retires a sandbox %s', async (_, created, expires, isReady) => {
  await ready(2);
  const id = `sandbox-retired-${isReady}`;
  await pretend(id, created, expires, isReady);
  await upkeep();
  expect(await store.getSandbox(id)).toMatchObject({ status: 'stopped' });
  await ready(2);
});

test.each([
  ['has waited for long', 'ready', -600, 120, true],
  ['may be about to start', 'starting', -9, 120, false],
] as const)('the upkeep keeps a sandbox that %s', async (_, status, created, expires, isReady) => {
  await ready(2);
  const id = `sandbox-kept-${isReady}`;
  await pretend(id, created, expires, isReady);
  await upkeep();
  expect(await store.getSandbox(id)).toMatchObject({ status });
  await store.setSandboxStopped(id);
  await upkeep();
  await ready(2);
});

test.each([
  ['whose URLs end soon', -120, 1, true],
  ['that is not ready', -9, 120, false],
] as const)('no execution takes a sandbox %s', async (_, created, expires, isReady) => {
  await ready(2);
  const id = `sandbox-left-${isReady}`;
  await pretend(id, created, expires, isReady);
  product.model.replyTo('Not that one', { text: '', ending: 'hang' });
  const { execution_id } = await product.start({ prompt: 'Not that one' });
  const given = async () => (await store.getExecution(execution_id))?.sandbox_id;
  await expect.poll(given, { timeout: 20_000 }).toBeDefined();
  await product.call('DELETE', `/api/executions/${execution_id}`);
  await store.setSandboxStopped(id);
  expect(await given()).not.toBe(id);
  await upkeep();
  await ready(2);
});

test('the upkeep stops a task that nobody waits for', async () => {
  const { ecs } = await import('../../functions/service/aws.ts');
  const { config } = await import('../../functions/service/config.ts');
  const { createMailbox } = await import('../../functions/sandbox/mailbox.ts');
  const { startSandboxTask } = await import('../../functions/sandbox/warm-pool.ts');
  const manifest_url = await createMailbox('sandbox-orphan', new Date(Date.now() + 3_600_000));
  const orphan = await startSandboxTask({
    sandbox_id: 'sandbox-orphan',
    manifest_url,
    capacity_provider: 'FARGATE',
  });
  await upkeep();
  const status = async () => {
    const described = await ecs.send(
      new DescribeTasksCommand({ cluster: config.sandboxCluster, tasks: [orphan] }),
    );
    return described.tasks?.[0]?.lastStatus;
  };
  await expect.poll(status, { timeout: 10_000 }).toBe('STOPPED');
  await ready(2);
});

test('the upkeep stops every orphan of hundreds and fills the pool, even if something of it fails', async () => {
  const { ecs } = await import('../../functions/service/aws.ts');
  const { config } = await import('../../functions/service/config.ts');
  const { startSandboxTask } = await import('../../functions/sandbox/warm-pool.ts');
  await ready(2);
  const kept = (await store.listWarmSandboxes()).map(({ task_arn }) => task_arn);
  startDelay = 3_600_000;
  const started = Array.from({ length: 210 }, (_, number) =>
    startSandboxTask({
      sandbox_id: `sandbox-orphan-${number}`,
      manifest_url: 'http://127.0.0.1/none',
      capacity_provider: 'FARGATE',
    }),
  );
  const orphans = await Promise.all(started);
  startDelay = 0;
  const failing = new Set(orphans.slice(0, 2));
  const name = 'failTwo';
  ecs.middlewareStack.add(
    (next) => (args) => {
      if (failing.has((args.input as { task?: string }).task ?? ''))
        throw new Error('StopTask is out of order');
      return next(args);
    },
    { step: 'initialize', name, override: true },
  );
  const [lost] = await store.listWarmSandboxes();
  await store.setSandboxStopped(lost?.sandbox_id ?? '');
  await expect(upkeep()).rejects.toThrow(/StopTask is out of order/);
  ecs.middlewareStack.remove(name);
  const listed: string[] = [];
  const input = { cluster: config.sandboxCluster };
  for await (const { taskArns = [] } of paginateListTasks({ client: ecs }, input)) listed.push(...taskArns);
  expect(orphans.filter((orphan) => listed.includes(orphan)).sort()).toEqual([...failing].sort());
  expect(listed).toContain(kept[1]);
  await ready(2);
  await upkeep();
});

test('the upkeep leaves a sandbox alone that serves an execution', async () => {
  const loops = 'import time\nprint("begun", flush=True)\nwhile True:\n    time.sleep(0.01)';
  product.model.replyTo('Leave me', python(loops));
  const execution = await product.start({ prompt: 'Leave me', timeout: 60 });
  const follower = product.follow(execution);
  await follower.seen(({ type }) => type === 'run.output');
  await upkeep();
  const { sandbox_id = '' } = (await store.getExecution(execution.execution_id)) ?? {};
  expect(await store.getSandbox(sandbox_id)).toMatchObject({ status: 'ready' });
  expect(await product.get(execution.execution_id)).toMatchObject({ status: 'running' });
  await product.call('DELETE', `/api/executions/${execution.execution_id}`);
  await follower.ended;
  follower.close();
});

test('who removes an environment stops every sandbox of it', async () => {
  const { stopTasks } = await import('../../infra/sandbox-tasks.ts');
  const { config } = await import('../../functions/service/config.ts');
  await ready(2);
  expect(await stopTasks(config.sandboxCluster)).toBeGreaterThanOrEqual(2);
  await expect.poll(() => stopTasks(config.sandboxCluster), { timeout: 10_000 }).toBe(0);
  expect(await stopTasks('of-another-environment')).toBe(0);
});
