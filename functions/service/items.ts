/**
 * The one DynamoDB table: how its items are read and written. What kinds there are is told where each is kept:
 *
 *   pk                       sk              what                                                        room
 *   EXECUTION#{id}           EXECUTION       the execution (index `history` by owner and time; index     execution/records
 *                                            `work` while queued)
 *   EXECUTION#{id}           ATTEMPT#{n}     an attempt                                                  execution/records
 *   EXECUTION#{id}           FEED            how far its events go, and who follows them                 events/feed
 *   EXECUTION#{id}           EVENT#{n}       an event; the key is its sequence number                    events/feed
 *   CONNECTION#{c}           CONNECTION      the execution that a WebSocket may follow                   events/connections
 *   SANDBOX#{id}             SANDBOX         a sandbox (index `work` while warm)                         sandbox/records
 *   IDEMPOTENCY#{owner}#{k}  IDEMPOTENCY     the execution that an Idempotency-Key started               callers/idempotency
 *   KEY#{id}                 KEY             an API key, its secret hashed (index `work`)                callers/key-records
 *   QUOTA#{owner}            QUOTA           what a caller has used of its quotas                        callers/quotas
 *   SERVICE                  COUNTERS#{n}    what /metrics counts, of every tenth execution              service/counters
 *   SERVICE                  ISOLATION       the isolation that sandboxes reported last                  sandbox/isolation
 *
 * A change of a status is conditional on the status before it, and what belongs to it (its event, its count) is in the same
 * write: a repeated or late message finds the condition unmet and changes nothing, and nobody dies in between. A write
 * whose condition is not met is no error: whoever wrote is told that it was not his, and what holds instead.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AttributeValue,
  ConditionalCheckFailedException,
  TransactionCanceledException,
  TransactionConflictException,
} from '@aws-sdk/client-dynamodb';
import {
  DeleteCommand,
  GetCommand,
  PutCommand,
  QueryCommand,
  type QueryCommandInput,
  TransactWriteCommand,
  type TransactWriteCommandInput,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { dynamodb } from './aws.ts';
import { config } from './config.ts';

export type Key = { pk: string; sk: string };
export type Fields = Record<string, unknown>;

/** What came of a conditional write: the record as it is now, and whether the write made it so. */
export type Written<T> = { ours: true; record: T } | { ours: false; record: T | undefined };

/** Epoch seconds at which DynamoDB may delete an item (time-to-live). */
export const expiryIn = (seconds = config.retentionDays * 86_400) => Math.floor(Date.now() / 1000) + seconds;

export interface Expiring {
  expires: number;
}

/** DynamoDB may keep an item for days after its time. */
export const hasExpired = ({ expires }: Expiring) => expires < Date.now() / 1000;

// ------------------------------------------------------------------------------------------------- reading

/** An item as it is now; undefined if there is none. */
export async function readItem<T>(key: Key): Promise<T | undefined> {
  const { Item } = await dynamodb.send(
    new GetCommand({ TableName: config.tableName, Key: key, ConsistentRead: true }),
  );
  return Item as T | undefined;
}

/** All items of a query, page by page, or the first `Limit` of them. */
export async function queryItems<T>(input: Omit<QueryCommandInput, 'TableName'>): Promise<T[]> {
  const items: T[] = [];
  let start: QueryCommandInput['ExclusiveStartKey'];
  do {
    const page = await dynamodb.send(
      new QueryCommand({ TableName: config.tableName, ExclusiveStartKey: start, ...input }),
    );
    items.push(...((page.Items ?? []) as T[]));
    start = page.LastEvaluatedKey;
  } while (start && input.Limit === undefined);
  return items;
}

/** The items of a partition whose sort keys lie between two, as they are now. */
export const itemsBetween = (pk: string, from: string, to: string) => ({
  KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
  ExpressionAttributeValues: { ':pk': pk, ':from': from, ':to': to },
  ConsistentRead: true,
});

/** What the index `work` has of a kind, oldest first; of each all, or only `attributes`. */
export const queryWork = <T>(work: 'queued' | 'warm' | 'key', attributes?: string) =>
  queryItems<T>({
    ProjectionExpression: attributes,
    IndexName: 'work',
    KeyConditionExpression: '#work = :work',
    ExpressionAttributeNames: { '#work': 'work' },
    ExpressionAttributeValues: { ':work': work },
  });

