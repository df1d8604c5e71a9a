/** The feed: every follower gets every event, whoever writes and whenever it began to follow. */
import { randomUUID } from 'node:crypto';
import { DeleteCommand, PutCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EventData } from '../../functions/events/events.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;
let store: typeof import('../support/store.ts');
let dynamodb: typeof import('../../functions/service/aws.ts').dynamodb;
/** What was posted to each WebSocket: the numbers of events. */
const posted = new Map<string, number[]>();
/** Calls to the table, by operation. */
let calls: string[] = [];

beforeAll(async () => {
  product = await startProduct();
  store = await import('../support/store.ts');
  const aws = await import('../../functions/service/aws.ts');
  dynamodb = aws.dynamodb;
  dynamodb.middlewareStack.add(
    (next, { commandName = '' }) =>
      (args) => {
        calls.push(commandName.replace('Command', ''));
        return next(args);
      },
    { step: 'initialize', name: 'calls' },
  );
  aws.connections.middlewareStack.add(
    () => async (args) => {
      const { ConnectionId = '', Data } = args.input as { ConnectionId?: string; Data?: string };
      const { events } = JSON.parse(String(Data)) as { events: { sequence: number }[] };
      const before = posted.get(ConnectionId) ?? [];
      posted.set(ConnectionId, [...before, ...events.map(({ sequence }) => sequence)]);
      return { output: { $metadata: {} }, response: {} } as never;
    },
    { step: 'initialize', name: 'posts' },
  );
});
afterAll(() => product.close());

const told: EventData = { type: 'check.passed', attempt: 1 };
const piece: EventData = { type: 'code.delta', attempt: 1, text: 'x' };

async function newFeed() {
  const id = randomUUID();
  const record = store.newExecutionRecord({ execution_id: id, owner: 'local', max_retries: 1 });
  await store.createExecution(record, [], [told]);
  return id;
}
const numbersOf = async (id: string) => (await store.listEvents(id, 0)).map(({ sequence }) => sequence);

test('a move where nobody else writes is one call, whether somebody follows or not', async () => {
  const id = await newFeed();
  await store.follow(id, 'one', 0);
  const feed = await store.Feed.open(id);
  calls = [];
  await feed.publish([told]);
  await feed.publish([told, told]);
  expect(calls).toEqual(['TransactWriteItems', 'TransactWriteItems']);
  expect(posted.get('one')).toEqual([1, 2, 3, 4]);
});

test('who begins to follow while a feed is known without him gets what comes after, and no more once he has left', async () => {
  const id = await newFeed();
  const feed = await store.Feed.open(id);
  await store.follow(id, 'late', 1);
  await feed.publish([told]);
  await feed.publishPiece(piece);
  expect(posted.get('late')).toEqual([2, 3]);
  await store.forgetConnection('late', id);
  await feed.publish([told]);
  await feed.publishPiece(piece);
  expect(posted.get('late')).toEqual([2, 3]);
  expect(await numbersOf(id)).toEqual([1, 2, 3, 4, 5]);
});

test('many writers of moves and of pieces leave no gap and lose nothing', async () => {
  const id = await newFeed();
  await store.follow(id, 'all', 0);
  const feeds = await Promise.all(Array.from({ length: 4 }, () => store.Feed.open(id)));
  await Promise.all(
    feeds.flatMap((feed) => [
      feed.publish([told]),
      feed.publishPiece(piece),
      feed.publish([told, told]),
      feed.publishPiece(piece),
    ]),
  );
  const numbers = Array.from({ length: 21 }, (_, index) => index + 1);
  expect(await numbersOf(id)).toEqual(numbers);
  expect(posted.get('all')?.toSorted((a, b) => a - b)).toEqual(numbers);
});

test('a move whose condition is not met is not told, and brings what holds', async () => {
  const id = await newFeed();
  const work = await store.openWork(id);
  if (!work) throw new Error('no work');
  const before = await store.listEvents(id, 0);
  const refused = store.sandboxAssignment({ ...work.execution, sandbox_id: 'another' }, 'mine');
  const unmet = await work.feed.publish([told], [refused]);
  expect([...unmet.keys()]).toEqual([refused]);
  expect(unmet.get(refused)).toMatchObject({ execution_id: id, status: 'queued' });
  expect(await store.listEvents(id, 0)).toEqual(before);
});

test('the feed of an earlier version, without a head, is gone on with, its followers too', async () => {
  const id = await newFeed();
  const TableName = process.env.TABLE_NAME;
  const withoutHead = () => dynamodb.send(new DeleteCommand({ TableName, Key: store.feedKey(id) }));
  await dynamodb.send(
    new PutCommand({
      TableName,
      Item: { pk: `EXECUTION#${id}`, sk: 'CONNECTION#old', connection_id: 'old' },
    }),
  );
  await withoutHead();
  await (await store.Feed.open(id)).publish([told]);
  expect(posted.get('old')).toEqual([2]);
  await withoutHead();
  await store.follow(id, 'new', 0);
  await (await store.Feed.open(id)).publish([told]);
  expect([posted.get('old'), posted.get('new')]).toEqual([
    [2, 3],
    [1, 2, 3],
  ]);
  expect(await numbersOf(id)).toEqual([1, 2, 3]);
});

test('a snapshot goes as far as its events, though the execution was read before them', async () => {
  const id = await newFeed();
  const feed = await store.Feed.open(id);
  await feed.publish([{ type: 'attempt.started', attempt: 1, total_attempts: 1 }]);
  const snapshot = await store.readSnapshot(id);
  expect(snapshot?.execution).toMatchObject({ status: 'running', attempts: 1 });
  expect(snapshot?.events.map(({ sequence }) => sequence)).toEqual([1, 2]);
});
