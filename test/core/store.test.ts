/** The store's promises: conditional writes, gapless events, paging; and the domain's transitions. */
import { UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attemptStatusesBefore, executionStatusesBefore } from '../../functions/execution/execution.ts';
import type { AttemptRecord, ExecutionRecord, Work } from '../../functions/execution/records.ts';
import { resultSchema } from '../../functions/sandbox/contract.ts';
import { parseMailboxKey } from '../../functions/sandbox/mailbox.ts';
import { type ItemWrite, writeTogether } from '../../functions/service/items.ts';
import { type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';
import { runResult } from '../support/run-result.ts';

let product: Product;
let store: typeof import('../support/store.ts');
let lifecycle: typeof import('../../functions/execution/lifecycle.ts');

beforeAll(async () => {
  product = await startProduct();
  store = await import('../support/store.ts');
  lifecycle = await import('../../functions/execution/lifecycle.ts');
});
afterAll(() => product.close());

let number = 0;
async function newExecution(changes: Partial<ExecutionRecord> = {}): Promise<ExecutionRecord> {
  number += 1;
  const record = store.newExecutionRecord({
    execution_id: `execution-${number}`,
    created_at: new Date(Date.UTC(2026, 0, 1, 0, 0, number)).toISOString(),
    ...changes,
  });
  await store.createExecution(record);
  return record;
}

async function runningWithAttempt(): Promise<[Work, AttemptRecord]> {
  const work = await openWork((await newExecution()).execution_id);
  const current = await lifecycle.nextAttempt(work);
  if (!current) throw new Error('no attempt');
  return [work, current.attempt];
}

async function openWork(id: string): Promise<Work> {
  const work = await store.openWork(id);
  if (!work) throw new Error('not open');
  return work;
}

describe('transitions', () => {
  test('no status comes after the final ones', () => {
    for (const final of ['succeeded', 'failed', 'cancelled'] as const) {
      expect(executionStatusesBefore(final)).not.toContain('succeeded');
      expect(attemptStatusesBefore(final)).not.toContain('failed');
    }
    expect(executionStatusesBefore('queued')).toEqual([]);
    expect(attemptStatusesBefore('generating')).toEqual([]);
  });

  test('an execution that has ended cannot be moved', async () => {
    const { execution_id } = await newExecution();
    await lifecycle.cancelExecution(execution_id);
    const execution = await store.getExecution(execution_id);
    if (!execution?.finished_at) throw new Error('not ended');
    const { finished_at } = execution;
    for (const status of ['succeeded', 'failed', 'cancelled'] as const) {
      const [end, counted] = store.executionEnd({ ...execution, status, finished_at }, {});
      const unmet = await writeTogether([end, counted] as ItemWrite[]);
      expect([...unmet.keys()]).toEqual([end]);
      expect(unmet.get(end as ItemWrite)).toMatchObject({ status: 'cancelled' });
    }
    expect(await store.openWork(execution_id)).toBeUndefined();
    expect(await store.getExecution(execution_id)).toMatchObject({ status: 'cancelled' });
  });

  test('of many who end an attempt one does, and it is told once', async () => {
    const [work, attempt] = await runningWithAttempt();
    const { execution } = work;
    const outcomes = Array.from({ length: 5 }, (_, index) => ({ error: `error ${index}` }));
    const ends = await Promise.all(
      outcomes.map((outcome) => lifecycle.endAttempt(work, attempt, 'failed', outcome)),
    );
    expect(ends.filter(({ ours }) => ours)).toHaveLength(1);
    const stored = await store.getAttempt(execution.execution_id, 1);
    const finished = (await store.listEvents(execution.execution_id, 0)).filter(
      ({ type }) => type === 'attempt.finished',
    );
    expect(finished).toMatchObject([{ result: { error: stored?.error } }]);
    expect(ends.map(({ record }) => record?.error)).toEqual(ends.map(() => stored?.error));
  });

  test('an execution whose time is over is gone, even if it is still in the table', async () => {
    const { dynamodb } = await import('../../functions/service/aws.ts');
    const { execution_id } = await newExecution({ owner: 'past' });
    await dynamodb.send(
      new UpdateCommand({
        TableName: process.env.TABLE_NAME,
        Key: { pk: `EXECUTION#${execution_id}`, sk: 'EXECUTION' },
        UpdateExpression: 'SET expires = :past',
        ExpressionAttributeValues: { ':past': 1 },
      }),
    );
    expect(await store.getExecution(execution_id)).toBeUndefined();
    expect(await store.listExecutions('past', 10, null)).toEqual({ executions: [], last: null });
  });

  test('an Idempotency-Key whose time is over can be used anew', async () => {
    const { dynamodb } = await import('../../functions/service/aws.ts');
    const claim = (execution_id: string) => ({ execution_id, fingerprint: 'f' });
    expect((await store.claimIdempotencyKey('somebody', 'k', claim('first'))).execution_id).toBe('first');
    expect((await store.claimIdempotencyKey('somebody', 'k', claim('second'))).execution_id).toBe('first');
    await dynamodb.send(
      new UpdateCommand({
        TableName: process.env.TABLE_NAME,
        Key: { pk: 'IDEMPOTENCY#somebody#k', sk: 'IDEMPOTENCY' },
        UpdateExpression: 'SET expires = :past',
        ExpressionAttributeValues: { ':past': 1 },
      }),
    );
    expect((await store.claimIdempotencyKey('somebody', 'k', claim('second'))).execution_id).toBe('second');
  });

  test('a sandbox that an execution has claimed is not retired', async () => {
    const { planSandbox, retireWarmSandbox } = await import('../../functions/sandbox/sandboxes.ts');
    const { sandbox_id } = await planSandbox();
    await store.setSandboxReady(sandbox_id, { isolation: {}, packages: [] });
    await store.claimSandbox(sandbox_id, 'somebody');
    await retireWarmSandbox(sandbox_id, 'too old');
    expect(await store.getSandbox(sandbox_id)).toMatchObject({ status: 'ready', execution_id: 'somebody' });
  });

  test('output that came in another order is shown in its own', async () => {
    const [{ execution, feed }, attempt] = await runningWithAttempt();
    await store.moveAttempt(attempt, 'checking');
    for (const [chunk, text] of [
      [2, 'b'],
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ] as const) {
      await feed.publishPiece({
        type: 'run.output',
        attempt: 1,
        run: 1,
        chunk,
        text,
      });
    }
    const snapshot = await store.readSnapshot(execution.execution_id);
    const { viewOfExecution } = await import('../../functions/execution/views.ts');
    if (!snapshot) throw new Error('no execution');
    const { results } = await viewOfExecution(snapshot);
    expect(results[0]?.output).toBe('abc');
  });

  test('an attempt is begun once, however many begin it', async () => {
    const { execution_id } = await newExecution();
    const works = await Promise.all(Array.from({ length: 5 }, () => openWork(execution_id)));
    const attempts = await Promise.all(works.map(lifecycle.nextAttempt));
    expect(new Set(attempts.map((current) => current?.attempt.started_at)).size).toBe(1);
    expect(attempts.filter((current) => current?.isNew)).toHaveLength(1);
    expect(await store.listAttempts(execution_id)).toHaveLength(1);
    const events = await store.listEvents(execution_id, 0);
    expect(events.filter(({ type }) => type === 'attempt.started')).toHaveLength(1);
  });

  test('an attempt that was counted when its function died is begun again', async () => {
    const { dynamodb } = await import('../../functions/service/aws.ts');
    const { execution_id } = await newExecution();
    await dynamodb.send(
      new UpdateCommand({
        TableName: process.env.TABLE_NAME,
        Key: { pk: `EXECUTION#${execution_id}`, sk: 'EXECUTION' },
        UpdateExpression: 'SET attempts = :one',
        ExpressionAttributeValues: { ':one': 1 },
      }),
    );
    const current = await lifecycle.nextAttempt(await openWork(execution_id));
    expect(current?.attempt).toMatchObject({ attempt: 1 });
  });

  test('of an execution that ends meanwhile no attempt is begun', async () => {
    const { execution_id } = await newExecution();
    const work = await openWork(execution_id);
    await lifecycle.cancelExecution(execution_id);
    expect(await lifecycle.nextAttempt(work)).toBeNull();
    expect(await store.listAttempts(execution_id)).toEqual([]);
  });

  test('a message of an earlier run changes nothing in a later one', async () => {
    const [work, begun] = await runningWithAttempt();
    await store.moveAttempt(begun, 'checking');
    const attempt = await store.moveAttempt(begun, 'waiting');
    const { sendToAnotherSandbox } = await import('../../functions/execution/recovery.ts');
    const second = await sendToAnotherSandbox(attempt);
    expect(second.run).toBe(2);
    const late = await lifecycle.moveAttempt(
      work,
      attempt,
      'running',
      () => ({}),
      () => [],
    );
    expect(late).toMatchObject({ ours: false, record: { status: 'waiting', run: 2 } });
    expect(await sendToAnotherSandbox(attempt)).toEqual(second);
  });

  test('a warm sandbox is claimed once', async () => {
    const { planSandbox } = await import('../../functions/sandbox/sandboxes.ts');
    const { sandbox_id } = await planSandbox();
    expect(await store.claimSandbox(sandbox_id, 'early')).toBe(false);
    await store.setSandboxReady(sandbox_id, { isolation: {}, packages: [] });
    const claims = await Promise.all(
      Array.from({ length: 5 }, (_, index) => store.claimSandbox(sandbox_id, `claimant ${index}`)),
    );
    expect(claims.filter((isDone) => isDone)).toHaveLength(1);
    expect((await store.listWarmSandboxes()).map((warm) => warm.sandbox_id)).not.toContain(sandbox_id);
  });
});

describe('events', () => {
  test('of many writers have numbers without gaps', async () => {
    const { execution_id } = await newExecution();
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.appendEvent(execution_id, { type: 'code.delta', attempt: 1, text: String(index) }),
      ),
    );
    const events = await store.listEvents(execution_id, 0);
    expect(events.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    expect(new Set(events.map((event) => (event.type === 'code.delta' ? event.text : ''))).size).toBe(20);
    expect((await store.listEvents(execution_id, 18)).map(({ sequence }) => sequence)).toEqual([19, 20]);
  });
});

