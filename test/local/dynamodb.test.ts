import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ListBackupsCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import {
  DeleteCommand,
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Database } from '../../local/aws/database.ts';
import { Items } from '../../local/aws/dynamodb/items.ts';
import { type Endpoint, startEndpoint } from '../../local/aws/endpoint.ts';
import { canMount, mountSmallDisk } from '../support/small-disk.ts';
import { startTestEndpoint, temporaryFolder, testOptions } from './support.ts';

const TableName = 'things';
let endpoint: Endpoint;
let client: DynamoDBClient;
let documents: DynamoDBDocumentClient;

beforeAll(async () => {
  endpoint = await startTestEndpoint();
  client = new DynamoDBClient();
  documents = DynamoDBDocumentClient.from(client);
  await createTable(client);
});
afterAll(() => endpoint.close());

/** Makes the table and waits until it can be used, as one has to on AWS too. */
async function createTable(on: DynamoDBClient) {
  await on.send(
    new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['pk', 'sk', 'owner'].map((AttributeName) => ({
        AttributeName,
        AttributeType: 'S',
      })),
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: 'by-owner',
          KeySchema: [
            { AttributeName: 'owner', KeyType: 'HASH' },
            { AttributeName: 'sk', KeyType: 'RANGE' },
          ],
          Projection: { ProjectionType: 'ALL' },
        },
      ],
    }),
  );
  await waitUntilTableExists({ client: on, maxWaitTime: 30, minDelay: 0.02, maxDelay: 0.5 }, { TableName });
}

test('a table is there as soon as it is made', async () => {
  const { Table } = await client.send(new DescribeTableCommand({ TableName }));
  expect(Table?.TableStatus).toBe('ACTIVE');
});

test('items keep their types', async () => {
  const Item = { pk: 'a', sk: '1', number: 1.5, list: [true, null, 'ü'], bytes: new Uint8Array([0, 255]) };
  await documents.send(new PutCommand({ TableName, Item }));
  const read = await documents.send(
    new GetCommand({ TableName, Key: { pk: 'a', sk: '1' }, ConsistentRead: true }),
  );
  expect(read.Item).toEqual(Item);
});

test('a conditional write happens once, however many try', async () => {
  const claim = (owner: number) =>
    documents.send(
      new UpdateCommand({
        TableName,
        Key: { pk: 'claim', sk: '1' },
        UpdateExpression: 'SET winner = :owner',
        ConditionExpression: 'attribute_not_exists(winner)',
        ExpressionAttributeValues: { ':owner': owner },
      }),
    );
  const claims = await Promise.allSettled(Array.from({ length: 20 }, (_, owner) => claim(owner)));
  const refused = claims.filter(({ status }) => status === 'rejected');
  expect(refused).toHaveLength(19);
  expect(refused[0]).toMatchObject({ reason: { name: 'ConditionalCheckFailedException' } });
});

test('counters count every addition', async () => {
  const add = new UpdateCommand({
    TableName,
    Key: { pk: 'counter', sk: '1' },
    UpdateExpression: 'ADD hits :one',
    ExpressionAttributeValues: { ':one': 1 },
    ReturnValues: 'ALL_NEW',
  });
  const results = await Promise.all(Array.from({ length: 20 }, () => documents.send(add)));
  expect(Math.max(...results.map(({ Attributes }) => Attributes?.hits))).toBe(20);
});

test('queries page through a partition and an index, in both directions', async () => {
  const items = Array.from({ length: 5 }, (_, i) => ({ pk: 'many', sk: `k${i}`, owner: 'me', i }));
  for (const Item of items) await documents.send(new PutCommand({ TableName, Item }));
  const first = await documents.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: 'pk = :pk AND begins_with(sk, :k)',
      ExpressionAttributeValues: { ':pk': 'many', ':k': 'k' },
      Limit: 3,
    }),
  );
  expect(first.Items?.map(({ i }) => i)).toEqual([0, 1, 2]);
  const rest = await documents.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: 'pk = :pk',
      ExpressionAttributeValues: { ':pk': 'many' },
      ExclusiveStartKey: first.LastEvaluatedKey,
    }),
  );
  expect(rest.Items?.map(({ i }) => i)).toEqual([3, 4]);
  await documents.send(new DeleteCommand({ TableName, Key: { pk: 'many', sk: 'k4' } }));
  const newest = await documents.send(
    new QueryCommand({
      TableName,
      IndexName: 'by-owner',
      KeyConditionExpression: '#owner = :me',
      ExpressionAttributeNames: { '#owner': 'owner' },
      ExpressionAttributeValues: { ':me': 'me' },
      ScanIndexForward: false,
    }),
  );
  expect(newest.Items?.map(({ i }) => i)).toEqual([3, 2, 1, 0]);
});

test('an operation that is not there says what is', async () => {
  await expect(client.send(new ListBackupsCommand({ TableName }))).rejects.toMatchObject({
    name: 'UnknownOperationException',
    message: expect.stringContaining('PutItem'),
  });
});

test('bad requests get errors of DynamoDB', async () => {
  const large = { pk: 'large', sk: '1', text: 'x'.repeat(400 * 1024) };
  await expect(documents.send(new PutCommand({ TableName, Item: large }))).rejects.toMatchObject({
    name: 'ValidationException',
  });
  const missing = new GetCommand({ TableName: 'missing', Key: { pk: 'a', sk: '1' } });
  await expect(documents.send(missing)).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  const response = await fetch(endpoint.url, {
    method: 'POST',
    headers: { 'x-amz-target': 'DynamoDB_20120810.PutItem' },
  });
  expect(response.status).toBe(403);
});

