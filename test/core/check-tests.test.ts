/** What POST /execute makes of the verdict on tests: the real client of Lambda against a server that answers as Lambda does. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';

interface Answer {
  status?: number;
  headers?: Record<string, string>;
  body: unknown;
}

let answer: Answer;
const server = createServer((request, response) => {
  request.resume();
  response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
  response.end(JSON.stringify(answer.body));
});
let checkTests: (tests: string) => Promise<void>;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_MAX_ATTEMPTS: '1',
    CHECK_CODE_FUNCTION: 'check-code',
    SANDBOX_PACKAGES: 'numpy==2.4.6',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
  });
  ({ checkTests } = await import('../../functions/sandbox/check-tests.ts'));
});
afterAll(() => server.close());

const verdict = { allowed: true, error: null, error_line: null, imports_pytest: false };

test('tests that can be run are let through', async () => {
  answer = { body: verdict };
  await checkTests('assert f()');
});

test('tests that cannot be run are refused with line and reason', async () => {
  answer = { body: { ...verdict, allowed: false, error: 'SyntaxError: invalid syntax', error_line: 3 } };
  await expect(checkTests('…')).rejects.toMatchObject({
    status: 400,
    message: 'The tests cannot be run: line 3: SyntaxError: invalid syntax.',
    errors: [{ pointer: '/tests', detail: 'line 3: SyntaxError: invalid syntax' }],
  });
});

test('tests that need pytest are refused where the sandbox has none', async () => {
  answer = { body: { ...verdict, imports_pytest: true } };
  await expect(checkTests('import pytest')).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining('pytest, which the sandbox does not have'),
  });
});

test.each<[string, Answer]>([
  ['has failed', { headers: { 'x-amz-function-error': 'Unhandled' }, body: { errorMessage: 'broken' } }],
  ['is throttled', { status: 429, headers: { 'x-amzn-errortype': 'TooManyRequestsException' }, body: {} }],
  ['answers what is no verdict', { body: { verdict: 'fine' } }],
])('nothing passes for tested when the function %s', async (_what, broken) => {
  answer = broken;
  await expect(checkTests('assert f()')).rejects.toMatchObject({
    status: 503,
    headers: { 'retry-after': '5' },
  });
});
