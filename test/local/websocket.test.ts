import http from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  ApiGatewayManagementApiClient,
  DeleteConnectionCommand,
  GetConnectionCommand,
  PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi';
import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { Endpoint } from '../../local/aws/endpoint.ts';
import type { WebSocketHandlers } from '../../local/aws/websocket.ts';
import { Inbox, startTestEndpoint } from './support.ts';

type Event = APIGatewayProxyWebsocketEventV2 & { headers?: Record<string, string> };

let endpoint: Endpoint;
let server: http.Server;
let management: ApiGatewayManagementApiClient;
const events = new Inbox<Event>();
let onConnect: (event: Event) => Promise<{ statusCode: number }>;
let onMessage: (event: Event) => Promise<void>;

const handlers: WebSocketHandlers = {
  connect: async (event) => {
    events.put(event);
    return onConnect(event);
  },
  message: async (event) => {
    events.put(event);
    await onMessage(event);
    return { statusCode: 200 };
  },
  disconnect: async (event) => {
    events.put(event);
    return { statusCode: 200 };
  },
};

beforeAll(async () => {
  endpoint = await startTestEndpoint();
  management = new ApiGatewayManagementApiClient();
  server = http.createServer();
  server.on(
    'upgrade',
    (request, socket, head) => void endpoint.webSocket.upgrade(request, socket, head, handlers),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
beforeEach(() => {
  onConnect = async () => ({ statusCode: 200 });
  onMessage = async () => {};
});
afterAll(async () => {
  await endpoint.close();
  server.close();
});

interface Client {
  socket: WebSocket;
  messages: Inbox<string>;
  opened: Promise<unknown>;
  closed: Promise<number>;
}

function open(query = ''): Client {
  const { port } = server.address() as AddressInfo;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${query}`, { headers: { 'user-agent': 'tests' } });
  const messages = new Inbox<string>();
  socket.on('message', (data) => messages.put(data.toString()));
  const opened = new Promise((resolve) => socket.once('open', resolve));
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  return { socket, messages, opened, closed };
}

/** An open connection and its id; `name` must be new. */
async function connect(name = `connection ${events.items.length}`) {
  const client = open(`?n=${encodeURIComponent(name)}`);
  const event = await events.next(({ queryStringParameters }) => queryStringParameters?.n === name);
  await client.opened;
  return { ...client, id: event.requestContext.connectionId, event };
}

const eventOf = (id: string, type: string) =>
  events.next(
    ({ requestContext }) => requestContext.connectionId === id && requestContext.eventType === type,
  );
const post = (ConnectionId: string, Data: string) =>
  management.send(new PostToConnectionCommand({ ConnectionId, Data }));
const gone = { name: 'GoneException', $metadata: { httpStatusCode: 410 } };

test('$connect is told the query and headers and where the connection comes from', async () => {
  const { event, id, socket, closed } = await connect('first one');
  expect(event).toMatchObject({
    headers: { 'user-agent': 'tests' },
    queryStringParameters: { n: 'first one' },
    isBase64Encoded: false,
    requestContext: {
      routeKey: '$connect',
      eventType: 'CONNECT',
      messageDirection: 'IN',
      connectionId: id,
      domainName: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      identity: { sourceIp: '127.0.0.1', userAgent: 'tests' },
    },
  });
  socket.close(4001, 'bye');
  await closed;
  const { requestContext } = await eventOf(id, 'DISCONNECT');
  expect(requestContext).toMatchObject({
    routeKey: '$disconnect',
    disconnectStatusCode: 4001,
    disconnectReason: 'bye',
  });
});

test.each([
  ['with the status of $connect', () => Promise.resolve({ statusCode: 403 }), 403],
  ['with 500 where $connect throws', () => Promise.reject(new Error('broken')), 500],
])('an upgrade is refused %s', async (_name, handler, status) => {
  onConnect = handler;
  const { socket } = open('?n=refused');
  const response = await new Promise<http.IncomingMessage>((resolve) => {
    socket.on('unexpected-response', (_request, response) => resolve(response));
  });
  expect(response.statusCode).toBe(status);
  const refused = events.items.at(-1)?.requestContext.connectionId ?? '';
  await expect(post(refused, 'x')).rejects.toMatchObject(gone);
});

test('messages go both ways', async () => {
  onMessage = async ({ body, requestContext }) =>
    void (await post(requestContext.connectionId, `echo ${body}`));
  const { socket, messages, id } = await connect();
  socket.send('naïve');
  expect(await messages.next()).toBe('echo naïve');
  const event = await eventOf(id, 'MESSAGE');
  expect(event).toMatchObject({
    body: 'naïve',
    isBase64Encoded: false,
    requestContext: { routeKey: '$default', eventType: 'MESSAGE', connectionId: id },
  });
  expect(event).not.toHaveProperty('headers');
  socket.send(Buffer.from([0, 255]));
  expect(await messages.next((text) => text === 'echo AP8=')).toBeDefined();
});

test('posts arrive in order', async () => {
  const { messages, id } = await connect();
  const texts = Array.from({ length: 50 }, (_, i) => `message ${i}`);
  for (const text of texts) await post(id, text);
  await messages.next((text) => text === texts.at(-1));
  expect(messages.items).toEqual(texts);
});

test('a handler that fails tells its client so, and no more', async () => {
  onMessage = () => Promise.reject(new Error('secret detail'));
  const { socket, messages, id } = await connect();
  socket.send('x');
  const answer = JSON.parse(await messages.next());
  expect(answer).toEqual({
    message: 'Internal server error',
    connectionId: id,
    requestId: expect.any(String),
  });
});

test('a message has at most 128 KB, in either direction', async () => {
  const { socket, closed, id, messages } = await connect();
  await expect(post(id, 'x'.repeat(128 * 1024 + 1))).rejects.toMatchObject({
    name: 'PayloadTooLargeException',
    $metadata: { httpStatusCode: 413 },
  });
  await post(id, 'x'.repeat(128 * 1024));
  expect((await messages.next()).length).toBe(128 * 1024);
  socket.send('x'.repeat(128 * 1024));
  expect((await eventOf(id, 'MESSAGE')).body).toHaveLength(128 * 1024);
  socket.send('x'.repeat(128 * 1024 + 1));
  expect(await closed).toBe(1009);
  await eventOf(id, 'DISCONNECT');
});

test('the management API describes and closes connections; closed and unknown ones are gone', async () => {
  const { id, closed } = await connect();
  const described = await management.send(new GetConnectionCommand({ ConnectionId: id }));
  expect(described.Identity).toEqual({ SourceIp: '127.0.0.1', UserAgent: 'tests' });
  expect(described.ConnectedAt?.getTime()).toBeLessThanOrEqual(Date.now());
  await management.send(new DeleteConnectionCommand({ ConnectionId: id }));
  expect(await closed).toBe(1000);
  await eventOf(id, 'DISCONNECT');
  await expect(post(id, 'x')).rejects.toMatchObject(gone);
  await expect(post('L0SM9cOFvHcCIhw=', 'x')).rejects.toMatchObject(gone);
});

test('the management API takes signed requests only', async () => {
  const { id, messages } = await connect();
  const response = await fetch(`${endpoint.url}/@connections/${id}`, { method: 'POST', body: 'forged' });
  expect(response.status).toBe(403);
  await post(id, 'genuine');
  expect(await messages.next()).toBe('genuine');
});

test('a client that goes while $connect runs is told to $disconnect', async () => {
  const entered = Promise.withResolvers<string>();
  const leave = Promise.withResolvers<void>();
  onConnect = async ({ requestContext }) => {
    entered.resolve(requestContext.connectionId);
    await leave.promise;
    return { statusCode: 200 };
  };
  const { socket } = open('?n=hasty');
  socket.on('error', () => {});
  const id = await entered.promise;
  socket.terminate();
  await new Promise((resolve) => setTimeout(resolve, 20));
  leave.resolve();
  await eventOf(id, 'DISCONNECT');
});
