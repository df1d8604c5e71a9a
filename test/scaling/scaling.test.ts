/** docs/scaling.md: its arithmetic, and the counts that it begins with. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { amountsOf } from '../../functions/execution/prices.ts';
import { modelTables } from '../bench/cloud-model.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { counted, execution, tables, typical } from './model.ts';

const text = readFileSync(new URL('../../docs/scaling.md', import.meta.url), 'utf8');

it.each(Object.entries(tables))('shows the table that the numbers give: %s', (_, table) => {
  expect(text).toContain(table);
});

it.each(Object.entries(modelTables()))('shows the table of the cloud model: %s', (_, table) => {
  expect(text).toContain(table);
});

it('has /metrics estimate the cost of an execution with the same amounts', () => {
  const { taskSeconds, ...amounts } = amountsOf({
    attempts: typical.attempts,
    generationSeconds: typical.attempts * typical.generationSeconds,
    sandboxSeconds: execution.taskSeconds,
  });
  expect(taskSeconds).toEqual([execution.taskSeconds]);
  const counts: Record<keyof typeof amounts, number> = {
    ...execution,
    apiRequests: execution.httpRequests,
    webSocketMessages: execution.webSocketMessages + execution.webSocketPosts,
  };
  for (const [name, amount] of Object.entries(amounts)) {
    const count = counts[name as keyof typeof amounts];
    expect(Math.abs(amount - count), `${name}: ${amount}, not ${count}`).toBeLessThanOrEqual(0.1 * count);
  }
});

let product: Product;
beforeAll(async () => {
  const quotas = { QUOTA_EXECUTIONS_AT_ONCE: '10', QUOTA_TOKENS_PER_DAY: '5000000' };
  // S3 tells of an upload after RunCode has seen it.
  product = await startProduct({ env: quotas, uploadEventDelay: () => 500 });
});
afterAll(() => product.close());

it('counts with what an execution really asks for', async () => {
  const { callsOf, sum, UsageMeter } = await import('../bench/usage.ts');
  const { getExecution } = await import('../support/store.ts');
  const meter = await UsageMeter.start();
  // A text costs by its length, so these are as long as programs are.
  const program = (line: string) => python(`${'# some line of a program\n'.repeat(25)}${line}`);
  product.model.reply(program('print(1 / 0)'), program('print(1)'));
  const execution = await product.start({ prompt: 'Count.' });
  const follower = product.follow(execution);
  await follower.ended;
  follower.close();
  const { sandbox_id = '' } = (await getExecution(execution.execution_id)) ?? {};
  // What follows the end: the page leaves.
  const used = () => meter.of(execution.execution_id, sandbox_id);
  const ended = ['realtime/disconnect', 'states/finish-execution'];
  await expect
    .poll(() => ended.every((name) => used().invocations.has(name)), { timeout: 10_000 })
    .toBe(true);
  // That the sandbox is ready, and what came of each run.
  await expect.poll(() => used().invocations.get('triggers/collect-result'), { timeout: 10_000 }).toBe(3);

  const usage = used();
  const deltas = follower.events.filter(({ type }) => type === 'code.delta').length;
  const real = {
    functionInvocations: sum(usage.invocations),
    dynamodbWrites: usage.writeUnits - deltas,
    dynamodbReads: usage.readUnits - deltas,
    webSocketPosts: callsOf(usage, 'WebSocket') - deltas,
    s3Writes: callsOf(usage, 'S3 Put'),
    s3Reads: callsOf(usage, 'S3 Get', 'S3 Head') - usage.looks,
  };
  for (const [name, count] of Object.entries(real)) {
    const expected = counted[name as keyof typeof counted];
    expect(Math.abs(count - expected), `${name}: ${count}, not ${expected}`).toBeLessThanOrEqual(
      Math.max(expected * 0.1, 1),
    );
  }
});