// ------------------------------------------------------------------------------------------------- writing

/** A write as part of a transaction. */
export type ItemWrite = NonNullable<TransactWriteCommandInput['TransactItems']>[number];

type PutInput = NonNullable<ItemWrite['Put']>;
type UpdateInput = NonNullable<ItemWrite['Update']>;

const TELL_WHAT_HOLDS = { ReturnValuesOnConditionCheckFailure: 'ALL_OLD' } as const;

/** Stores an item, unless there is one; with `orExpired` one whose time is over may be there still. */
export const newItem = (key: Key, fields: Fields, { orExpired = false } = {}): { Put: PutInput } => ({
  Put: {
    TableName: config.tableName,
    Item: { ...fields, ...key },
    ConditionExpression: `attribute_not_exists(pk)${orExpired ? ' OR expires < :now' : ''}`,
    ExpressionAttributeValues: orExpired ? { ':now': Math.floor(Date.now() / 1000) } : undefined,
    ...TELL_WHAT_HOLDS,
  },
});

/** Attributes that must have one of these values; undefined: must not exist. */
export type Condition = Record<string, readonly unknown[] | undefined>;

export interface Change {
  /** What is undefined stays as it is. */
  set?: Fields;
  remove?: string[];
  /** Numbers that are added to attributes, and texts that are put into sets. */
  add?: Record<string, number | Set<string>>;
  /** Texts that are taken out of sets. */
  takeOut?: Record<string, Set<string>>;
  /** With it the item must exist. */
  where?: Condition;
  /** Numbers that attributes must be below. */
  below?: Record<string, number>;
}

/** Changes an item. */
export function changedItem(key: Key, change: Change): { Update: UpdateInput } {
  const { set = {}, remove = [], add = {}, takeOut = {}, where, below = {} } = change;
  const { name, value, attributes } = placeholders();
  // A record that was read has its key in it.
  const sets = Object.entries(set).filter(([attribute, to]) => to !== undefined && !(attribute in key));
  const pairs = (of: Fields) =>
    Object.entries(of).map(([attribute, by]) => `${name(attribute)} ${value(by)}`);
  const clauses = {
    SET: sets.map(([attribute, to]) => `${name(attribute)} = ${value(to)}`),
    REMOVE: remove.map(name),
    ADD: pairs(add),
    DELETE: pairs(takeOut),
  };
  const conditions = [
    ...(where ? conditionsOf(where, name, value) : []),
    ...Object.entries(below).map(([attribute, limit]) => `${name(attribute)} < ${value(limit)}`),
  ];
  return {
    Update: {
      TableName: config.tableName,
      Key: key,
      UpdateExpression: Object.entries(clauses)
        .filter(([, parts]) => parts.length > 0)
        .map(([clause, parts]) => `${clause} ${parts.join(', ')}`)
        .join(' '),
      ConditionExpression: conditions.length > 0 ? conditions.join(' AND ') : undefined,
      ...attributes(),
      ...TELL_WHAT_HOLDS,
    },
  };
}

/** Changes nothing: in a transaction, an item that must be there and as `where` says. */
export function requiredItem(key: Key, where: Condition): ItemWrite {
  const { name, value, attributes } = placeholders();
  const ConditionExpression = conditionsOf(where, name, value).join(' AND ');
  return {
    ConditionCheck: {
      TableName: config.tableName,
      Key: key,
      ConditionExpression,
      ...attributes(),
      ...TELL_WHAT_HOLDS,
    },
  };
}

function conditionsOf(where: Condition, name: (of: string) => string, value: (of: unknown) => string) {
  const conditions = Object.entries(where).map(([attribute, allowed]) => {
    if (!allowed) return `attribute_not_exists(${name(attribute)})`;
    const [only, ...more] = allowed;
    if (more.length === 0) return `${name(attribute)} = ${value(only)}`;
    return `${name(attribute)} IN (${allowed.map(value).join(', ')})`;
  });
  return ['attribute_exists(pk)', ...conditions];
}

