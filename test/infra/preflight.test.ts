/** What `npm run deploy` finds before it starts, against the APIs of AWS at the wire and a stand-in for Docker. */

import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Environment, environments } from '../../infra/environments.ts';
import { preflight } from '../../infra/preflight.ts';

const ACCOUNT = '111122223333';
const [dev, , prod] = environments as readonly [Environment, Environment, Environment];

type Answer = [status: number, body: string | object];
/** What the account is like; a test changes what it is about. */
let account: { identity: Answer; bootstrap: Answer; bucket: number; functions: Answer; cpus: Answer };
let docker: { info: string; buildx: string };
let paths: string[];
let server: Server;
let folder: string;
const kept = { ...process.env };

const identity = `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>${ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`;
const quota = (Value: number): Answer => [200, { Quota: { Value } }];
const xmlError = (code: string): Answer => [
  403,
  `<ErrorResponse><Error><Code>${code}</Code><Message>As told.</Message></Error></ErrorResponse>`,
];

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'preflight-'));
  server = createServer(async (request, response) => {
    const body = await text(request);
    const target = String(request.headers['x-amz-target'] ?? '');
    const region = /Credential=[^/]+\/\d+\/([\w-]+)\//.exec(request.headers.authorization ?? '')?.[1];
    paths.push(`${request.method} ${target || request.url} ${region}`);
    const [status, answer] = route(request.method, target, body);
    response.writeHead(status, {
      'content-type': typeof answer === 'string' ? 'text/xml' : 'application/x-amz-json-1.1',
    });
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true });
});

function route(method: string | undefined, target: string, body: string): Answer {
  if (method === 'HEAD') return [account.bucket, ''];
  if (target.endsWith('.GetParameter')) return account.bootstrap;
  if (target.includes('Quota')) return body.includes('L-B99A9384') ? account.functions : account.cpus;
  return account.identity;
}

beforeEach(() => {
  account = {
    identity: [200, identity],
    bootstrap: [200, { Parameter: { Value: '29' } }],
    bucket: 200,
    functions: quota(1000),
    cpus: quota(64),
  };
  docker = { info: 'echo aarch64', buildx: 'echo "Platforms: linux/arm64"' };
  paths = [];
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    // No profile of whoever runs the tests, and no role of the machine.
    AWS_CONFIG_FILE: path.join(folder, 'none'),
    AWS_SHARED_CREDENTIALS_FILE: path.join(folder, 'none'),
    AWS_EC2_METADATA_DISABLED: 'true',
    CDK_DOCKER: path.join(folder, 'docker'),
  });
});
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in kept)) delete process.env[name];
});

async function find(environment: Environment = dev, changed: object = {}): Promise<string[]> {
  writeFileSync(
    path.join(folder, 'docker'),
    `#!/bin/sh\ncase $1 in info) ${docker.info};; *) ${docker.buildx};; esac\n`,
  );
  chmodSync(path.join(folder, 'docker'), 0o755);
  const sandbox = { ...environment.sandbox, ...changed } as Environment['sandbox'];
  const found = await preflight({ ...environment, sandbox });
  return found.map(({ level, sentence }) => `${level}: ${sentence}`);
}

test('nothing is found where all is well, in every region that the environment has a part in', async () => {
  expect(await find()).toEqual([]);
  expect(await find(prod)).toEqual([]);
  expect(paths).toContain('POST AmazonSSM.GetParameter us-east-1');
  expect(paths.filter((one) => /^(PUT|DELETE)/.test(one))).toEqual([]);
});

test('credentials that are missing, old or wrong', async () => {
  account.identity = xmlError('ExpiredToken');
  expect(await find()).toEqual([
    expect.stringMatching(/^error: The AWS credentials have expired: log in again/),
  ]);
  account.identity = xmlError('InvalidClientTokenId');
  expect(await find()).toEqual([
    expect.stringMatching(/^error: AWS refuses the credentials: check AWS_PROFILE/),
  ]);
  delete process.env.AWS_ACCESS_KEY_ID;
  delete process.env.AWS_SECRET_ACCESS_KEY;
  expect(await find()).toEqual([
    expect.stringMatching(/^error: There are no AWS credentials: run aws configure/),
  ]);
});

