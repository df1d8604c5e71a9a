/** The expressions and transactions of the local DynamoDB, each through the SDK as a function would send it. */
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  ScanCommand,
  TransactWriteCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../local/aws/endpoint.ts';
import { startTestEndpoint } from './support.ts';

const TableName = 'things';
let endpoint: Endpoint;
let documents: DynamoDBDocumentClient;

beforeAll(async () => {
  endpoint = await startTestEndpoint();
  const client = new DynamoDBClient();
  documents = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } });
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['pk', 'sk'].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
    }),
  );
});
afterAll(() => endpoint.close());

const put = (Item: Record<string, unknown>) => documents.send(new PutCommand({ TableName, Item }));
const read = async (pk: string, sk = '1') =>
  (await documents.send(new GetCommand({ TableName, Key: { pk, sk }, ConsistentRead: true }))).Item;

describe('conditions', () => {
  const item = {
    pk: 'condition',
    sk: '1',
    text: 'hello',
    number: 10,
    zero: 0,
    list: ['a', 2],
    map: { core: { deep: true } },
    nothing: null,
  };
  const values = { ':text': 'hello', ':he': 'he', ':ten': 10, ':nine': 9, ':a': 'a', ':true': true };
  const holds = async (ConditionExpression: string) => {
    const used = (names: string[]) =>
      names.filter((name) => new RegExp(`${name}\\b`).test(ConditionExpression));
    const ExpressionAttributeValues = Object.fromEntries(
      used(Object.keys(values)).map((name) => [name, values[name as keyof typeof values]]),
    );
    try {
      await documents.send(
        new PutCommand({
          TableName,
          Item: item,
          ConditionExpression,
          ExpressionAttributeValues:
            Object.keys(ExpressionAttributeValues).length > 0 ? ExpressionAttributeValues : undefined,
          ExpressionAttributeNames: used(['#list', '#map', '#text']).length
            ? Object.fromEntries(used(['#list', '#map', '#text']).map((name) => [name, name.slice(1)]))
            : undefined,
        }),
      );
      return true;
    } catch (error) {
      if ((error as Error).name === 'ConditionalCheckFailedException') return false;
      throw error;
    }
  };
  beforeAll(() => put(item));

  test.each([
    ['attribute_exists(pk)', true],
    ['attribute_exists(absent)', false],
    ['attribute_not_exists(absent)', true],
    ['attribute_exists(nothing)', true],
    ['attribute_exists(#map.core.deep)', true],
    ['attribute_exists(#map.core.more)', false],
    ['#text = :text', true],
    ['#text = :ten', false],
    ['absent = :text', false],
    ['absent <> :text', true],
    ['#text <> :text', false],
    ['number1 < :ten', false],
    ['zero < :nine', true],
    ['zero > :nine', false],
    [':nine <= :ten', true],
    ['#text >= :he', true],
    ['#text > :ten', false],
    ['zero BETWEEN :nine AND :ten', false],
    [':nine BETWEEN zero AND :ten', true],
    ['#text IN (:a, :text)', true],
    ['#text IN (:a, :ten)', false],
    ['begins_with(#text, :he)', true],
    ['begins_with(#text, :a)', false],
    ['contains(#text, :he)', true],
    ['contains(#list, :a)', true],
    ['contains(#list, :he)', false],
    ['size(#text) < :ten', true],
    ['size(#list) > :nine', false],
    ['#map.core.deep = :true', true],
    ['NOT attribute_exists(absent)', true],
    ['attribute_exists(pk) AND NOT (#text = :a OR #text = :he)', true],
    // AND binds closer than OR.
    ['#text = :text OR #text = :a AND #text = :he', true],
    ['(#text = :text OR #text = :a) AND #text = :he', false],
  ])('%s is %s', async (expression, expected) => {
    expect(await holds(expression)).toBe(expected);
  });
});

