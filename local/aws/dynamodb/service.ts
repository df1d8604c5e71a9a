/**
 * DynamoDB over its JSON protocol, on the local database: the operations and the parameters that code here uses. Whatever
 * else a request holds is refused by name, so that nothing runs here of which a part was silently left out.
 *
 * Left out on purpose: batches, sets but those of texts, capacity, streams, backups, parallel scans, key types other than S, and the
 * parameters from before expressions.
 */
import * as z from 'zod';
import { type Database, storageFailure } from '../database.ts';
import { type JsonService, operation } from '../json-protocol.ts';

import {
  createTable,
  get,
  put,
  query,
  remove,
  scan,
  tableName,
  transaction,
  update,
  type Write,
} from './requests.ts';
import { Tables } from './tables.ts';
import { invalid } from './values.ts';

const SWEEP_MS = 60_000;

export interface DynamoDb extends JsonService {
  close(): void;
}

export function createDynamoDb(database: Database): DynamoDb {
  const tables = new Tables(database);
  const sweep = () => {
    try {
      tables.deleteExpired();
    } catch (error) {
      // A disk that is full now may have room at the next sweep.
      if (!storageFailure(error)) throw error;
    }
  };
  const timer = setInterval(sweep, SWEEP_MS).unref();
  return {
    target: 'DynamoDB_20120810',
    version: '1.0',
    operations: operationsOn(tables),
    close: () => clearInterval(timer),
  };
}

function operationsOn(tables: Tables): JsonService['operations'] {
  const justTable = z.strictObject({ TableName: tableName });
  return {
    CreateTable: operation(createTable, (input) => tables.create(input)),
    DescribeTable: operation(justTable, ({ TableName }) => ({
      Table: tables.describe(tables.of(TableName)),
    })),
    ListTables: operation(z.strictObject({}), () => ({ TableNames: tables.names() })),
    UpdateTimeToLive: operation(
      z.strictObject({
        TableName: tableName,
        TimeToLiveSpecification: z.strictObject({ AttributeName: z.string().min(1), Enabled: z.boolean() }),
      }),
      (input) => tables.setTimeToLive(input.TableName, input.TimeToLiveSpecification),
    ),
    DescribeTimeToLive: operation(justTable, ({ TableName }) => tables.describeTimeToLive(TableName)),
    GetItem: operation(get, (input) => tables.get(input)),
    PutItem: operation(
      put.extend({ ReturnValues: z.enum(['NONE', 'ALL_OLD']).optional() }),
      ({ ReturnValues, ...input }) => tables.writeOne({ put: input }, ReturnValues),
    ),
    DeleteItem: operation(
      remove.extend({ ReturnValues: z.enum(['NONE', 'ALL_OLD']).optional() }),
      ({ ReturnValues, ...input }) => tables.writeOne({ remove: input }, ReturnValues),
    ),
    UpdateItem: operation(
      update.extend({ ReturnValues: z.enum(['NONE', 'ALL_OLD', 'ALL_NEW']).optional() }),
      ({ ReturnValues, ...input }) => tables.writeOne({ update: input }, ReturnValues),
    ),
    Query: operation(query, (input) => tables.query(input)),
    Scan: operation(scan, (input) => tables.scan(input)),
    TransactWriteItems: operation(transaction, ({ TransactItems, ClientRequestToken }) =>
      tables.transactWrite(TransactItems.map(onlyWrite), ClientRequestToken),
    ),
  };
}

function onlyWrite(item: z.infer<typeof transaction>['TransactItems'][number]): Write {
  const { Put, Delete, Update, ConditionCheck } = item;
  const given: Write[] = [];
  if (Put) given.push({ put: Put });
  if (Delete) given.push({ remove: Delete });
  if (Update) given.push({ update: Update });
  if (ConditionCheck) given.push({ check: ConditionCheck });
  const [only, ...more] = given;
  if (!only || more.length > 0)
    throw invalid('TransactItems can only contain one of ConditionCheck, Put, Update or Delete');
  return only;
}
