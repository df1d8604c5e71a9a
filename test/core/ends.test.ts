/**
 * The end of an execution when everything comes at once: a result, cancellations, a failure of the workflow. The actors
 * are the real ones on the real store, and the order of their calls is drawn by a seed.
 */
import { randomUUID } from 'node:crypto';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { AttemptRecord, ExecutionRecord, Work } from '../../functions/execution/records.ts';
import { interleave } from '../support/interleave.ts';
import { type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';

// Whoever looks for what another is about to do has no time to wait for, where all wait for their turns.
vi.mock('../../functions/service/look-for.ts', () => ({
  lookFor: async (look: () => Promise<unknown>) => {
    for (let looks = 0; looks < 3; looks += 1) {
      const found = await look();
      if (found !== null) return found;
    }
    return null;
  },
}));

const SEEDS = Array.from({ length: 30 }, (_, index) => index + 1);

let product: Product;
let store: typeof import('../support/store.ts');
let lifecycle: typeof import('../../functions/execution/lifecycle.ts');
let cancel: typeof import('../../functions/api/cancel-execution.ts').handler;

beforeAll(async () => {
  product = await startProduct();
  store = await import('../support/store.ts');
  lifecycle = await import('../../functions/execution/lifecycle.ts');
  cancel = (await import('../../functions/api/cancel-execution.ts')).handler;
});
afterAll(() => product.close());

async function stored(id: string): Promise<ExecutionRecord> {
  const record = store.newExecutionRecord({ execution_id: id, owner: 'local', max_retries: 3 });
  await store.createExecution(record);
  return record;
}

async function begun(id: string) {
  await stored(id);
  return working(id);
}

/** The execution and its attempt, as far as a program runs. */
async function working(id: string): Promise<[Work, AttemptRecord]> {
  const work = await store.openWork(id);
  const current = work && (await lifecycle.nextAttempt(work));
  if (!work || !current) throw new Error('no attempt');
  await store.moveAttempt(current.attempt, 'checking');
  return [work, await store.moveAttempt(current.attempt, 'waiting')];
}

/** DELETE, as the API's function does it. Gives the status of the answer. */
const cancels = (id: string) => async () => {
  const event = {
    headers: {},
    rawQueryString: '',
    requestContext: { requestId: 'r' },
    pathParameters: { id },
  } as unknown as APIGatewayProxyEventV2;
  const answer = await asFunction('api/cancel-execution', () => cancel(event, {} as never));
  return (answer as { statusCode: number }).statusCode;
};

/** The workflow from a result on: it ends the attempt and the execution, or goes on with another attempt. */
const goesOn =
  ([work, attempt]: [Work, AttemptRecord], ...outcomes: ('succeeded' | 'failed')[]) =>
  async () => {
    const { execution } = work;
    let current: [Work, AttemptRecord] | null = [work, attempt];
    for (const to of outcomes) {
      const failure = { error: 'ValueError', error_category: 'exception' } as const;
      const { record } = await lifecycle.endAttempt(...current, to, to === 'failed' ? failure : {});
      if (!record || lifecycle.stepAfter(execution, record).next === 'finish') break;
      current = await working(execution.execution_id).catch(() => null);
      if (!current) break;
    }
    if (outcomes.at(-1) === 'succeeded' || !current) await lifecycle.endExecution(execution.execution_id);
  };

const fails = (id: string) => () =>
  lifecycle.endExecution(id, { category: 'sandbox_error', error: 'The service failed.' });

/** What holds of every execution that has ended, whoever ended it. */
async function isSound(id: string, answers: number[]) {
  const [execution, attempts, events] = await Promise.all([
    store.getExecution(id),
    store.listAttempts(id),
    store.listEvents(id, 0),
  ]);
  if (!execution) throw new Error('no execution');
  const { status } = execution;
  expect(['succeeded', 'failed', 'cancelled']).toContain(status);
  expect(attempts).toHaveLength(execution.attempts);
  for (const { attempt, status: ended } of attempts) {
    expect(['succeeded', 'failed', 'cancelled']).toContain(ended);
    expect(ended === 'succeeded').toBe(attempt === attempts.length && status === 'succeeded');
  }
  const told = events.flatMap((event) => (event.type === 'attempt.finished' ? [event.result] : []));
  expect(told).toMatchObject(attempts.map(({ attempt, status: ended }) => ({ attempt, status: ended })));
  const ends = events.filter(({ type }) => type === 'execution.finished');
  expect(ends).toMatchObject([{ execution: { status, attempts: attempts.length } }]);
  expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
  expect(answers).toEqual(answers.map(() => (status === 'cancelled' ? 200 : 409)));
  return status;
}

interface Story {
  cancelledWith: string;
  actors(id: string): Promise<(() => Promise<unknown>)[]>;
  /** As what it may end. */
  ends: string[];
}

const STORIES: Story[] = [
  {
    cancelledWith: 'its success',
    actors: async (id) => [cancels(id), goesOn(await begun(id), 'succeeded')],
    ends: ['cancelled', 'succeeded'],
  },
  {
    cancelledWith: 'a failure, and the success of the next attempt',
    actors: async (id) => [cancels(id), goesOn(await begun(id), 'failed', 'succeeded')],
    ends: ['cancelled', 'succeeded'],
  },
  {
    cancelledWith: 'the beginning of its second attempt',
    actors: async (id) => [cancels(id), goesOn(await begun(id), 'failed')],
    ends: ['cancelled'],
  },
  {
    cancelledWith: 'the beginning of its first attempt',
    actors: async (id) => {
      await stored(id);
      const work = await store.openWork(id);
      return [cancels(id), async () => work && lifecycle.nextAttempt(work)];
    },
    ends: ['cancelled'],
  },
  {
    cancelledWith: 'two other cancellations',
    actors: async (id) => {
      await begun(id);
      return [cancels(id), cancels(id), cancels(id)];
    },
    ends: ['cancelled'],
  },
  {
    cancelledWith: 'its success, the failure of its workflow and another cancellation',
    actors: async (id) => {
      const start = await begun(id);
      return [cancels(id), fails(id), goesOn(start, 'succeeded'), cancels(id)];
    },
    ends: ['cancelled', 'failed', 'succeeded'],
  },
];

test.each(STORIES)(
  'an execution that is cancelled with $cancelledWith ends once, as its last attempt did',
  async ({ actors, ends }) => {
    const before = await store.getCounters();
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const id = randomUUID();
      const answers: number[] = [];
      const act = await actors(id);
      const order = await interleave(
        seed,
        act.map((actor) => async () => {
          const answer = await actor();
          if (typeof answer === 'number') answers.push(answer);
        }),
      );
      try {
        seen.add(await isSound(id, answers));
      } catch (error) {
        throw new Error(`With seed ${seed}, in the order ${order.join('')}: ${error}`, { cause: error });
      }
    }
    expect([...seen].sort()).toEqual(ends);
    const after = await store.getCounters();
    const ended = ({ succeeded, failed, cancelled }: typeof after) => succeeded + failed + cancelled;
    expect(ended(after) - ended(before)).toBe(SEEDS.length);
  },
);

