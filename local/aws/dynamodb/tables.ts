/** The operations on tables and items, as DynamoDB defines them. */
import type * as z from 'zod';
import type { Database } from '../database.ts';
import { AwsError } from '../http.ts';

import {
  type Condition,
  type KeyTerm,
  Placeholders,
  parseCondition,
  parseKeyCondition,
  parseProjection,
  parseUpdate,
} from './expressions.ts';
import { type ItemKey, Items, type Range, type TableDescription, type TableKeys } from './items.ts';
import type { createTable, get, keySchema, query, scan, Write } from './requests.ts';
import { type Item, invalid, sizeOf } from './values.ts';

/** bytes; the limits of DynamoDB */
const MAX_ITEM = 400 * 1024;
const MAX_PAGE = 1024 * 1024;
const MAX_PARTITION_KEY = 2048;
const MAX_SORT_KEY = 1024;

/** One write of a request, understood: to be applied to what is there. */
interface Prepared {
  table: TableDescription;
  key: ItemKey;
  condition: Condition | undefined;
  /** The item afterwards; undefined: none. */
  apply(before: Item | undefined): Item | undefined;
  returnOldOnFailure: boolean;
}

export class Tables {
  readonly #database: Database;
  readonly #items: Items;

  constructor(database: Database) {
    this.#database = database;
    this.#items = new Items(database);
  }

  /** Removes what has expired; as on AWS, some time after it has. */
  deleteExpired(): void {
    this.#items.deleteExpired(Date.now() / 1000);
  }

  names(): string[] {
    return [...this.#items.tables.keys()].sort();
  }

  of(name: string): TableDescription {
    const table = this.#items.tables.get(name);
    if (!table)
      throw new AwsError(
        'ResourceNotFoundException',
        `Requested resource not found: Table: ${name} not found`,
      );
    return table;
  }

  create({
    TableName,
    AttributeDefinitions,
    KeySchema,
    GlobalSecondaryIndexes = [],
  }: z.infer<typeof createTable>) {
    if (this.#items.tables.has(TableName))
      throw new AwsError('ResourceInUseException', `Table already exists: ${TableName}`);
    const defined = new Set(AttributeDefinitions.map(({ AttributeName }) => AttributeName));
    const keysOf = (schema: z.infer<typeof keySchema>): TableKeys => {
      const [hash, range] = schema;
      if (hash?.KeyType !== 'HASH' || (range && range.KeyType !== 'RANGE'))
        throw invalid('A key schema has a HASH key and, after it, at most one RANGE key');
      for (const { AttributeName } of schema)
        if (!defined.has(AttributeName)) throw invalid(`AttributeDefinitions lacks the key ${AttributeName}`);
      return { partition: hash.AttributeName, sort: range?.AttributeName ?? null };
    };
    const table: TableDescription = {
      name: TableName,
      created: Date.now(),
      keys: keysOf(KeySchema),
      indexes: Object.fromEntries(
        GlobalSecondaryIndexes.map((index) => [index.IndexName, keysOf(index.KeySchema)]),
      ),
      timeToLive: null,
    };
    this.#items.putTable(table);
    return { TableDescription: this.describe(table) };
  }

  describe({ name, created, keys, indexes }: TableDescription) {
    const schema = ({ partition, sort }: TableKeys) => [
      { AttributeName: partition, KeyType: 'HASH' },
      ...(sort === null ? [] : [{ AttributeName: sort, KeyType: 'RANGE' }]),
    ];
    const attributes = new Set(
      [keys, ...Object.values(indexes)].flatMap(({ partition, sort }) => [partition, sort ?? []].flat()),
    );
    return {
      TableName: name,
      TableStatus: 'ACTIVE',
      TableArn: `arn:aws:dynamodb:local:000000000000:table/${name}`,
      CreationDateTime: created / 1000,
      BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
      AttributeDefinitions: [...attributes].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      KeySchema: schema(keys),
      ItemCount: this.#items.count(name),
      GlobalSecondaryIndexes: Object.entries(indexes).map(([IndexName, index]) => ({
        IndexName,
        IndexStatus: 'ACTIVE',
        KeySchema: schema(index),
        Projection: { ProjectionType: 'ALL' },
      })),
    };
  }

  setTimeToLive(name: string, specification: { AttributeName: string; Enabled: boolean }) {
    const table = this.of(name);
    const { AttributeName, Enabled } = specification;
    if ((table.timeToLive !== null) === Enabled)
      throw invalid(`TimeToLive is already ${Enabled ? 'enabled' : 'disabled'}`);
    this.#items.putTable({ ...table, timeToLive: Enabled ? AttributeName : null });
    return { TimeToLiveSpecification: specification };
  }

  describeTimeToLive(name: string) {
    const { timeToLive } = this.of(name);
    return {
      TimeToLiveDescription:
        timeToLive === null
          ? { TimeToLiveStatus: 'DISABLED' }
          : { TimeToLiveStatus: 'ENABLED', AttributeName: timeToLive },
    };
  }

  get({
    TableName,
    Key,
    ProjectionExpression,
    ExpressionAttributeNames,
  }: Omit<z.infer<typeof get>, 'ConsistentRead'>) {
    const placeholders = new Placeholders(ExpressionAttributeNames);
    const project = projection(ProjectionExpression, placeholders);
    placeholders.refuseUnused();
    const table = this.of(TableName);
    const item = this.#items.get(TableName, exactKey(table, Key));
    return item ? { Item: project(item) } : {};
  }

  /** One write with its condition. Gives what `returnValues` asks for. */
  writeOne(write: Write, returnValues: 'NONE' | 'ALL_OLD' | 'ALL_NEW' = 'NONE') {
    const prepared = this.#prepare(write);
    const { before, after } = this.#database.transaction(() => {
      const before = this.#items.get(prepared.table.name, prepared.key);
      if (prepared.condition && !prepared.condition(before ?? {})) throw conditionFailed(prepared, before);
      const after = prepared.apply(before);
      this.#write(prepared, before, after);
      return { before, after };
    });
    const returned = returnValues === 'ALL_NEW' ? after : returnValues === 'ALL_OLD' ? before : undefined;
    return returned ? { Attributes: returned } : {};
  }