describe('the counters', () => {
  /** Has the first write that `matches` fail, after it was done or instead of it. */
  async function failOnce(
    when: 'before' | 'after',
    matches: (input: object) => boolean,
  ): Promise<() => void> {
    const { dynamodb } = await import('../../functions/service/aws.ts');
    const name = 'failOnce';
    let failed = false;
    dynamodb.middlewareStack.add(
      (next) => async (args) => {
        if (failed || !matches(args.input)) return next(args);
        failed = true;
        if (when === 'after') await next(args);
        throw new Error('The process is killed here.');
      },
      { step: 'initialize', name, override: true },
    );
    return () => dynamodb.middlewareStack.remove(name);
  }
  const isWrite = (input: object) =>
    'TransactItems' in input || 'Item' in input || 'UpdateExpression' in input;
  const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
  const later = (created_at: string) => new Date(Date.parse(created_at) + 2_000).toISOString();
  const differences = (before: Record<string, unknown>, after: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(after).flatMap(([name, value]) => {
        const difference = Number(value) - Number(before[name] ?? 0);
        return difference === 0 ? [] : [[name, difference]];
      }),
    );
  async function counting(work: () => Promise<unknown>) {
    const before = await store.getCounters();
    await work();
    const after = await store.getCounters();
    const { total_time, ...rest } = differences(
      { ...before, ...before.errors, errors: 0 },
      { ...after, ...after.errors, errors: 0 },
    );
    return { ...rest, timed: total_time !== undefined };
  }

  test.each(['before', 'after'] as const)(
    'count a begin once, though its function dies %s the write and it is done again',
    async (when) => {
      const stop = await failOnce(when, isWrite);
      const begun = await counting(async () => {
        const changes = { execution_id: `counted-${when}` };
        await expect(newExecution(changes)).rejects.toThrow('killed');
        await newExecution(changes);
        await newExecution(changes);
      });
      stop();
      expect(begun).toEqual({ started: 1, timed: false });
    },
  );

  test.each(['before', 'after'] as const)(
    'count and tell an end once, though its function dies %s the write and it is done again and again',
    async (when) => {
      const [{ execution }, attempt] = await runningWithAttempt();
      const { execution_id } = execution;
      await store.moveAttempt(attempt, 'failed', {
        finished_at: later(attempt.started_at),
        error: 'x',
        error_category: 'exception',
        usage,
      });
      const stop = await failOnce(when, isWrite);
      const ended = await counting(async () => {
        await expect(lifecycle.endExecution(execution_id)).rejects.toThrow('killed');
        await Promise.all([lifecycle.endExecution(execution_id), lifecycle.endExecution(execution_id)]);
        await lifecycle.cancelExecution(execution_id);
      });
      stop();
      expect(ended).toEqual({
        failed: 1,
        exception: 1,
        prompt_tokens: 7,
        completion_tokens: 3,
        timed: true,
      });
      expect(await store.getExecution(execution_id)).toMatchObject({ status: 'failed' });
      const events = await store.listEvents(execution_id, 0);
      expect(events).toMatchObject([
        { type: 'attempt.started' },
        { type: 'execution.finished', execution: { status: 'failed' } },
      ]);
    },
  );

  test('are whole though many begin and end at once', async () => {
    const counts = await counting(async () => {
      const begun = await Promise.all(Array.from({ length: 20 }, () => newExecution()));
      const ids = begun.map(({ execution_id }) => execution_id);
      await Promise.all([...ids, ...ids].map((id) => lifecycle.endExecution(id)));
    });
    expect(counts).toEqual({ started: 20, failed: 20, timed: true });
  });

  test('a write that meets a transaction on the same item is tried again', async () => {
    const { dynamodb } = await import('../../functions/service/aws.ts');
    const { TransactionCanceledException } = await import('@aws-sdk/client-dynamodb');
    const name = 'conflict';
    let conflicts = 3;
    dynamodb.middlewareStack.add(
      (next) => async (args) => {
        if (conflicts === 0 || !isWrite(args.input)) return next(args);
        conflicts -= 1;
        throw new TransactionCanceledException({
          message: 'Transaction cancelled',
          $metadata: {},
          CancellationReasons: [{ Code: 'None' }, { Code: 'TransactionConflict' }],
        });
      },
      { step: 'initialize', name, override: true },
    );
    const begun = await counting(() => newExecution());
    dynamodb.middlewareStack.remove(name);
    expect([begun, conflicts]).toEqual([{ started: 1, timed: false }, 0]);
  });
});