describe('updates', () => {
  const change = (
    pk: string,
    UpdateExpression: string,
    values: Record<string, unknown>,
    names?: Record<string, string>,
  ) =>
    documents.send(
      new UpdateCommand({
        TableName,
        Key: { pk, sk: '1' },
        UpdateExpression,
        ExpressionAttributeValues: Object.keys(values).length > 0 ? values : undefined,
        ExpressionAttributeNames: names,
        ReturnValues: 'ALL_NEW',
      }),
    );

  test('set, remove and add at once, each from what was before', async () => {
    await put({ pk: 'update', sk: '1', a: 1, b: 2, gone: 'x', map: { core: 1, more: 2 } });
    const { Attributes } = await change(
      'update',
      'SET a = b, b = a + :ten, c = if_not_exists(c, :ten), d = if_not_exists(a, :ten), #map.core = :ten REMOVE gone, #map.more ADD hits :ten',
      { ':ten': 10 },
      { '#map': 'map' },
    );
    expect(Attributes).toEqual({
      pk: 'update',
      sk: '1',
      a: 2,
      b: 11,
      c: 10,
      d: 1,
      hits: 10,
      map: { core: 10 },
    });
    expect(await read('update')).toEqual(Attributes);
  });

  test('texts are put into sets and taken out of them, and no set is empty', async () => {
    const added = await change('sets', 'ADD texts :some', { ':some': new Set(['a', 'b']) });
    expect(added.Attributes?.texts).toEqual(new Set(['a', 'b']));
    await change('sets', 'ADD texts :some', { ':some': new Set(['c', 'b']) });
    expect((await read('sets'))?.texts).toEqual(new Set(['a', 'b', 'c']));
    const taken = await change('sets', 'DELETE texts :some', { ':some': new Set(['a', 'z']) });
    expect(taken.Attributes?.texts).toEqual(new Set(['b', 'c']));
    const emptied = await change('sets', 'DELETE texts :all', { ':all': new Set(['c', 'b']) });
    expect(emptied.Attributes).toEqual({ pk: 'sets', sk: '1' });
    await expect(change('sets', 'ADD texts :text SET a = :text', { ':text': 'a' })).rejects.toThrow(
      /not supported/,
    );
  });

  test('sets are equal in any order', async () => {
    await put({ pk: 'equal', sk: '1', texts: new Set(['a', 'b']) });
    const set = (condition: Set<string>) =>
      documents.send(
        new UpdateCommand({
          TableName,
          Key: { pk: 'equal', sk: '1' },
          UpdateExpression: 'SET a = :one',
          ConditionExpression: 'texts = :texts',
          ExpressionAttributeValues: { ':one': 1, ':texts': condition },
        }),
      );
    await set(new Set(['b', 'a']));
    await expect(set(new Set(['a']))).rejects.toThrow(/conditional/);
    await expect(set(new Set(['a', 'c']))).rejects.toThrow(/conditional/);
  });

  test('an update makes the item that is missing', async () => {
    const { Attributes } = await change('made', 'ADD hits :minus', { ':minus': -1.5 });
    expect(Attributes).toEqual({ pk: 'made', sk: '1', hits: -1.5 });
  });

  test.each([
    ['SET status = :v', /reserved keyword: status/],
    ['SET a = :v, b = absent', /does not exist in the item/],
    ['SET a = :v, a = :v', /overlap/],
    ['SET a = :v SET b = :v', /only be used once/],
    ['SET pk = :v', /part of the key/],
    ['SET a = list_append(a, :v)', /list_append is not supported here/],
    ['SET a[0] = :v', /element of a list is not supported here/],
    ['DELETE a :v', /incorrect data type/],
    ['ADD a :v', /ADD of a value of type S is not supported here/],
    ['SET a = :w', /not defined; attribute value: :w/],
    ['SET #a = :v', /not defined; attribute name: #a/],
    ['SET a :v', /Syntax error; token: ":v"/],
    ['REMOVE b', /unused in expressions: keys: \{:v\}/],
    ['', /can not be empty/],
  ])('%s is refused', async (expression, message) => {
    await put({ pk: 'refused', sk: '1' });
    await expect(change('refused', expression, { ':v': 'x' })).rejects.toMatchObject({
      name: 'ValidationException',
      message: expect.stringMatching(message),
    });
    expect(await read('refused')).toEqual({ pk: 'refused', sk: '1' });
  });
});

describe('reads', () => {
  const keys = ['a', 'b', 'b1', 'b2', 'c', 'ä', '\u{1F600}'];
  beforeAll(async () => {
    for (const sk of keys) await put({ pk: 'read', sk, even: keys.indexOf(sk) % 2 === 0 });
  });
  const query = async (KeyConditionExpression: string, values: Record<string, unknown> = {}) => {
    const { Items = [] } = await documents.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression,
        ExpressionAttributeValues: { ':pk': 'read', ...values },
      }),
    );
    return Items.map(({ sk }) => sk);
  };

  test.each([
    ['pk = :pk', {}, keys],
    ['pk = :pk AND sk = :b', { ':b': 'b' }, ['b']],
    ['pk = :pk AND sk > :b', { ':b': 'b2' }, ['c', 'ä', '\u{1F600}']],
    ['pk = :pk AND sk >= :b', { ':b': 'c' }, ['c', 'ä', '\u{1F600}']],
    ['pk = :pk AND sk < :b', { ':b': 'b' }, ['a']],
    ['sk <= :b AND pk = :pk', { ':b': 'b' }, ['a', 'b']],
    ['pk = :pk AND begins_with(sk, :b)', { ':b': 'b' }, ['b', 'b1', 'b2']],
    ['(pk = :pk) AND (sk BETWEEN :b AND :c)', { ':b': 'b1', ':c': 'c' }, ['b1', 'b2', 'c']],
  ])('%s', async (expression, values, expected) => {
    expect(await query(expression, values)).toEqual(expected);
  });

  test('a filter is applied to what a page looked at', async () => {
    const page = await documents.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression: 'pk = :pk',
        FilterExpression: 'even = :true',
        ProjectionExpression: 'sk',
        ExpressionAttributeValues: { ':pk': 'read', ':true': true },
        Limit: 3,
      }),
    );
    expect(page).toMatchObject({ Items: [{ sk: 'a' }, { sk: 'b1' }], Count: 2, ScannedCount: 3 });
    expect(page.LastEvaluatedKey).toEqual({ pk: 'read', sk: 'b1' });
  });

  test('a page ends at a megabyte, and the next goes on behind it', async () => {
    for (let n = 0; n < 8; n++) await put({ pk: 'large', sk: String(n), text: 'x'.repeat(300_000) });
    const found: string[] = [];
    let start: Record<string, unknown> | undefined;
    let pages = 0;
    do {
      const page = await documents.send(
        new ScanCommand({
          TableName,
          FilterExpression: 'pk = :pk',
          ExpressionAttributeValues: { ':pk': 'large' },
          ExclusiveStartKey: start,
        }),
      );
      found.push(...(page.Items ?? []).map(({ sk }) => sk));
      start = page.LastEvaluatedKey;
      pages++;
    } while (start);
    expect(found.sort()).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
    expect(pages).toBeGreaterThan(2);
  });

  test('a query by what is no key is refused', async () => {
    await expect(query('pk = :pk AND even = :true', { ':true': true })).rejects.toMatchObject({
      message: expect.stringContaining('Query key condition not supported'),
    });
  });
});