  /** All writes or none. */
  transactWrite(writes: Write[], token: string | undefined) {
    const prepared = writes.map((write) => this.#prepare(write));
    const targets = new Set(prepared.map(({ table, key }) => JSON.stringify([table.name, key])));
    if (targets.size < prepared.length)
      throw invalid('Transaction request cannot include multiple operations on one item');
    const request = JSON.stringify(writes);
    this.#database.transaction(() => {
      const earlier = token === undefined ? undefined : this.#items.requestOf(token);
      if (earlier === request) return;
      if (earlier !== undefined)
        throw new AwsError(
          'IdempotentParameterMismatchException',
          'The token was used for another transaction.',
        );
      const found = prepared.map(({ table, key }) => this.#items.get(table.name, key));
      const reasons = prepared.map((one, index) =>
        !one.condition || one.condition(found[index] ?? {})
          ? { Code: 'None' }
          : {
              Code: 'ConditionalCheckFailed',
              Message: CONDITION_FAILED,
              ...(one.returnOldOnFailure && found[index] && { Item: found[index] }),
            },
      );
      if (reasons.some(({ Code }) => Code !== 'None'))
        throw new AwsError(
          'TransactionCanceledException',
          `Transaction cancelled, please refer cancellation reasons for specific reasons [${reasons.map(({ Code }) => Code).join(', ')}]`,
          400,
          { CancellationReasons: reasons },
        );
      prepared.forEach((one, index) => {
        this.#write(one, found[index], one.apply(found[index]));
      });
      if (token !== undefined) this.#items.rememberRequest(token, request, Date.now() / 1000);
    });
    return {};
  }

