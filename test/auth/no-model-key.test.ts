/** An environment whose model key nobody has put in yet: it says so, and takes no work that it cannot do. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ProblemBody, type Product, startProduct } from '../support/product.ts';

let secretsManager: Server;
let product: Product;

beforeAll(async () => {
  secretsManager = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify({ Name: 'model-key' }));
  }).listen(0, '127.0.0.1');
  await once(secretsManager, 'listening');
  product = await startProduct({
    env: {
      AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${(secretsManager.address() as AddressInfo).port}`,
      OPENAI_API_KEY_SECRET_ARN: 'arn:aws:secretsmanager:us-east-1:000000000000:secret:model-key-abc123',
      OPENAI_BASE_URL: 'https://api.openai.com/v1',
    },
  });
});
afterAll(async () => {
  await product.close();
  secretsManager.close();
  secretsManager.closeAllConnections();
});

test('/health says it', async () => {
  const { status, body } = await product.call<{ model: { problem: string } }>('GET', '/api/health');
  expect(status).toBe(200);
  expect(body.model.problem).toMatch(/^No model key is set yet/);
});

test('a task is refused before anything is stored, and says why', async () => {
  const { status, body } = await product.call<ProblemBody>('POST', '/api/execute', { prompt: 'Say hello' });
  expect(status).toBe(503);
  expect(body).toMatchObject({
    title: 'No model key',
    detail: expect.stringMatching(/^No model key is set yet/),
  });
  const history = await product.call<{ executions: unknown[] }>('GET', '/api/executions');
  expect(history.body.executions).toEqual([]);
});