test('an execution whose cancellation died halfway is cancelled by its workflow', async () => {
  const { dynamodb } = await import('../../functions/service/aws.ts');
  const { handler: generate } = await import('../../functions/states/generate-code.ts');
  const { handler: finish } = await import('../../functions/states/finish-execution.ts');
  const execution_id = randomUUID();
  await begun(execution_id);
  dynamodb.middlewareStack.add(
    (next) => async (args) => {
      if (JSON.stringify(args.input).includes('execution.finished')) throw new Error('It is killed here.');
      return next(args);
    },
    { step: 'initialize', name: 'kill', override: true },
  );
  expect(await cancels(execution_id)()).toBe(500);
  dynamodb.middlewareStack.remove('kill');
  expect(await store.getExecution(execution_id)).toMatchObject({ status: 'running' });

  const context = { awsRequestId: 'after' } as never;
  const run = (name: string, state: typeof generate | typeof finish) =>
    asFunction(`states/${name}`, () => state({ execution_id }, context));
  expect(await run('generate-code', generate)).toMatchObject({ next: 'finish' });
  await run('finish-execution', finish);
  expect(await isSound(execution_id, [])).toBe('cancelled');
  expect(await store.getExecution(execution_id)).toMatchObject({ error: 'Cancelled.', attempts: 1 });
});

test.each([1, 2, 3, 4])(
  'an attempt has ended and is told, or neither, if its function dies after %i of its calls to the store',
  async (calls) => {
    const id = randomUUID();
    const [execution, attempt] = await begun(id);
    const { dynamodb } = await import('../../functions/service/aws.ts');
    let left = calls;
    dynamodb.middlewareStack.add(
      (next) => async (args) => {
        if (left === 0) throw new Error('killed');
        left -= 1;
        return next(args);
      },
      { step: 'initialize', name: 'die', override: true },
    );
    await lifecycle.endAttempt(execution, attempt, 'succeeded').catch(() => undefined);
    dynamodb.middlewareStack.remove('die');
    const ended = await store.getAttempt(id, attempt.attempt);
    const told = (await store.listEvents(id, 0)).filter(({ type }) => type === 'attempt.finished');
    expect(told).toHaveLength(ended?.finished_at ? 1 : 0);
  },
);