/** Names and values of an expression, under placeholders: any name may be one that DynamoDB reserves. */
function placeholders() {
  const names: Record<string, string> = {};
  const values: Fields = {};
  return {
    name(attribute: string) {
      names[`#${attribute}`] = attribute;
      return `#${attribute}`;
    },
    value(of: unknown) {
      const placeholder = `:v${Object.keys(values).length}`;
      values[placeholder] = of;
      return placeholder;
    },
    attributes: () => ({
      ...(Object.keys(names).length > 0 && { ExpressionAttributeNames: names }),
      ...(Object.keys(values).length > 0 && { ExpressionAttributeValues: values }),
    }),
  };
}

/** Stores one item, unless there is one. */
export async function createItem<T extends object>(
  key: Key,
  fields: T,
  options: { orExpired?: boolean } = {},
): Promise<Written<T>> {
  const { Put } = newItem(key, fields as Fields, options);
  const outcome = await conditional(() => dynamodb.send(new PutCommand(Put)));
  return 'unmet' in outcome
    ? { ours: false, record: outcome.unmet.get(0) as T | undefined }
    : { ours: true, record: fields };
}

/** Changes one item. */
export async function changeItem<T>(key: Key, change: Change): Promise<Written<T>> {
  const { Update } = changedItem(key, change);
  const outcome = await conditional(() =>
    dynamodb.send(new UpdateCommand({ ...Update, ReturnValues: 'ALL_NEW' })),
  );
  return 'unmet' in outcome
    ? { ours: false, record: outcome.unmet.get(0) as T | undefined }
    : { ours: true, record: outcome.done.Attributes as T };
}

export async function deleteItem<T>(key: Key): Promise<T | undefined> {
  const { Attributes } = await dynamodb.send(
    new DeleteCommand({ TableName: config.tableName, Key: key, ReturnValues: 'ALL_OLD' }),
  );
  return Attributes as T | undefined;
}

/** Of a transaction the writes whose conditions were not met, each with the item as it is; none: all was written. */
export type Unmet = ReadonlyMap<ItemWrite, Fields | undefined>;

/** The item that did not meet the condition of `write`, as it is; undefined if there is none. */
export const heldBy = <T>(unmet: Unmet, write: ItemWrite): T | undefined => unmet.get(write) as T | undefined;

/** Writes all or nothing. */
export async function writeTogether(writes: ItemWrite[]): Promise<Unmet> {
  const outcome = await conditional(() => dynamodb.send(new TransactWriteCommand({ TransactItems: writes })));
  if (!('unmet' in outcome)) return new Map();
  return new Map([...outcome.unmet].map(([index, item]) => [writes[index] as ItemWrite, item] as const));
}

/** How often a write is tried that meets a transaction on the same item, which takes milliseconds. */
const MAX_CONFLICTS = 20;
/** Milliseconds up to which is waited then, so that those who met do not meet again. */
const CONFLICT_PAUSE = 100;

/** Does a write; of one whose conditions are not met gives the items that did not meet them, by index. */
async function conditional<T>(
  write: () => Promise<T>,
): Promise<{ done: T } | { unmet: Map<number, Fields | undefined> }> {
  for (let conflicts = 1; ; conflicts += 1) {
    try {
      return { done: await write() };
    } catch (error) {
      const unmet = unmetIn(error);
      if (unmet.size > 0) return { unmet };
      if (!isConflict(error) || conflicts === MAX_CONFLICTS) throw error;
      await sleep(Math.random() * CONFLICT_PAUSE);
    }
  }
}

function unmetIn(error: unknown): Map<number, Fields | undefined> {
  const read = (item?: Record<string, AttributeValue>) => item && unmarshall(item);
  if (error instanceof ConditionalCheckFailedException) return new Map([[0, read(error.Item)]]);
  if (!(error instanceof TransactionCanceledException)) return new Map();
  return new Map(
    (error.CancellationReasons ?? []).flatMap(({ Code, Item }, index) =>
      Code === 'ConditionalCheckFailed' ? [[index, read(Item)] as const] : [],
    ),
  );
}

const isConflict = (error: unknown) =>
  error instanceof TransactionConflictException ||
  (error instanceof TransactionCanceledException &&
    (error.CancellationReasons ?? []).some(({ Code }) => Code === 'TransactionConflict'));
