/** More executions than may run at once: they wait in line, in order, and beyond the end of the line callers are told so. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type ProblemBody, type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';

const AT_ONCE = 3;
const QUEUED = 17;

let product: Product;
let store: typeof import('../support/store.ts');

beforeAll(async () => {
  product = await startProduct({ executionsAtOnce: AT_ONCE, queuedExecutions: QUEUED });
  store = await import('../support/store.ts');
});
afterAll(() => product.close());

const post = <T>(prompt: string, headers: Record<string, string> = {}) =>
  product.call<T>('POST', '/api/execute', { prompt }, { prefer: 'respond-async', ...headers });

/** Resolves when as many executions run as may. */
const underWay = async () => {
  const waiting = (await store.countOpenExecutions()) - AT_ONCE;
  await expect.poll(async () => (await store.listQueuedIds()).length, { timeout: 20_000 }).toBe(waiting);
};

test('twenty at once: three run, the others wait in line and begin in its order, and no more are taken on', async () => {
  const gate = Promise.withResolvers<void>();
  const names = Array.from(
    { length: AT_ONCE + QUEUED },
    (_, number) => `Task ${String(number).padStart(2, '0')}.`,
  );
  for (const name of names) {
    product.model.replyTo(name, { text: python(`print("${name}")`), gate: gate.promise });
  }
  const started: Execution[] = [];
  for (const name of names) {
    const { status, body } = await post<Execution>(name, { 'idempotency-key': `key-of-${name.slice(5, 7)}` });
    expect(status).toBe(202);
    started.push(body);
  }
  await underWay();
  expect(product.model.requests.length).toBeLessThanOrEqual(AT_ONCE);

  const last = started.at(-1) as Execution;
  const told = () => product.get(last.execution_id);
  await expect.poll(async () => (await told()).place_in_line).toBe(QUEUED);
  expect(await told()).toMatchObject({ status: 'queued', results: [] });
  expect(await product.get(started[0]?.execution_id ?? '')).toMatchObject({
    status: 'running',
    place_in_line: null,
  });

  const refused = await post<ProblemBody>('One too many.');
  expect(refused).toMatchObject({
    status: 503,
    body: { type: 'urn:recursive-ai-executor:problem:queue-full' },
  });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  const again = await post<Execution>(names.at(-1) ?? '', { 'idempotency-key': 'key-of-19' });
  expect([again.status, again.body.execution_id]).toEqual([202, last.execution_id]);
  expect((await product.call('GET', '/api/health')).status).toBe(200);

  const cancelled = started[10] as Execution;
  expect((await product.call('DELETE', `/api/executions/${cancelled.execution_id}`)).status).toBe(200);
  const { handler } = await import('../../functions/triggers/maintain.ts');
  await asFunction('triggers/maintain', () => handler({}, { awsRequestId: 'upkeep' } as never));
  await underWay();

  const followers = started.map((execution) => product.follow(execution));
  gate.resolve();
  await Promise.all(followers.map(({ ended }) => ended));
  for (const follower of followers) follower.close();
  const ended = await Promise.all(started.map(({ execution_id }) => product.get(execution_id)));
  const outputs = ended.map(({ status, final_result }) => [status, final_result?.output]);
  expect(outputs).toEqual(
    names.map((name, number) => (number === 10 ? ['cancelled', undefined] : ['succeeded', `${name}\n`])),
  );
  const begun = product.model.requests.map(({ text }) => Number(/Task (\d\d)/.exec(text)?.[1]));
  // Those that run side by side may overtake each other.
  const late = begun.filter((number, index) =>
    begun.slice(index + 1).some((later) => later <= number - AT_ONCE),
  );
  expect(late).toEqual([]);
  expect(begun.length).toBe(names.length - 1);
  expect(await store.countOpenExecutions()).toBe(0);
});

test('many that come at the same moment do not get more places than there are', async () => {
  const gate = Promise.withResolvers<void>();
  const count = AT_ONCE + QUEUED + 5;
  for (let number = 0; number < count; number += 1) {
    product.model.replyTo(`Crowd ${number}.`, { text: python('print(1)'), gate: gate.promise });
  }
  const answers = await Promise.all(
    Array.from({ length: count }, (_, number) => post<Execution>(`Crowd ${number}.`)),
  );
  const taken = answers.filter(({ status }) => status === 202);
  expect(taken.length).toBe(AT_ONCE + QUEUED);
  expect(answers.filter(({ status }) => status === 503).length).toBe(5);
  await Promise.all(taken.map(({ body }) => product.call('DELETE', `/api/executions/${body.execution_id}`)));
  gate.resolve();
  expect(await store.countOpenExecutions()).toBe(0);
});

test.each(['StartExecution', 'Query'])(
  'what is stored is taken on, whatever fails of telling of it: %s',
  async (command) => {
    const { stepFunctions, dynamodb } = await import('../../functions/service/aws.ts');
    const stack = (command === 'Query' ? dynamodb : stepFunctions)
      .middlewareStack as typeof dynamodb.middlewareStack;
    const name = 'failOne';
    let stored = false;
    dynamodb.middlewareStack.add(
      (next, context) => async (args) => {
        const result = await next(args);
        if (context.commandName?.startsWith('TransactWrite')) stored = true;
        return result;
      },
      { step: 'initialize', name: 'watch', override: true },
    );
    stack.add(
      (next, context) => (args) => {
        if (stored && context.commandName === `${command}Command`)
          throw new Error(`${command} is out of order`);
        return next(args);
      },
      { step: 'initialize', name, override: true },
    );
    product.model.replyTo(`Without ${command}.`, python('print("all the same")'));
    const { status, body } = await post<Execution>(`Without ${command}.`);
    stack.remove(name);
    dynamodb.middlewareStack.remove('watch');
    expect([status, body.status]).toEqual([202, 'queued']);
    // What the upkeep does.
    const { launchExecution } = await import('../../functions/execution/lifecycle.ts');
    const record = await store.getExecution(body.execution_id);
    if (record?.status === 'queued') await launchExecution(record);
    const follower = product.follow(body);
    await follower.ended;
    follower.close();
    expect(await product.get(body.execution_id)).toMatchObject({
      status: 'succeeded',
      final_result: { output: 'all the same\n' },
    });
  },
);
