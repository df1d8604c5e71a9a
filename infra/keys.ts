/**
 * npm run keys: makes, lists and revokes the API keys of an environment, with the AWS CLI's own configuration
 * (AWS_PROFILE, AWS_REGION …). A new key is the only thing on standard output, and nothing shows it again.
 *
 * The table is found by the name that CloudFormation gives it; --table names another, such as the local runtime's.
 */
import './quiet-sdk.ts';
import './region.ts';
import { parseArgs } from 'node:util';
import { DynamoDBClient, paginateListTables } from '@aws-sdk/client-dynamodb';
import { listKeys, setKeyRevoked } from '../functions/callers/key-records.ts';
import { makeKey } from '../functions/callers/keys.ts';
import { environments } from './environments.ts';

const names = environments.map(({ name }) => name);

const USAGE = `Usage: npm run keys -- COMMAND --env ${names.join('|')}

  create --owner OWNER [--name NAME]  make a key; OWNER is whose executions they are, NAME what the key is for
  list                                all keys, revoked ones too
  revoke ID                           a key by its id; API Gateway may take it for five more minutes

  --table TABLE                       instead of --env: a table by its name
`;

/** What was asked for cannot be done as it was put. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

const say = (line: string) => void process.stderr.write(`${line}\n`);

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        env: { type: 'string' },
        table: { type: 'string' },
        owner: { type: 'string' },
        name: { type: 'string' },
        help: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The table of an environment. @throws UsageError if there is none, or more than one. */
async function findTable(environment: string | undefined): Promise<string> {
  if (!names.some((name) => name === environment)) throw new UsageError(`--env must be ${names.join(', ')}.`);
  const ofStack = new RegExp(`^recursive-ai-executor-${environment}-StorageTable[0-9A-F]{8}-\\w+$`);
  const found: string[] = [];
  for await (const { TableNames = [] } of paginateListTables({ client: new DynamoDBClient() }, {})) {
    found.push(...TableNames.filter((name) => ofStack.test(name)));
  }
  const [table, ...others] = found;
  if (!table) throw new UsageError(`${environment} is not deployed in this account and region.`);
  // A table that keeps its data outlives its stack.
  if (others.length > 0) {
    throw new UsageError(`${environment} has several tables; choose with --table: ${found.join(', ')}`);
  }
  return table;
}

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parse(args);
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  const [command, ...operands] = positionals;
  process.env.TABLE_NAME = values.table ?? (await findTable(values.env));
  if (command === 'create' && operands.length === 0) return create(values.owner, values.name);
  if (command === 'list' && operands.length === 0) return list();
  if (command === 'revoke' && operands[0] && operands.length === 1) return revoke(operands[0]);
  throw new UsageError('One of create, list and revoke ID is expected.');
}

async function create(owner: string | undefined, name = ''): Promise<void> {
  if (!owner?.trim()) throw new UsageError('create needs --owner.');
  const { key, record } = await makeKey(owner.trim(), name.trim());
  say(`Key ${record.key_id} of ${record.owner}; send it as x-api-key. It is not shown again:`);
  process.stdout.write(`${key}\n`);
}

async function list(): Promise<void> {
  const keys = await listKeys();
  if (keys.length === 0) return say('There are no keys.');
  const rows = keys.map((key) => [
    key.key_id,
    key.owner,
    key.name,
    `…${key.last_four}`,
    `created ${key.created_at}`,
    key.revoked_at ? `revoked ${key.revoked_at}` : '',
  ]);
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows) {
    const cells = row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0));
    process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

async function revoke(id: string): Promise<void> {
  const { ours, record } = await setKeyRevoked(id);
  if (!ours) throw new UsageError(`There is no key ${id} that could be revoked: list shows those there are.`);
  say(`Key ${id} of ${record.owner} is revoked since ${record.revoked_at}.`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  say((error as Error).message);
  if (error instanceof UsageError) say(`\n${USAGE}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
