/**
 * DynamoDB: dynalite's operations over LevelDB in a folder.
 *
 * dynalite's own HTTP server is left out. It throws, and so ends the process, when a client breaks off or an operation
 * fails unexpectedly, and it only closes its database if it has been listening on a port of its own.
 */
import { createRequire } from 'node:module';
import { ConfigurationError } from '../../functions/core/errors.ts';
import { AwsError } from './http.ts';
import type { JsonService } from './json-protocol.ts';

// dynalite has no types; these are of the parts used, as of the version that package.json pins.
interface Store {
  db: { open(): Promise<void>; close(): Promise<void> };
}
interface DynaliteError extends Error {
  statusCode?: number;
  body?: { __type: string; message?: string; Message?: string };
}
interface Validation {
  types: object;
  custom?: object;
}
interface Validations {
  checkTypes(input: unknown, types: object): object;
  checkValidations(input: object, types: object, custom: object | undefined, store: Store): void;
  toLowerFirst(name: string): string;
}
type Action = (
  store: Store,
  input: object,
  done: (error: DynaliteError | null, output: object) => void,
) => void;

const require = createRequire(import.meta.url);
const { create } = require('dynalite/db') as { create(options: object): Store };
const validations = require('dynalite/validations') as Validations;

const OPERATIONS = [
  'BatchGetItem',
  'BatchWriteItem',
  'CreateTable',
  'DeleteItem',
  'DeleteTable',
  'DescribeTable',
  'DescribeTimeToLive',
  'GetItem',
  'ListTables',
  'PutItem',
  'Query',
  'Scan',
  'UpdateItem',
  'UpdateTable',
];

export interface DynamoDb extends JsonService {
  close(): Promise<void>;
}

/** Rejects if the folder is in use by another process. */
export async function openDynamoDb(folder: string): Promise<DynamoDb> {
  const store = create({ path: folder, createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
  try {
    await store.db.open();
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
      throw new ConfigurationError(
        `${folder} is in use by another process: stop it, or use another DATA_DIR.`,
      );
    }
    throw error;
  }
  return {
    target: 'DynamoDB_20120810',
    version: '1.0',
    operations: Object.fromEntries(OPERATIONS.map((name) => [name, operation(store, name)])),
    close: () => store.db.close(),
  };
}

function operation(store: Store, name: string): (input: unknown) => Promise<object> {
  const file = validations.toLowerFirst(name);
  const action = require(`dynalite/actions/${file}`) as Action;
  const { types, custom } = require(`dynalite/validations/${file}`) as Validation;
  return (input) =>
    new Promise((resolve, reject) => {
      const fail = (error: DynaliteError) => {
        const { __type = '', message, Message } = error.body ?? {};
        reject(error.body ? new AwsError(__type, message ?? Message ?? '', error.statusCode) : error);
      };
      try {
        const checked = validations.checkTypes(input, types);
        validations.checkValidations(checked, types, custom, store);
        action(store, checked, (error, output) => (error ? fail(error) : resolve(output)));
      } catch (error) {
        fail(error as DynaliteError);
      }
    });
}