test('regions: none, one that CloudFront cannot log to, one in which not every zone has Fargate', async () => {
  process.env.AWS_REGION = 'eu-south-1';
  expect(await find()).toEqual([
    expect.stringMatching(/^error: CloudFront cannot .* eu-south-1: choose one of ap-/),
  ]);
  process.env.AWS_REGION = 'us-west-1';
  expect(await find()).toEqual([
    expect.stringMatching(/^error: In us-west-1 only the zones usw1-az1 and usw1-az3 .*sandbox\.zones/),
  ]);
  expect(await find(dev, { zones: ['us-west-1a', 'us-west-1c'] })).toEqual([]);
  delete process.env.AWS_REGION;
  expect(await find()).toEqual(['error: No region is chosen: set AWS_REGION, or run aws configure.']);
});

test('an account that is not prepared, or by an old version, or whose bucket is gone or somebody else’s', async () => {
  const prepare = `npx cdk bootstrap aws://${ACCOUNT}/eu-central-1`;
  account.bootstrap = [400, { __type: 'ParameterNotFound' }];
  expect(await find()).toEqual([`error: The account is not prepared for eu-central-1: run ${prepare} once.`]);
  account.bootstrap = [200, { Parameter: { Value: '5' } }];
  expect(await find()).toEqual([
    expect.stringMatching(/^error: .* by an old CDK \(version 5\): run npx cdk bootstrap/),
  ]);
  account.bootstrap = [400, { __type: 'AccessDeniedException', message: 'No.' }];
  expect(await find()).toEqual([expect.stringMatching(/^warning: Whether the account is prepared/)]);
  account.bootstrap = [200, { Parameter: { Value: '29' } }];
  account.bucket = 404;
  expect(await find()).toEqual([
    expect.stringMatching(/^error: The bucket cdk-hnb659fds-assets-\d+-eu-central-1 is gone/),
  ]);
  account.bucket = 403;
  expect(await find()).toEqual([expect.stringMatching(/^error: The bucket .* is another account's/)]);
});

test('quotas of a new account', async () => {
  account.functions = quota(10);
  expect(await find()).toEqual([
    expect.stringMatching(/^warning: The account may run only 10 functions at once/),
  ]);
  expect(await find(prod)).toEqual([
    expect.stringMatching(
      /^error: prod reserves 500 concurrent executions of Lambda and 100 must stay free, .* has 10/,
    ),
  ]);
  account.functions = quota(1000);
  account.cpus = quota(2);
  expect(await find()).toEqual([expect.stringMatching(/^warning: The account has 2 vCPUs of Fargate/)]);
  expect(await find(prod)).toEqual([expect.stringMatching(/^error: prod needs 3 vCPUs of Fargate/)]);
  account.cpus = [400, { __type: 'AccessDeniedException', message: 'No.' }];
  expect(await find()).toEqual(["warning: The account's quotas cannot be looked at (No.)."]);
});

test('Docker: not there, not running, or not for this kind of machine', async () => {
  docker.info = 'exit 1';
  expect(await find()).toEqual([
    expect.stringMatching(/^error: Docker builds the sandbox image and does not answer/),
  ]);
  docker = { info: 'echo x86_64', buildx: 'echo "Platforms: linux/amd64"' };
  expect(await find()).toEqual([
    expect.stringMatching(
      /^error: Docker on this machine \(x86_64\) cannot build for linux\/arm64: .* of dev to X86_64/,
    ),
  ]);
  expect(await find(dev, { architecture: 'X86_64' })).toEqual([]);
  docker.buildx = 'echo "Platforms: linux/amd64, linux/arm64"';
  expect(await find()).toEqual([]);
  process.env.CDK_DOCKER = path.join(folder, 'no-docker');
  expect(await find()).toEqual([expect.stringMatching(/^error: Docker .* is not installed/)]);
});
