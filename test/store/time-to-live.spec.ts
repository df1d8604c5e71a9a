/** What has expired is deleted by DynamoDB at some time; the product must not see it until then, and do without it after. */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Product, startProduct } from '../support/product.ts';

type Key = { pk: string; sk: string };

let product: Product;
let store: typeof import('../support/store.ts');
let items: DynamoDBDocumentClient;

beforeAll(async () => {
  product = await startProduct();
  store = await import('../support/store.ts');
  items = DynamoDBDocumentClient.from(new DynamoDBClient());
});
afterAll(() => product.close());

const execution = (id: string) => store.createExecution(store.newExecutionRecord({ execution_id: id }));
const keyOf = (id: string): Key => ({ pk: `EXECUTION#${id}`, sk: 'EXECUTION' });

/** As if its time had been over for a minute. */
const expire = (Key: Key) =>
  items.send(
    new UpdateCommand({
      TableName: process.env.TABLE_NAME,
      Key,
      UpdateExpression: 'SET expires = :past',
      ExpressionAttributeValues: { ':past': Math.floor(Date.now() / 1000) - 60 },
      ConditionExpression: 'attribute_exists(pk)',
    }),
  );

const read = async (Key: Key) =>
  (await items.send(new GetCommand({ TableName: process.env.TABLE_NAME, Key, ConsistentRead: true }))).Item;

test('what has expired is not seen, there or not, and gives way to what is new', async () => {
  await execution('expired');
  await expire(keyOf('expired'));
  expect(await store.getExecution('expired')).toBeUndefined();
  expect((await store.listExecutions('somebody', 10, null)).executions).toEqual([]);

  const claim = (fingerprint: string) =>
    store.claimIdempotencyKey('me', 'once', { execution_id: `for-${fingerprint}`, fingerprint });
  expect(await claim('first')).toMatchObject({ fingerprint: 'first' });
  expect(await claim('second')).toMatchObject({ fingerprint: 'first' });
  await expire({ pk: 'IDEMPOTENCY#me#once', sk: 'IDEMPOTENCY' });
  expect(await claim('third')).toMatchObject({ fingerprint: 'third' });
});

test('DynamoDB deletes it by the attribute that the table names, and keeps what has not expired', async () => {
  await execution('kept');
  await execution('gone');
  await expire(keyOf('gone'));
  // It looks for them every ten seconds.
  await expect.poll(() => read(keyOf('gone')), { timeout: 120_000, interval: 500 }).toBeUndefined();
  expect(await store.getExecution('kept')).toMatchObject({ status: 'queued' });
  expect((await store.listExecutions('somebody', 10, null)).executions).toHaveLength(1);
});