test('a client that breaks off does no harm', async () => {
  const abort = new AbortController();
  const put = documents.send(
    new PutCommand({ TableName, Item: { pk: 'aborted', sk: '1', text: 'x'.repeat(300_000) } }),
    { abortSignal: abort.signal },
  );
  abort.abort();
  await expect(put).rejects.toMatchObject({ name: 'AbortError' });
  await documents.send(new PutCommand({ TableName, Item: { pk: 'after', sk: '1' } }));
});

test('a folder serves one process at a time', async () => {
  const dataDir = temporaryFolder();
  const first = await startEndpoint(testOptions({ dataDir }));
  await expect(startEndpoint(testOptions({ dataDir }))).rejects.toThrow(/in use by another process/);
  await first.close();
  await (await startEndpoint(testOptions({ dataDir }))).close();
});

test('what was answered survives a kill', async () => {
  const dataDir = temporaryFolder();
  const support = path.join(import.meta.dirname, 'support.ts');
  const script = `
    const { startTestEndpoint } = await import(${JSON.stringify(support)});
    const endpoint = await startTestEndpoint({ dataDir: ${JSON.stringify(dataDir)} });
    console.log(JSON.stringify(endpoint));`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  const { url, credentials } = JSON.parse(line) as Endpoint;
  const remote = new DynamoDBClient({ endpoint: url, credentials: { ...credentials } });
  await createTable(remote);
  await DynamoDBDocumentClient.from(remote).send(
    new PutCommand({ TableName, Item: { pk: 'kept', sk: '1' } }),
  );
  child.kill('SIGKILL');
  await once(child, 'exit');

  const again = await startEndpoint(testOptions({ dataDir }));
  expect(again.credentials).toEqual(credentials);
  const reader = DynamoDBDocumentClient.from(new DynamoDBClient({ endpoint: again.url, credentials }));
  const { Item } = await reader.send(new GetCommand({ TableName, Key: { pk: 'kept', sk: '1' } }));
  expect(Item).toEqual({ pk: 'kept', sk: '1' });
  await again.close();
});

test('expired items are removed, others stay', () => {
  const database = new Database(path.join(temporaryFolder(), 'state.sqlite'));
  const items = new Items(database);
  const table = {
    name: TableName,
    created: 0,
    keys: { partition: 'pk', sort: 'sk' },
    indexes: { work: { partition: 'work', sort: 'sk' } },
    timeToLive: 'expires',
  };
  items.putTable(table);
  const item = { pk: { S: 'a' }, sk: { S: '1' }, work: { S: 'w' } };
  items.put(table, ['a', '1'], item);
  items.put(table, ['b', '1'], { ...item, pk: { S: 'b' }, expires: { N: '1000' } });
  const found = () => {
    const range = { from: '', to: undefined, forward: true, after: undefined };
    return [...items.query({ table: TableName, index: 'work', partition: 'w', ...range })].map(
      ({ pk }) => pk,
    );
  };
  items.deleteExpired(1000);
  expect(found()).toEqual([{ S: 'a' }, { S: 'b' }]);
  items.deleteExpired(1001);
  expect(found()).toEqual([{ S: 'a' }]);
  expect(items.get(TableName, ['b', '1'])).toBeUndefined();
  expect(items.get(TableName, ['a', '1'])).toEqual(item);
  database.close();
});

test.runIf(canMount)('a full disk fails writes and loses none that succeeded', async () => {
  const disk = mountSmallDisk(8);
  try {
    const first = await startEndpoint(testOptions({ dataDir: disk.folder }));
    const on = (of: Endpoint) =>
      new DynamoDBClient({ endpoint: of.url, credentials: { ...of.credentials }, maxAttempts: 1 });
    await createTable(on(first));
    const writer = DynamoDBDocumentClient.from(on(first));
    const written = new Map<string, string>();
    const refused: unknown[] = [];
    const put = async (pk: string, text: string) => {
      try {
        await writer.send(new PutCommand({ TableName, Item: { pk, sk: '1', text } }));
        written.set(pk, text);
      } catch (error) {
        refused.push(error);
      }
    };
    for (let n = 0; n < 20; n++) await put(`before-${n}`, 'x'.repeat(2000));
    disk.fill();
    for (let n = 0; n < 40; n++) await put(`before-${n % 20}`, `changed ${n}`.padEnd(20_000));
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({ name: 'ServiceUnavailable', $fault: 'server' });
    expect(first.storage.problem).toMatch(/Make room there/);
    disk.free();
    await first.storage.whole();
    expect(first.storage.problem).toBeNull();
    refused.length = 0;
    for (let n = 0; n < 40; n++) await put(`after-${n}`, 'y'.repeat(2000));
    expect(refused).toEqual([]);
    await first.close();

    const again = await startEndpoint(testOptions({ dataDir: disk.folder }));
    const reader = DynamoDBDocumentClient.from(on(again));
    for (const [pk, text] of written) {
      const { Item } = await reader.send(new GetCommand({ TableName, Key: { pk, sk: '1' } }));
      expect(Item?.text).toBe(text);
    }
    await again.close();
  } finally {
    disk.remove();
  }
});