describe('upkeep', () => {
  test('launches at once what was stored and forgotten', async () => {
    const forgotten = await newExecution({
      owner: 'forgotten',
      max_retries: 1,
      created_at: new Date().toISOString(),
    });
    product.model.reply('no code in here');
    const { handler } = await import('../../functions/triggers/maintain.ts');
    await asFunction('triggers/maintain', () => handler({}, { awsRequestId: 'test' } as never));
    const follower = product.follow(forgotten as never);
    await follower.ended;
    follower.close();
    expect(await store.getExecution(forgotten.execution_id)).toMatchObject({ status: 'failed', attempts: 1 });
  });
});

describe('the mailbox is untrusted', () => {
  const run = { execution_id: 'e-1', attempt: 2, run: 1 };
  test.each([
    ['mailbox/sandbox-1/ready.json', { sandboxId: 'sandbox-1', kind: 'ready' }],
    ['mailbox/sandbox-1/started/e-1_2-1.json', { sandboxId: 'sandbox-1', kind: 'started', run }],
    ['mailbox/sandbox-1/output/e-1_2-1/12.json', { sandboxId: 'sandbox-1', kind: 'output', run }],
    ['mailbox/sandbox-1/results/e-1_2-1.json', { sandboxId: 'sandbox-1', kind: 'results', run }],
    ['mailbox/sandbox-1/output/e-1_2-1.json', null],
    ['mailbox/sandbox-1/results/e-1_2-1/12.json', null],
    ['mailbox/sandbox-1/results/2-1.json', null],
    ['mailbox/sandbox-1/ready/e-1_2-1.json', null],
    ['mailbox/sandbox-1/artifacts/e-1_2-1/data.json', null],
    ['mailbox/sandbox-1/results/../ready.json', null],
    ['executions/1/attempts/1/code.py', null],
  ])('%s', (key, expected) => {
    expect(parseMailboxKey(key)).toEqual(expected);
  });

  const result = runResult('1-1');
  const artifact = (name: string, content_type = 'text/plain') => ({
    ...result,
    artifacts: [{ name, size: 1, content_type }],
  });

  test.each([
    ['another category', { ...result, error_category: 'model_error' }],
    ['a path upwards', artifact('../../executions/x')],
    ['an absolute path', artifact('/etc/passwd')],
    ['a hidden way up', artifact('a/../b')],
    ['a control character', artifact('a\nb')],
    ['a header in the type', artifact('a', 'text/html\r\nx: y')],
    ['endless output', { ...result, output: 'x'.repeat(3_000_000) }],
    ['negative time', { ...result, execution_time: -1 }],
  ])('a result with %s is refused', (_, document) => {
    expect(resultSchema.safeParse(document).success).toBe(false);
  });

  test('a proper result is taken', () => {
    expect(resultSchema.parse(artifact('out/plot-1.png', 'image/png')).artifacts).toHaveLength(1);
  });
});

test("an Idempotency-Key cannot run into another owner's, whatever the owners are called", async () => {
  const claim = (execution_id: string) => ({ execution_id, fingerprint: 'same' });
  await store.claimIdempotencyKey('a', 'b#c', claim('execution-of-a'));
  expect(await store.claimIdempotencyKey('a#b', 'c', claim('execution-of-a#b'))).toMatchObject({
    execution_id: 'execution-of-a#b',
  });
});
