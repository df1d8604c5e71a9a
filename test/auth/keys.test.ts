/** API keys: what the authorizer lets in, what is kept of a key, and the command line that makes and revokes them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import type { APIGatewayRequestAuthorizerEventV2 } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createStorage } from '../../local/storage.ts';
import { type Product, startProduct } from '../support/product.ts';
import { asFunction } from '../support/record-calls.ts';

let product: Product;
let keys: typeof import('../../functions/callers/keys.ts');
let store: typeof import('../support/store.ts');
let authorizer: typeof import('../../functions/api/authorizer.ts');

beforeAll(async () => {
  product = await startProduct();
  keys = await import('../../functions/callers/keys.ts');
  store = await import('../support/store.ts');
  authorizer = await import('../../functions/api/authorizer.ts');
});
afterAll(() => product.close());

const authorize = (headers: Record<string, string>) =>
  asFunction('api/authorizer', () =>
    authorizer.handler(
      { headers, routeKey: 'POST /execute' } as unknown as APIGatewayRequestAuthorizerEventV2,
      {} as never,
    ),
  );
const REFUSED = { isAuthorized: false };
const ALICE = { isAuthorized: true, context: { owner: 'alice' } };

/** The text with another character in the place of the one at `index`. */
const changed = (text: string, index: number) =>
  `${text.slice(0, index)}${text[index] === 'a' ? 'b' : 'a'}${text.slice(index + 1)}`;

describe('the authorizer', () => {
  test('knows the owner of a key', async () => {
    const { key } = await keys.makeKey('alice', 'laptop');
    expect(key).toMatch(/^rae_[0-9a-f]{16}_[\w-]{43}$/);
    expect(await authorize({ 'x-api-key': key })).toEqual(ALICE);
    const other = await keys.makeKey('bob', '');
    expect(await authorize({ 'x-api-key': other.key })).toMatchObject({ context: { owner: 'bob' } });
  });

  test('refuses a key with any part changed', async () => {
    const { key } = await keys.makeKey('alice', 'laptop');
    const secret = key.lastIndexOf('_', 25) + 1;
    for (const index of [0, 4, 19, secret, secret + 20, key.length - 2]) {
      expect(await authorize({ 'x-api-key': changed(key, index) })).toEqual(REFUSED);
    }
    expect(await authorize({ 'x-api-key': key })).toEqual(ALICE);
  });

  test("refuses one key's id with another's secret", async () => {
    const [one, two] = [await keys.makeKey('alice', ''), await keys.makeKey('bob', '')];
    expect(await authorize({ 'x-api-key': one.key.slice(0, 21) + two.key.slice(21) })).toEqual(REFUSED);
  });

  test.each(['', 'rae_', 'nonsense', `rae_${'0'.repeat(16)}_${'a'.repeat(43)}`, 'a'.repeat(100_000)])(
    'refuses what is no key of ours (%#)',
    async (key) => {
      expect(await authorize({ 'x-api-key': key })).toEqual(REFUSED);
    },
  );

  test('refuses who sends no key', async () => {
    expect(await authorize({})).toEqual(REFUSED);
  });

  test('refuses a revoked key, and no other of its owner', async () => {
    const [lost, kept] = [await keys.makeKey('alice', 'lost'), await keys.makeKey('alice', 'kept')];
    await store.setKeyRevoked(lost.record.key_id);
    expect(await authorize({ 'x-api-key': lost.key })).toEqual(REFUSED);
    expect(await authorize({ 'x-api-key': kept.key })).toEqual(ALICE);
  });
});

test('nothing that is kept of a key holds its secret', async () => {
  const { key, record } = await keys.makeKey('alice', 'laptop');
  const { Item } = await new DynamoDBClient().send(
    new GetItemCommand({
      TableName: process.env.TABLE_NAME,
      Key: { pk: { S: `KEY#${record.key_id}` }, sk: { S: 'KEY' } },
    }),
  );
  expect(Item?.owner).toEqual({ S: 'alice' });
  expect(JSON.stringify(Item)).not.toContain(key.slice(21, 40));
});

describe('npm run keys', () => {
  const TABLE = 'recursive-ai-executor-dev-StorageTable0A1B2C3D-XYZ123';
  const run = promisify(execFile);
  const command = (...args: string[]) => run(process.execPath, ['--import', 'tsx', 'infra/keys.ts', ...args]);

  test('makes, lists and revokes keys in the table of an environment', async () => {
    await createStorage(TABLE, 'executor');
    const { stdout: key, stderr: said } = await command(
      ...['create', '--env', 'dev', '--owner', 'carol', '--name', 'continuous integration'],
    );
    expect(said).toContain('carol');
    expect(said).not.toContain(key.trim());
    const before = process.env.TABLE_NAME;
    process.env.TABLE_NAME = TABLE;
    try {
      expect(await authorize({ 'x-api-key': key.trim() })).toMatchObject({ context: { owner: 'carol' } });
      const id = key.slice(4, 20);
      const line = new RegExp(`^${id}  carol  continuous integration  ….{4}  created .*Z$`, 'm');
      expect((await command('list', '--env', 'dev')).stdout).toMatch(line);
      await command('revoke', id, '--table', TABLE);
      expect(await authorize({ 'x-api-key': key.trim() })).toEqual(REFUSED);
      expect((await command('list', '--table', TABLE)).stdout).toContain('revoked 20');
      await expect(command('revoke', id, '--table', TABLE)).rejects.toMatchObject({
        code: 2,
        stderr: expect.stringContaining(`no key ${id} that could be revoked`),
      });
    } finally {
      process.env.TABLE_NAME = before;
    }
  });

  test.each([
    [['create', '--env', 'test', '--owner', 'x'], '--env must be dev, staging, prod'],
    [['create', '--env', 'staging', '--owner', 'x'], 'staging is not deployed'],
    [['create', '--table', 'executor'], 'create needs --owner'],
    [['remove', '--table', 'executor'], 'create, list and revoke'],
  ])('says what is wrong with %j', async (args, message) => {
    await expect(command(...args)).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining(message),
    });
  });
});
