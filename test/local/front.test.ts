import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import type { APIGatewayProxyEventV2, APIGatewayProxyResultV2, Context } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { WebSocketApi } from '../../local/aws/websocket.ts';
import { type Front, type FrontOptions, type Route, startFront } from '../../local/front.ts';
import { temporaryFolder } from './support.ts';

const MAX_BODY = 10 * 1024 * 1024;
const routes: Route[] = [
  { method: 'POST', path: '/things', handler: 'handle' },
  { method: 'GET', path: '/things', handler: 'handle' },
  { method: 'GET', path: '/things/{id}', handler: 'handle' },
  { method: 'DELETE', path: '/things/{id}', handler: 'handle' },
  { method: 'GET', path: '/things/{id}/files/{name+}', handler: 'handle' },
  { method: 'GET', path: '/about.json', handler: 'handle' },
  { method: 'GET', path: '/broken', handler: 'broken' },
];

let front: Front;
let webSocketApi: WebSocketApi;
let options: FrontOptions;
let last: { event: APIGatewayProxyEventV2; context: Context };
let result: APIGatewayProxyResultV2 | undefined;
const loaded: string[] = [];
const logged: string[] = [];

beforeAll(async () => {
  const folder = temporaryFolder();
  const staticDir = path.join(folder, 'dist');
  fs.mkdirSync(path.join(staticDir, 'assets'), { recursive: true });
  fs.writeFileSync(path.join(staticDir, 'index.html'), '<title>UI</title>');
  fs.writeFileSync(path.join(staticDir, 'assets/app.js'), 'let app;');
  fs.writeFileSync(path.join(folder, 'secret.txt'), 'secret');
  fs.mkdirSync(path.join(folder, 'dist-other'));
  fs.writeFileSync(path.join(folder, 'dist-other/secret.txt'), 'secret');
  webSocketApi = new WebSocketApi(() => {});
  const accept = async () => ({ statusCode: 200 });
  options = {
    port: 0,
    routes,
    staticDir,
    loadHandler: async (name) => {
      loaded.push(name);
      return async (event, context) => {
        if (name === 'broken') throw new Error('secret detail');
        last = { event, context };
        return (
          result ?? { statusCode: 200, headers: { 'content-type': 'application/json' }, body: '{"ok":true}' }
        );
      };
    },
    webSocket: { api: webSocketApi, handlers: { connect: accept, message: accept, disconnect: accept } },
    log: (_level, message, details) => logged.push(`${message} ${JSON.stringify(details)}`),
  };
  front = await startFront(options);
});
afterAll(async () => {
  webSocketApi.close();
  await front.close();
});

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
}

