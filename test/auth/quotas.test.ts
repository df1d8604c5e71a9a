/** Quotas: exact however many ask at once, given back by whatever end, and told so that a caller knows when to come again. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type Answer, type ProblemBody, type Product, startProduct } from '../support/product.ts';

let product: Product;
let quotas: typeof import('../../functions/callers/quotas.ts');
let store: typeof import('../support/store.ts');

beforeAll(async () => {
  product = await startProduct();
  quotas = await import('../../functions/callers/quotas.ts');
  store = await import('../support/store.ts');
});
afterAll(() => product.close());

type Quota = 'REQUESTS_PER_MINUTE' | 'EXECUTIONS_AT_ONCE' | 'EXECUTIONS_PER_DAY' | 'TOKENS_PER_DAY';
const allow = (quota: Quota, amount: number) => {
  process.env[`QUOTA_${quota}`] = String(amount);
};
afterEach(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith('QUOTA_')) delete process.env[name];
});

const post = (prompt: string, headers: Record<string, string> = {}) =>
  product.call<Execution>('POST', '/api/execute', { prompt }, { prefer: 'respond-async', ...headers });

function expectRefusal({ status, headers, body: problem }: Answer<unknown>, detail: RegExp) {
  const body = problem as ProblemBody;
  expect(status).toBe(429);
  expect(body.type).toBe('urn:recursive-ai-executor:problem:quota-exceeded');
  expect(body.detail).toMatch(detail);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
}

async function ended(execution: Execution): Promise<void> {
  const follower = product.follow(execution);
  await follower.ended;
  follower.close();
}

const history = async () =>
  (await product.call<{ executions: Execution[] }>('GET', '/api/executions?limit=100')).body.executions;

describe('executions at once', () => {
  test('of twenty requests at once exactly as many are let in as may be; an end and a cancellation let in others', async () => {
    allow('EXECUTIONS_AT_ONCE', 3);
    const gate = Promise.withResolvers<void>();
    product.model.replyTo(
      'One of twenty',
      ...Array(3).fill({ text: python('print(1)'), gate: gate.promise }),
    );
    const before = (await history()).length;
    const answers = await Promise.all(Array.from({ length: 20 }, () => post('One of twenty')));
    const accepted = answers.filter(({ status }) => status === 202);
    const refused = answers.filter(({ status }) => status !== 202);
    expect(accepted).toHaveLength(3);
    expect(refused).toHaveLength(17);
    for (const answer of refused) expectRefusal(answer, /3 executions under way/);
    expect(await history()).toHaveLength(before + 3);

    const [first, ...others] = accepted.map(({ body }) => body);
    await product.call('DELETE', `/api/executions/${first?.execution_id}`);
    product.model.replyTo('After a cancellation', { text: python('print(2)'), gate: gate.promise });
    const next = await post('After a cancellation');
    expect(next.status).toBe(202);
    expectRefusal(await post('One too many'), /3 executions under way/);

    gate.resolve();
    await Promise.all([...others, next.body].map(ended));
    product.model.replyTo('After an end', python('print(3)'), python('print(3)'));
    for (const answer of [await post('After an end'), await post('After an end')]) {
      expect(answer.status).toBe(202);
      await ended(answer.body);
    }
  });

  test('one that was let in and never stored holds its place for a minute only', async () => {
    allow('EXECUTIONS_AT_ONCE', 1);
    const now = new Date('2026-01-31T12:00:00Z');
    const later = (seconds: number) => new Date(now.getTime() + seconds * 1000);
    await quotas.letIn('crashed', randomUUID(), now);
    await expect(quotas.letIn('crashed', randomUUID(), later(59))).rejects.toMatchObject({ status: 429 });
    await quotas.letIn('crashed', randomUUID(), later(61));
  });
});

describe('a minute and a day', () => {
  test('are counted exactly, and begin anew', async () => {
    allow('REQUESTS_PER_MINUTE', 2);
    allow('EXECUTIONS_PER_DAY', 3);
    const at = (time: string) => quotas.letIn('clockwork', randomUUID(), new Date(`2026-01-31T${time}Z`));
    await at('23:57:10');
    await at('23:57:59.999');
    await expect(at('23:57:59.999')).rejects.toMatchObject({
      message:
        'You have started 2 executions this minute, as many as you may. Try again at 2026-01-31T23:58:00.000Z.',
      headers: { 'retry-after': '1' },
    });
    await at('23:58:00');
    await expect(at('23:59:00')).rejects.toMatchObject({
      message:
        'You have started 3 executions today, as many as you may. Try again at 2026-02-01T00:00:00.000Z.',
      headers: { 'retry-after': '60' },
    });
    await quotas.letIn('clockwork', randomUUID(), new Date('2026-02-01T00:00:00Z'));
    expect(await store.getQuota('clockwork')).toMatchObject({ requests: 1, executions: 1 });
  });

  test('hold nobody up after the clock was set back', async () => {
    allow('REQUESTS_PER_MINUTE', 1);
    const at = (time: string) => quotas.letIn('set back', randomUUID(), new Date(`${time}Z`));
    await at('2031-05-05T12:00:00');
    await at('2026-01-31T12:00:30');
    await expect(at('2026-01-31T12:00:40')).rejects.toMatchObject({ headers: { 'retry-after': '20' } });
    // Two functions whose clocks differ a little do not set each other's counts back.
    await at('2026-01-31T12:01:00');
    await expect(at('2026-01-31T12:00:59.900')).rejects.toMatchObject({ status: 429 });
  });

  test('let in no more of many at once than are left, and leave other callers alone', async () => {
    allow('EXECUTIONS_PER_DAY', 4);
    const now = new Date('2026-01-31T12:00:00Z');
    const outcomes = await Promise.allSettled(
      Array.from({ length: 12 }, () => quotas.letIn('crowd', randomUUID(), now)),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
    expect(await store.getQuota('crowd')).toMatchObject({ executions: 4 });
    await quotas.letIn('neighbour', randomUUID(), now);
  });
});

test('the same request again is not counted again, one after the other or at once', async () => {
  allow('REQUESTS_PER_MINUTE', 100);
  allow('EXECUTIONS_AT_ONCE', 1);
  const gate = Promise.withResolvers<void>();
  product.model.replyTo('Only once', { text: python('print(1)'), gate: gate.promise });
  const before = (await store.getQuota('local'))?.executions ?? 0;
  const key = { 'idempotency-key': randomUUID() };
  const answers = await Promise.all(Array.from({ length: 5 }, () => post('Only once', key)));
  answers.push(await post('Only once', key));
  expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(202));
  expect(new Set(answers.map(({ body }) => body.execution_id)).size).toBe(1);
  expect(await store.getQuota('local')).toMatchObject({ executions: before + 1 });

  const refusedKey = { 'idempotency-key': randomUUID() };
  expectRefusal(await post('Refused first', refusedKey), /under way/);
  gate.resolve();
  await ended((answers[0] as Answer<Execution>).body);
  product.model.replyTo('Refused first', python('print(1)'));
  const accepted = await post('Refused first', refusedKey);
  expect(accepted.status).toBe(202);
  await ended(accepted.body);
});

describe('tokens', () => {
  const now = new Date('2026-01-31T12:00:00Z');

  test('are booked before a generation and counted after it', async () => {
    allow('TOKENS_PER_DAY', 100);
    const booking = await quotas.bookTokens('reader', 100, now);
    await expect(quotas.bookTokens('reader', 1, now)).rejects.toMatchObject({
      message: expect.stringContaining('have used 100 tokens today'),
      headers: { 'retry-after': String(12 * 3600) },
    });
    if (booking) await quotas.settleTokens(booking, 99, now);
    const last = await quotas.bookTokens('reader', 50, now);
    expect(await store.getQuota('reader')).toMatchObject({ tokens: 149 });
    await expect(quotas.letIn('reader', randomUUID(), now)).rejects.toMatchObject({ status: 429 });

    const tomorrow = new Date('2026-02-01T00:00:00Z');
    await quotas.bookTokens('reader', 7, tomorrow);
    // Those of a generation that went on over midnight are the day's before.
    if (last) await quotas.settleTokens(last, 10, tomorrow);
    expect(await store.getQuota('reader')).toMatchObject({ tokens: 7 });
  });

  test('that are used up end an execution before its next generation, and let in no other', async () => {
    // A reply of the scripted model counts for 15.
    const before = (await store.getQuota('local'))?.tokens ?? 0;
    allow('TOKENS_PER_DAY', before + 20);
    product.model.replyTo(
      'Uses tokens',
      python('1 / 0'),
      python('2 / 0'),
      python('print("never asked for")'),
    );
    const requests = product.model.requests.length;
    const execution = await product.run({ prompt: 'Uses tokens' });
    expect(product.model.requests).toHaveLength(requests + 2);
    expect(execution).toMatchObject({ status: 'failed', attempts: 3, error_category: 'model_error' });
    expect(execution.error).toMatch(/have used \d+ tokens today/);
    expect(await store.getQuota('local')).toMatchObject({ tokens: before + 30 });
    expectRefusal(await post('One more'), /tokens today/);
  });

  test('are not counted for what the server refused', async () => {
    allow('TOKENS_PER_DAY', 1_000_000);
    const before = (await store.getQuota('local'))?.tokens ?? 0;
    product.model.replyTo('Refused by the server', { status: 401 });
    await product.run({ prompt: 'Refused by the server' });
    expect(await store.getQuota('local')).toMatchObject({ tokens: before });
  });
});

test('without quotas nothing is counted', async () => {
  await quotas.letIn('free', randomUUID());
  expect(await quotas.bookTokens('free', 1_000)).toBeNull();
  expect(await store.getQuota('free')).toBeUndefined();
});
