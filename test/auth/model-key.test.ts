/** The model server's key in Secrets Manager: read once, read again when it is old or refused. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type ModelServer, python, startModelServer } from '../support/model-server.ts';

const ARN = 'arn:aws:secretsmanager:us-east-1:000000000000:secret:model-key-abc123';

/** Secrets Manager at the wire: what it holds, if anything, and the requests for it. */
let secret: string | undefined;
let reads: { target: string | undefined; body: unknown }[];
let secretsManager: Server;
let model: ModelServer;
let generateMetered: typeof import('../../functions/model/metered.ts').generateMetered;

beforeAll(async () => {
  secretsManager = createServer(async (request, response) => {
    const target = request.headers['x-amz-target'] as string;
    reads.push({ target, body: await json(request) });
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify(body));
    };
    if (target === 'secretsmanager.DescribeSecret') {
      const versions = secret === undefined ? undefined : { '1': ['AWSCURRENT'] };
      answer(200, { ARN, Name: 'model-key', VersionIdsToStages: versions });
    } else if (secret === undefined) {
      answer(400, { __type: 'ResourceNotFoundException', Message: 'There is no value.' });
    } else answer(200, { ARN, Name: 'model-key', SecretString: secret });
  }).listen(0, '127.0.0.1');
  await once(secretsManager, 'listening');
  model = await startModelServer();
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${(secretsManager.address() as AddressInfo).port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    OPENAI_BASE_URL: model.url,
    OPENAI_API_KEY_SECRET_ARN: ARN,
    POWERTOOLS_METRICS_DISABLED: 'true',
  });
  delete process.env.OPENAI_API_KEY;
});
beforeEach(async () => {
  reads = [];
  model.requests.length = 0;
  // A new process of the function: nothing is cached.
  vi.resetModules();
  ({ generateMetered } = await import('../../functions/model/metered.ts'));
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(async () => {
  await model.close();
  secretsManager.close();
  secretsManager.closeAllConnections();
});

const generate = () => generateMetered('alice', { messages: [{ role: 'user', content: 'Say hello' }] });
const keysSent = () => model.requests.map(({ headers }) => headers.authorization);

test('the key is read once and used for five minutes', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  secret = ' first\n';
  model.reply(python('1'), python('2'), python('3'));
  await generate();
  secret = 'second';
  vi.setSystemTime(Date.now() + 299_000);
  await generate();
  expect(reads).toEqual([{ target: 'secretsmanager.GetSecretValue', body: { SecretId: ARN } }]);
  vi.setSystemTime(Date.now() + 2_000);
  await generate();
  expect(reads).toHaveLength(2);
  expect(keysSent()).toEqual(['Bearer first', 'Bearer first', 'Bearer second']);
});

test('a key that was replaced is read at once when the old one is refused', async () => {
  secret = 'old';
  model.reply(python('1'), { status: 401 }, python('2'), python('3'));
  await generate();
  secret = 'new';
  expect((await generate()).text).toContain('2');
  await generate();
  expect(keysSent()).toEqual(['Bearer old', 'Bearer old', 'Bearer new', 'Bearer new']);
  expect(reads).toHaveLength(2);
});

test('a key that is wrong and has not been replaced is not tried again', async () => {
  secret = 'wrong';
  model.reply({ status: 401 });
  await expect(generate()).rejects.toMatchObject({ name: 'ModelError', kind: 'wrong_key' });
  expect(keysSent()).toEqual(['Bearer wrong']);
});

test('a new key that is refused too is not tried a third time', async () => {
  secret = 'old';
  model.reply(python('1'), { status: 401 }, { status: 401 });
  await generate();
  secret = 'new';
  await expect(generate()).rejects.toMatchObject({ kind: 'wrong_key' });
  expect(keysSent()).toEqual(['Bearer old', 'Bearer old', 'Bearer new']);
});

test('other failures do not ask for the secret again', async () => {
  secret = 'fine';
  model.reply({ status: 404 });
  await expect(generate()).rejects.toMatchObject({ kind: 'unknown_model' });
  expect(reads).toHaveLength(1);
});

test('OPENAI_API_KEY serves where there is no secret', async () => {
  delete process.env.OPENAI_API_KEY_SECRET_ARN;
  process.env.OPENAI_API_KEY = 'from-the-environment';
  try {
    model.reply(python('1'));
    await generate();
    expect(keysSent()).toEqual(['Bearer from-the-environment']);
    expect(reads).toEqual([]);
  } finally {
    process.env.OPENAI_API_KEY_SECRET_ARN = ARN;
    delete process.env.OPENAI_API_KEY;
  }
});

describe('before there is a key', () => {
  beforeEach(() => {
    secret = undefined;
    process.env.OPENAI_BASE_URL = 'https://api.openai.com/v1';
  });
  afterEach(() => {
    process.env.OPENAI_BASE_URL = model.url;
  });
  const modelProblem = async () => (await import('../../functions/model/key.ts')).modelProblem();

  test('it is told, and looked for again soon; one that is there is not looked at so often', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    expect(await modelProblem()).toMatch(/^No model key is set yet/);
    secret = 'sk-1';
    expect(await modelProblem()).toMatch(/^No model key is set yet/);
    vi.setSystemTime(Date.now() + 11_000);
    expect(await modelProblem()).toBeNull();
    vi.setSystemTime(Date.now() + 60_000);
    expect(await modelProblem()).toBeNull();
    // Nobody needs to read it for that.
    expect(reads.map(({ target }) => target)).toEqual(Array(2).fill('secretsmanager.DescribeSecret'));
  });

  test('a server of one’s own may do without', async () => {
    process.env.OPENAI_BASE_URL = model.url;
    expect(await modelProblem()).toBeNull();
    model.reply(python('1'));
    expect((await generate()).text).toContain('1');
    expect(reads.map(({ target }) => target)).toEqual(['secretsmanager.GetSecretValue']);
  });
});
