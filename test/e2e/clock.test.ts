/** The machine's clock is set while an execution is under way: it ends well, and can be read then and ever after. */
import { PutCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { executionSchema } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { setClock } from '../support/set-clock.ts';

let product: Product;
beforeAll(async () => {
  product = await startProduct();
});
afterEach(() => setClock(0));
afterAll(() => product.close());

/** Runs a program that waits for its tests to be let go on, and sets the clock meanwhile. */
async function runWhileClockIsSet(prompt: string, ahead: number) {
  let begin = () => {};
  const gate = new Promise<void>((resolve) => {
    begin = resolve;
  });
  product.model.replyTo(prompt, python('1 / 0'), { text: python('print("done")'), gate });
  const execution = await product.start({ prompt });
  const follower = product.follow(execution);
  await follower.seen((event) => event.type === 'attempt.started' && event.attempt === 2);
  setClock(ahead);
  begin();
  await follower.ended;
  follower.close();
  return execution.execution_id;
}

test.each([
  ['30 s back', -30_000],
  ['an hour back', -3_600_000],
  ['an hour ahead', 3_600_000],
])('the clock is set %s', async (name, ahead) => {
  const id = await runWhileClockIsSet(`Clock set ${name}`, ahead);
  const read = async () => {
    const { status, body } = await product.call('GET', `/api/executions/${id}`);
    expect(status).toBe(200);
    return executionSchema.parse(body);
  };
  const ended = await read();
  expect(ended).toMatchObject({ status: 'succeeded', attempts: 2 });
  expect(ended.total_time).toBeGreaterThanOrEqual(0);
  for (const { started_at, generated_at, checked_at, run_started_at, finished_at } of ended.results) {
    const times = [ended.created_at, started_at, generated_at, checked_at, run_started_at, finished_at];
    expect(times).toEqual(times.toSorted());
  }
  const events = await product.call<{ events: unknown[] }>('GET', `/api/executions/${id}/events`);
  expect(events.status).toBe(200);
  setClock(0);
  expect(await read()).toEqual(ended);
});

test('an event that is not as events are goes out as it is, and a time below zero as none', async () => {
  product.model.replyTo('Odd records', python('print(1)'));
  const { execution_id, sequence } = await product.run({ prompt: 'Odd records' });
  const { dynamodb } = await import('../../functions/service/aws.ts');
  const { listEvents } = await import('../support/store.ts');
  const finished = (await listEvents(execution_id, 0)).at(-1);
  const put = (event: { sequence: number; [field: string]: unknown }) =>
    dynamodb.send(
      new PutCommand({
        TableName: process.env.TABLE_NAME,
        Item: {
          pk: `EXECUTION#${execution_id}`,
          sk: `EVENT#${String(event.sequence).padStart(10, '0')}`,
          ...event,
        },
      }),
    );
  const execution = finished?.type === 'execution.finished' ? finished.execution : {};
  await put({ ...finished, execution: { ...execution, total_time: -30 }, sequence });
  await put({ execution_id, sequence: sequence + 1, at: 'yesterday', type: 'of.tomorrow', mood: 'odd' });
  const answer = await product.call<{ events: object[] }>('GET', `/api/executions/${execution_id}/events`);
  expect(answer.status).toBe(200);
  expect(answer.body.events.slice(-2)).toEqual([
    { ...finished, execution: { ...execution, total_time: 0 } },
    { execution_id, sequence: sequence + 1, at: 'yesterday', type: 'of.tomorrow', mood: 'odd' },
  ]);
  expect((await product.call('GET', `/api/executions/${execution_id}`)).status).toBe(200);
});