  #prepare(write: Write): Prepared {
    const request =
      'put' in write
        ? write.put
        : 'remove' in write
          ? write.remove
          : 'update' in write
            ? write.update
            : write.check;
    const table = this.of(request.TableName);
    const placeholders = new Placeholders(
      request.ExpressionAttributeNames,
      request.ExpressionAttributeValues,
    );
    const condition =
      request.ConditionExpression === undefined
        ? undefined
        : parseCondition(request.ConditionExpression, placeholders);
    const common = {
      table,
      condition,
      returnOldOnFailure: request.ReturnValuesOnConditionCheckFailure === 'ALL_OLD',
    };
    if ('put' in write) {
      placeholders.refuseUnused();
      const { Item } = write.put;
      return { ...common, key: keyOf(table, Item), apply: () => Item };
    }
    if (!('update' in write)) {
      placeholders.refuseUnused();
      const key = exactKey(table, 'remove' in write ? write.remove.Key : write.check.Key);
      return { ...common, key, apply: (before) => ('remove' in write ? undefined : before) };
    }
    const { Key, UpdateExpression } = write.update;
    const key = exactKey(table, Key);
    const { apply, paths } = parseUpdate(UpdateExpression, placeholders);
    placeholders.refuseUnused();
    const keyPath = paths.find(([name]) => name !== undefined && Object.hasOwn(Key, name));
    if (keyPath)
      throw invalid(
        `One or more parameter values were invalid: Cannot update attribute ${keyPath.join('.')}. This attribute is part of the key`,
      );
    return { ...common, key, apply: (before) => apply(before ?? Key) };
  }

  /** Stores what became of an item. To be called within a transaction. */
  #write({ table, key }: Prepared, before: Item | undefined, after: Item | undefined): void {
    if (after === before) return;
    if (!after) {
      this.#items.delete(table.name, key);
      return;
    }
    if (sizeOf(after) > MAX_ITEM) throw invalid('Item size has exceeded the maximum allowed size');
    for (const { partition, sort } of Object.values(table.indexes))
      for (const name of [partition, sort]) {
        const value = name === null ? undefined : after[name];
        if (value && (!('S' in value) || value.S === ''))
          throw invalid(
            `One or more parameter values were invalid: Type mismatch or empty value for Index Key ${name}`,
          );
      }
    this.#items.put(table, key, after);
  }

  query(input: z.infer<typeof query>) {
    const table = this.of(input.TableName);
    const keys = indexKeys(table, input.IndexName);
    if (input.IndexName !== undefined && input.ConsistentRead)
      throw invalid('Consistent reads are not supported on global secondary indexes');
    const placeholders = new Placeholders(input.ExpressionAttributeNames, input.ExpressionAttributeValues);
    const range = keyRange(parseKeyCondition(input.KeyConditionExpression, placeholders), keys);
    const start = input.ExclusiveStartKey && {
      sort: keys.sort === null ? '' : stringAt(input.ExclusiveStartKey, keys.sort),
      key: keyOf(table, input.ExclusiveStartKey),
    };
    const items = this.#items.query({
      table: table.name,
      index: input.IndexName ?? null,
      forward: input.ScanIndexForward ?? true,
      after: start,
      partition: range.partition,
      from: range.from,
      to: range.to,
    });
    return readPage(input, placeholders, matching(items, range.matches), [table.keys, keys]);
  }

  scan(input: z.infer<typeof scan>) {
    const table = this.of(input.TableName);
    const keys = indexKeys(table, input.IndexName);
    const placeholders = new Placeholders(input.ExpressionAttributeNames, input.ExpressionAttributeValues);
    const start = input.ExclusiveStartKey && keyOf(table, input.ExclusiveStartKey);
    const isInIndex = (item: Item) =>
      [keys.partition, keys.sort].every((name) => name === null || item[name]);
    const items = matching(this.#items.scan(table.name, start), isInIndex);
    return readPage(input, placeholders, items, [table.keys, keys]);
  }
}

const CONDITION_FAILED = 'The conditional request failed';

const conditionFailed = ({ returnOldOnFailure }: Prepared, before: Item | undefined) =>
  new AwsError(
    'ConditionalCheckFailedException',
    CONDITION_FAILED,
    400,
    returnOldOnFailure && before ? { Item: before } : {},
  );

function* matching(items: Iterable<Item>, fits: (item: Item) => boolean): Generator<Item> {
  for (const item of items) if (fits(item)) yield item;
}

/** One page: up to `Limit` items or 1 MB are looked at, those that the filter lets through are given. */
function readPage(
  { Limit, FilterExpression, ProjectionExpression, Select }: z.infer<typeof scan>,
  placeholders: Placeholders,
  items: Iterable<Item>,
  keys: TableKeys[],
) {
  const filter = FilterExpression === undefined ? () => true : parseCondition(FilterExpression, placeholders);
  const project = projection(ProjectionExpression, placeholders);
  placeholders.refuseUnused();
  const found: Item[] = [];
  let looked = 0;
  let size = 0;
  let last: Item | undefined;
  for (const item of items) {
    looked++;
    size += sizeOf(item);
    if (filter(item)) found.push(project(item));
    if (looked === Limit || size >= MAX_PAGE) {
      last = item;
      break;
    }
  }
  const lastKey = (item: Item) =>
    Object.fromEntries(
      keys
        .flatMap(({ partition, sort }) => (sort === null ? [partition] : [partition, sort]))
        .flatMap((name) => (item[name] ? [[name, item[name]]] : [])),
    );
  return {
    ...(Select !== 'COUNT' && { Items: found }),
    Count: found.length,
    ScannedCount: looked,
    ...(last && { LastEvaluatedKey: lastKey(last) }),
  };
}