describe('transactions', () => {
  const claim = (owner: string, token?: string) =>
    documents.send(
      new TransactWriteCommand({
        ClientRequestToken: token,
        TransactItems: [
          {
            Update: {
              TableName,
              Key: { pk: 'seat', sk: '1' },
              UpdateExpression: 'SET taken_by = :owner',
              ConditionExpression: 'attribute_not_exists(taken_by)',
              ExpressionAttributeValues: { ':owner': owner },
              ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
            },
          },
          { Put: { TableName, Item: { pk: 'ticket', sk: owner } } },
          {
            ConditionCheck: {
              TableName,
              Key: { pk: 'hall', sk: '1' },
              ConditionExpression: 'attribute_exists(pk)',
            },
          },
        ],
      }),
    );

  test('all writes or none', async () => {
    await expect(claim('early')).rejects.toMatchObject({
      name: 'TransactionCanceledException',
      CancellationReasons: [{ Code: 'None' }, { Code: 'None' }, { Code: 'ConditionalCheckFailed' }],
    });
    expect(await read('ticket', 'early')).toBeUndefined();
    await put({ pk: 'hall', sk: '1' });
    await claim('first', 'token-1');
    // The same request again, as a client sends that got no answer.
    await claim('first', 'token-1');
    await expect(claim('second')).rejects.toMatchObject({
      CancellationReasons: [
        { Code: 'ConditionalCheckFailed', Item: { taken_by: { S: 'first' } } },
        { Code: 'None' },
        { Code: 'None' },
      ],
    });
    expect(await read('ticket', 'second')).toBeUndefined();
    await expect(claim('third', 'token-1')).rejects.toMatchObject({
      name: 'IdempotentParameterMismatchException',
    });
  });

  test('of many at once each is whole', async () => {
    const transfers = Array.from({ length: 30 }, (_, n) =>
      documents.send(
        new TransactWriteCommand({
          TransactItems: ['left', 'right'].map((side) => ({
            Update: {
              TableName,
              Key: { pk: 'account', sk: side },
              UpdateExpression: 'ADD balance :by',
              ExpressionAttributeValues: { ':by': side === 'left' ? n : -n },
            },
          })),
        }),
      ),
    );
    await Promise.all(transfers);
    expect((await read('account', 'left'))?.balance).toBe(435);
    expect((await read('account', 'right'))?.balance).toBe(-435);
  });
});

test('what is not supported is refused by its name', async () => {
  const request = {
    TableName,
    Key: { pk: 'a', sk: '1' },
    AttributeUpdates: {},
  };
  await expect(documents.send(new UpdateCommand(request))).rejects.toMatchObject({
    name: 'ValidationException',
    message: expect.stringContaining('AttributeUpdates'),
  });
  await expect(put({ pk: 'set', sk: '1', set: new Set([1]) })).rejects.toMatchObject({
    message: expect.stringMatching(/types S, N, B, BOOL, NULL, SS, L and M/),
  });
  await expect(put({ pk: '', sk: '1' })).rejects.toMatchObject({
    message: expect.stringContaining('empty string'),
  });
  await expect(put({ pk: 5, sk: '1' })).rejects.toMatchObject({
    message: expect.stringContaining('expected: S'),
  });
  await expect(put({ pk: 'x'.repeat(2049), sk: '1' })).rejects.toMatchObject({
    message: expect.stringContaining('2048 bytes'),
  });
});