/** A request as it is written, unlike with fetch, which tidies paths up and owns some headers. */
function request(
  target: string,
  init: http.RequestOptions & { body?: string | Buffer } = {},
  to = front,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = init;
    const outgoing = http.request({ host: '127.0.0.1', port: to.port, path: target, ...rest }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function expectProblem(answer: Answer, status: number, slug: string) {
  expect([answer.status, answer.headers['content-type']]).toEqual([status, 'application/problem+json']);
  expect(JSON.parse(answer.text)).toEqual({
    type: `urn:recursive-ai-executor:problem:${slug}`,
    title: expect.any(String),
    status,
    detail: expect.stringMatching(/\.$/),
    request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
}

describe('a route', () => {
  test('gets the event that API Gateway would send (payload format 2.0)', async () => {
    await request('/api/things?a=1&b=%C3%BC+x&a=2&empty=', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-Custom': 'Value',
        'User-Agent': 'tests',
        Cookie: 'a=1; b=2',
      },
      body: '{"ü":1}',
    });
    const { event, context } = last;
    const { requestId, time, timeEpoch } = event.requestContext;
    expect(event).toEqual({
      version: '2.0',
      routeKey: 'POST /things',
      rawPath: '/api/things',
      rawQueryString: 'a=1&b=%C3%BC+x&a=2&empty=',
      cookies: ['a=1', 'b=2'],
      headers: {
        host: `127.0.0.1:${front.port}`,
        'content-type': 'application/json',
        'x-custom': 'Value',
        'user-agent': 'tests',
        'content-length': '8',
        connection: 'keep-alive',
      },
      queryStringParameters: { a: '1,2', b: 'ü+x', empty: '' },
      requestContext: {
        accountId: '000000000000',
        apiId: 'local',
        domainName: `127.0.0.1:${front.port}`,
        domainPrefix: 'local',
        http: {
          method: 'POST',
          path: '/api/things',
          protocol: 'HTTP/1.1',
          sourceIp: '127.0.0.1',
          userAgent: 'tests',
        },
        requestId,
        routeKey: 'POST /things',
        stage: '$default',
        time,
        timeEpoch,
      },
      body: '{"ü":1}',
      isBase64Encoded: false,
    });
    expect(Date.parse(time)).toBe(timeEpoch);
    expect([context.awsRequestId, context.functionName]).toEqual([requestId, 'handle']);
    expect(context.getRemainingTimeInMillis()).toBeGreaterThan(25_000);
  });

  test('gets its path parameters decoded, at the root too', async () => {
    await request('/things/a%20b%2Fc');
    expect([last.event.pathParameters, last.event.routeKey]).toEqual([{ id: 'a b/c' }, 'GET /things/{id}']);
    await request('/api/things/1/files/plots/f%C3%BCr.png');
    expect(last.event.pathParameters).toEqual({ id: '1', name: 'plots/für.png' });
    expect(last.event.queryStringParameters).toBeUndefined();
    await request('/things/1/files/a%253Fb');
    expect(last.event.pathParameters).toEqual({ id: '1', name: 'a?b' });
    await request('/things/1/files/what%3F.csv');
    expect(last.event.pathParameters).toEqual({ id: '1', name: 'what' });
    expect((await request('/things/1/files/10%25.png')).status).toBe(400);
    expect((await request('/aboutXjson')).status).toBe(404);
  });

  test('gets a body that is not UTF-8 as base64', async () => {
    const body = Buffer.from([0x7b, 0xff, 0xfe, 0x7d]);
    await request('/things', { method: 'POST', body });
    expect([last.event.body, last.event.isBase64Encoded]).toEqual([body.toString('base64'), true]);
  });

  test('answers with status, headers, cookies and bytes', async () => {
    result = {
      statusCode: 302,
      headers: { location: '/elsewhere', 'x-number': 1 },
      cookies: ['a=1', 'b=2'],
      body: Buffer.from([0, 255]).toString('base64'),
      isBase64Encoded: true,
    };
    const answer = await request('/things');
    expect(answer).toMatchObject({
      status: 302,
      headers: {
        location: '/elsewhere',
        'x-number': '1',
        'set-cookie': ['a=1', 'b=2'],
        'content-length': '2',
      },
    });
    result = 'text';
    expect(await request('/things')).toMatchObject({ status: 200, text: 'text' });
    result = undefined;
  });

  test('is loaded once', async () => {
    await Promise.all([request('/things'), request('/things')]);
    expect(loaded.filter((name) => name === 'handle')).toHaveLength(1);
  });

  test('that throws answers 500 with the request id that is in the log, and no detail', async () => {
    const answer = await request('/broken');
    expectProblem(answer, 500, 'internal-error');
    expect(answer.text).not.toContain('secret');
    expect(logged.join('\n')).toMatch(`"requestId":"${JSON.parse(answer.text).request_id}"`);
    expect(logged.join('\n')).toContain('secret detail');
  });
});

describe('a request is refused', () => {
  test('for an unknown path of the API', async () => {
    expectProblem(await request('/api/nothing', { headers: { accept: 'text/html' } }), 404, 'not-found');
    expectProblem(await request('/nothing', { method: 'POST' }), 404, 'not-found');
  });

  test('for a method that the path does not take', async () => {
    const answer = await request('/api/things/1', { method: 'PUT' });
    expectProblem(answer, 405, 'method-not-allowed');
    expect(answer.headers.allow).toBe('GET, DELETE');
  });

  test('for broken percent-encoding', async () => {
    expectProblem(await request('/things/%E0%A4%A'), 400, 'invalid-request');
    expectProblem(await request('/things?a=%'), 400, 'invalid-request');
  });

  test('for a body above 10 MB, told in advance or not', async () => {
    expect((await request('/things', { method: 'POST', body: Buffer.alloc(MAX_BODY) })).status).toBe(200);
    const told = { 'content-length': String(MAX_BODY + 1) };
    const answer = await new Promise<Answer>((resolve, reject) => {
      const outgoing = http.request(
        { port: front.port, path: '/things', method: 'POST', headers: told },
        (response) => {
          response.resume();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: '' });
          outgoing.destroy();
        },
      );
      outgoing.on('error', reject);
      outgoing.flushHeaders();
    });
    expect([answer.status, answer.headers.connection]).toEqual([413, 'close']);
    const outcome = await new Promise((resolve) => {
      const outgoing = http.request(
        { port: front.port, path: '/things', method: 'POST' },
        ({ statusCode }) => {
          resolve(statusCode);
          outgoing.destroy();
        },
      );
      // The server hangs up on who goes on sending; then the answer may be lost on the way.
      outgoing.on('error', () => resolve(413));
      for (let sent = 0; sent <= MAX_BODY; sent += 1024 * 1024) outgoing.write(Buffer.alloc(1024 * 1024));
    });
    expect(outcome).toBe(413);
    expect((await request('/things')).status).toBe(200);
  });

  test.each([
    'evil.example',
    'evil.example:80',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '192.168.1.5',
    'a@127.0.0.1',
  ])('under the foreign host %j, whatever it asks', async (host) => {
    expectProblem(await request('/things', { headers: { host } }), 403, 'unknown-host');
    expectProblem(await request('/', { headers: { host } }), 403, 'unknown-host');
  });

  test.each(['localhost', 'LOCALHOST:3000', '127.0.0.1', '[::1]:3000'])(
    'but not under its own name %s',
    async (host) => {
      expect((await request('/things', { headers: { host } })).status).toBe(200);
    },
  );

  test('when it changes something and comes from a foreign page', async () => {
    const post = (origin: string) => request('/things', { method: 'POST', headers: { origin }, body: '{}' });
    for (const origin of [
      'https://evil.example',
      'null',
      'http://localhost:1',
      `https://localhost:${front.port}`,
      '',
    ]) {
      expectProblem(await post(origin), 403, 'foreign-origin');
    }
    for (const host of ['localhost', '127.0.0.1', '[::1]']) {
      expect((await post(`http://${host}:${front.port}`)).status).toBe(200);
    }
    const read = await request('/things', { headers: { origin: 'https://evil.example' } });
    expect([read.status, read.headers['access-control-allow-origin']]).toEqual([200, undefined]);
  });

  test('when it opens a WebSocket from a foreign page or elsewhere than at /ws', async () => {
    const statusOf = (target: string, origin?: string) =>
      new Promise<number>((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${front.port}${target}`, { origin });
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
        socket.on('open', () => {
          socket.close();
          resolve(101);
        });
      });
    expect(await statusOf('/ws?a=1')).toBe(101);
    expect(await statusOf('/api/ws', front.url)).toBe(101);
    expect(await statusOf('/ws', 'https://evil.example')).toBe(403);
    expect(await statusOf('/elsewhere')).toBe(404);
  });

  test('under another address only where it listens at all of them', async () => {
    const open = await startFront({ ...options, host: '0.0.0.0' });
    expect(open.url).toBe(`http://127.0.0.1:${open.port}`);
    expect((await request('/things', { headers: { host: '192.168.1.5:3000' } }, open)).status).toBe(200);
    expectProblem(await request('/things', { headers: { host: 'evil.example' } }, open), 403, 'unknown-host');
    await open.close();
  });
});

describe('the UI', () => {
  test('is served, its own pages by index.html', async () => {
    expect(await request('/')).toMatchObject({ status: 200, text: '<title>UI</title>' });
    expect(await request('/assets/app.js')).toMatchObject({ status: 200, text: 'let app;' });
    const html = { headers: { accept: 'text/html,*/*' } };
    expect(await request('/history/of/things', html)).toMatchObject({
      status: 200,
      text: '<title>UI</title>',
    });
    expectProblem(await request('/assets/missing.js'), 404, 'not-found');
    expect((await request('/')).headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
    });
  });

  test.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/assets/../../secret.txt',
    '/../dist-other/secret.txt',
    '//secret.txt',
    '/%00',
    '/%E0%A4%A',
  ])('leads to no file outside: %s', async (target) => {
    const answer = await request(target);
    expect([answer.status, answer.text.includes('secret')]).toEqual([404, false]);
  });

  test('that is not built says how to build it', async () => {
    const bare = await startFront({ ...options, staticDir: path.join(temporaryFolder(), 'missing') });
    const answer = await request('/', { headers: { accept: 'text/html' } }, bare);
    expectProblem(answer, 404, 'not-found');
    expect(answer.text).toContain('npm run build');
    await bare.close();
  });
});

test('a port in use is an error that says so', async () => {
  await expect(startFront({ ...options, port: front.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