function projection(expression: string | undefined, placeholders: Placeholders): (item: Item) => Item {
  return expression === undefined ? (item) => item : parseProjection(expression, placeholders);
}

function indexKeys(table: TableDescription, index: string | undefined): TableKeys {
  if (index === undefined) return table.keys;
  const keys = Object.hasOwn(table.indexes, index) ? table.indexes[index] : undefined;
  if (!keys) throw invalid(`The table does not have the specified index: ${index}`);
  return keys;
}

/** The part of a partition that a key condition names. */
function keyRange(
  terms: KeyTerm[],
  { partition, sort }: TableKeys,
): Pick<Range, 'partition' | 'from' | 'to'> & { matches: Condition } {
  const text = ({ values }: KeyTerm) =>
    values.map((value) => {
      if (!('S' in value))
        throw invalid(
          'One or more parameter values were invalid: Condition parameter type does not match schema type',
        );
      return value.S;
    });
  const onPartition = terms.find(({ name }) => name === partition);
  const onSort = terms.filter(({ name }) => name === sort);
  if (onPartition?.operator !== '=') throw invalid(`Query condition missed key schema element: ${partition}`);
  if (terms.length !== 1 + onSort.length || onSort.length > 1)
    throw invalid('Query key condition not supported');
  const [value = ''] = text(onPartition);
  const [term] = onSort;
  if (!term || sort === null) return { partition: value, from: '', to: undefined, matches: () => true };
  const [first = '', second = ''] = text(term);
  const sortOf = (item: Item) => stringAt(item, sort);
  switch (term.operator) {
    case '=':
      return { partition: value, from: first, to: first, matches: () => true };
    case 'BETWEEN':
      return { partition: value, from: first, to: second, matches: () => true };
    case '>=':
      return { partition: value, from: first, to: undefined, matches: () => true };
    case '<=':
      return { partition: value, from: '', to: first, matches: () => true };
    case '>':
      return { partition: value, from: first, to: undefined, matches: (item) => sortOf(item) !== first };
    case '<':
      return { partition: value, from: '', to: first, matches: (item) => sortOf(item) !== first };
    default:
      // The highest code point stands behind everything that begins with the prefix and goes on in earnest.
      return {
        partition: value,
        from: first,
        to: `${first}\u{10FFFF}`,
        matches: (item) => sortOf(item).startsWith(first),
      };
  }
}

/** The key of an item, checked. */
function keyOf({ keys: { partition, sort } }: TableDescription, item: Item): ItemKey {
  const part = (name: string, most: number) => {
    const value = item[name];
    if (!value)
      throw invalid(`One or more parameter values were invalid: Missing the key ${name} in the item`);
    if (!('S' in value))
      throw invalid(`One or more parameter values were invalid: Type mismatch for key ${name} expected: S`);
    if (value.S === '')
      throw invalid(
        `One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: ${name}`,
      );
    if (Buffer.byteLength(value.S) > most)
      throw invalid(
        `One or more parameter values were invalid: Size of ${name} has exceeded the maximum size limit of ${most} bytes`,
      );
    return value.S;
  };
  return [part(partition, MAX_PARTITION_KEY), sort === null ? '' : part(sort, MAX_SORT_KEY)];
}

/** A key that names its item, and nothing more. */
function exactKey(table: TableDescription, key: Item): ItemKey {
  const parts = keyOf(table, key);
  if (Object.keys(key).length !== (table.keys.sort === null ? 1 : 2))
    throw invalid('The provided key element does not match the schema');
  return parts;
}

function stringAt(item: Item, name: string): string {
  const value = item[name];
  if (!value || !('S' in value)) throw invalid(`The provided starting key is invalid: ${name}`);
  return value.S;
}
