/** What has expired is deleted by DynamoDB at some time; until then the product must not see it, and after it do without. */
import { DynamoDBClient, UpdateTimeToLiveCommand } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient, GetCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { table } from '../../functions/core/table.ts';
import { type Product, startProduct } from '../support/product.ts';

const PAST = Math.floor(Date.now() / 1000) - 60;

let product: Product;
let store: typeof import('../../functions/core/store.ts');
let items: DynamoDBDocumentClient;

beforeAll(async () => {
  product = await startProduct();
  store = await import('../../functions/core/store.ts');
  items = DynamoDBDocumentClient.from(new DynamoDBClient());
});
afterAll(() => product.close());

const claim = (fingerprint: string) =>
  store.claimIdempotencyKey('me', 'once', `for-${fingerprint}`, fingerprint);
const key = { pk: 'IDEMPOTENCY#me#once', sk: 'IDEMPOTENCY' };

test('a claim that has expired and is still there gives way to a new one', async () => {
  expect(await claim('first')).toMatchObject({ fingerprint: 'first' });
  expect(await claim('second')).toMatchObject({ fingerprint: 'first' });
  await expire();
  expect(await claim('third')).toMatchObject({ fingerprint: 'third' });
});

test('DynamoDB deletes it by the attribute that the table names, and keeps what has not expired', async () => {
  await items.send(
    new UpdateTimeToLiveCommand({
      TableName: process.env.TABLE_NAME,
      TimeToLiveSpecification: { AttributeName: table.timeToLive, Enabled: true },
    }),
  );
  await store.claimIdempotencyKey('me', 'kept', 'for-kept', 'kept');
  await expire();
  await expect.poll(read, { timeout: 60_000, interval: 500 }).toBeUndefined();
  expect(await store.claimIdempotencyKey('me', 'kept', 'other', 'other')).toMatchObject({
    fingerprint: 'kept',
  });
  expect(await claim('fourth')).toMatchObject({ fingerprint: 'fourth' });
});

const expire = () =>
  items.send(
    new UpdateCommand({
      TableName: process.env.TABLE_NAME,
      Key: key,
      UpdateExpression: 'SET expires = :past',
      ExpressionAttributeValues: { ':past': PAST },
      ConditionExpression: 'attribute_exists(pk)',
    }),
  );
const read = async () =>
  (await items.send(new GetCommand({ TableName: process.env.TABLE_NAME, Key: key, ConsistentRead: true })))
    .Item;
