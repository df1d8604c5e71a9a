/**
 * API Gateway's WebSocket API: turns connections on the front's server into events for the handlers ($connect,
 * $default, $disconnect) and has the management API, by which functions post to connections.
 *
 * The endpoint owns it, as it serves the management API; the front gives it the upgrade requests.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { APIGatewayProxyResultV2, APIGatewayProxyWebsocketEventV2, Handler } from 'aws-lambda';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { AwsError, type EndpointRequest, type EndpointResponse, parseTarget } from './http.ts';
import { callHandler } from './lambda.ts';
import type { Log } from './log.ts';

export type WebSocketHandler = Handler<APIGatewayProxyWebsocketEventV2, APIGatewayProxyResultV2>;

export interface WebSocketHandlers {
  connect: WebSocketHandler;
  /** `$default`: every message. */
  message: WebSocketHandler;
  disconnect: WebSocketHandler;
}

interface Connection {
  id: string;
  socket: WebSocket;
  handlers: WebSocketHandlers;
  domainName: string;
  identity: { sourceIp: string; userAgent: string };
  connectedAt: number;
  lastActiveAt: number;
  /** Since the last ping. */
  alive: boolean;
}

/** bytes; API Gateway closes with 1009 above it, and refuses to post more. */
const MAX_MESSAGE = 128 * 1024;
/** A client that lets so many bytes pile up has stopped reading. */
const MAX_BUFFERED = 8 * 1024 * 1024;
const PING_INTERVAL_MS = 30_000;

/** Whether a request is one of the management API. */
export const isForConnection = ({ path }: EndpointRequest): boolean => /^\/(@|%40)connections\//.test(path);

export class WebSocketApi {
  readonly #log: Log;
  readonly #connections = new Map<string, Connection>();
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE,
    perMessageDeflate: false,
  });
  readonly #pings: NodeJS.Timeout;

  constructor(log: Log) {
    this.#log = log;
    this.#pings = setInterval(() => this.#ping(), PING_INTERVAL_MS).unref();
  }

  /** Opens the connection if the handler of $connect answers 2xx; else refuses the upgrade with its status. */
  async upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    handlers: WebSocketHandlers,
  ): Promise<void> {
    socket.on('error', () => socket.destroy());
    const connection: Omit<Connection, 'socket'> = {
      id: randomBytes(9).toString('base64url'),
      handlers,
      domainName: request.headers.host ?? '',
      identity: {
        sourceIp: request.socket.remoteAddress ?? '',
        userAgent: request.headers['user-agent'] ?? '',
      },
      connectedAt: Date.now(),
      lastActiveAt: Date.now(),
      alive: true,
    };
    const status = await this.#connect(connection, request);
    if (status < 200 || status > 299) return refuseUpgrade(socket, status);
    this.#server.handleUpgrade(request, socket, head, (webSocket) =>
      this.#open({ ...connection, socket: webSocket }),
    );
    // ws refuses what is not a proper handshake; the client may also have gone while $connect was running.
    if (!this.#connections.has(connection.id)) void this.#disconnect(connection, 1006, '');
  }

  /** The management API: POST, GET and DELETE /@connections/{id}. */
  manage(request: EndpointRequest): EndpointResponse {
    const [, name, id = '', ...rest] = request.path.split('/').map(decodeURIComponent);
    if (name !== '@connections' || id === '' || rest.length > 0) {
      throw new AwsError('NotFoundException', 'The path must be /@connections/{id}.', 404);
    }
    const connection = this.#connections.get(id);
    if (!connection) throw gone();
    switch (request.method) {
      case 'POST':
        return this.#post(connection, request.body);
      case 'GET': {
        const { connectedAt, lastActiveAt, identity } = connection;
        const body = {
          connectedAt: new Date(connectedAt).toISOString(),
          lastActiveAt: new Date(lastActiveAt).toISOString(),
          identity,
        };
        return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
      }
      case 'DELETE':
        connection.socket.close(1000);
        return { status: 204 };
      default:
        throw new AwsError('MethodNotAllowedException', 'Supported are POST, GET and DELETE.', 405);
    }
  }

  /** Closes all connections with 1001 (going away), without telling the handlers: their endpoint goes away as well. */
  close(): void {
    clearInterval(this.#pings);
    const connections = [...this.#connections.values()];
    this.#connections.clear();
    for (const { socket } of connections) {
      socket.close(1001);
      socket.terminate();
    }
    this.#server.close();
  }

  async #connect(connection: Omit<Connection, 'socket'>, request: IncomingMessage): Promise<number> {
    let query: [string, string][];
    try {
      query = parseTarget(request.url ?? '/').query;
    } catch {
      return 400;
    }
    const event = {
      ...eventOf(connection, '$connect', 'CONNECT'),
      headers: Object.fromEntries(
        Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
      ),
      queryStringParameters: Object.fromEntries(query),
    };
    const result = await this.#call(connection, 'connect', event);
    if (!result) return 500;
    return (typeof result.value === 'object' && result.value?.statusCode) || 200;
  }

  #open(connection: Connection): void {
    const { id, socket } = connection;
    this.#connections.set(id, connection);
    socket.on(
      'message',
      (data: RawData, isBinary: boolean) => void this.#message(connection, data, isBinary),
    );
    socket.on('pong', () => {
      connection.alive = true;
    });
    // A broken frame or a message that is too large: ws closes the connection with the code that says so.
    socket.on('error', (error) =>
      this.#log('info', 'WebSocket error', { connection: id, error: error.message }),
    );
    socket.on('close', (code, reason) => {
      if (this.#connections.delete(id)) void this.#disconnect(connection, code, reason.toString());
    });
  }

  async #message(connection: Connection, data: RawData, isBinary: boolean): Promise<void> {
    connection.lastActiveAt = Date.now();
    const event = eventOf(connection, '$default', 'MESSAGE');
    const body = (data as Buffer).toString(isBinary ? 'base64' : 'utf8');
    const result = await this.#call(connection, 'message', { ...event, body, isBase64Encoded: isBinary });
    if (result) return;
    const { connectionId, requestId } = event.requestContext;
    connection.socket.send(JSON.stringify({ message: 'Internal server error', connectionId, requestId }));
  }

  async #disconnect(connection: Omit<Connection, 'socket'>, code: number, reason: string): Promise<void> {
    const event = eventOf(connection, '$disconnect', 'DISCONNECT');
    const requestContext = { ...event.requestContext, disconnectStatusCode: code, disconnectReason: reason };
    await this.#call(connection, 'disconnect', { ...event, requestContext });
  }

  /** The handler's result; nothing if it threw. */
  async #call(
    { handlers }: Pick<Connection, 'handlers'>,
    name: keyof WebSocketHandlers,
    event: APIGatewayProxyWebsocketEventV2,
  ): Promise<{ value: APIGatewayProxyResultV2 | undefined } | undefined> {
    const { requestId } = event.requestContext;
    try {
      return { value: await callHandler(handlers[name], event, { functionName: name, requestId }) };
    } catch (error) {
      this.#log('error', 'WebSocket handler failed', { handler: name, requestId, error: describe(error) });
      return undefined;
    }
  }

  #post(connection: Connection, body: Buffer): EndpointResponse {
    if (body.length > MAX_MESSAGE) {
      throw new AwsError('PayloadTooLargeException', `A message has at most ${MAX_MESSAGE} bytes.`, 413);
    }
    const { socket } = connection;
    if (socket.bufferedAmount > MAX_BUFFERED) socket.terminate();
    if (socket.readyState !== socket.OPEN) throw gone();
    socket.send(body, { binary: false });
    return { status: 200 };
  }

  #ping(): void {
    for (const connection of this.#connections.values()) {
      if (!connection.alive) {
        connection.socket.terminate();
        continue;
      }
      connection.alive = false;
      connection.socket.ping();
    }
  }
}

/** Answers an upgrade request without upgrading it, and ends the connection. */
export function refuseUpgrade(socket: Duplex, status: number, body = '', contentType = 'text/plain'): void {
  const headers = `Connection: close\r\nContent-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body)}`;
  socket.on('error', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${headers}\r\n\r\n${body}`);
}

export function managementError(error: AwsError): EndpointResponse {
  return {
    status: error.status,
    headers: { 'content-type': 'application/json', 'x-amzn-errortype': error.code },
    body: JSON.stringify({ message: error.message }),
  };
}

const gone = () => new AwsError('GoneException', 'The connection is closed.', 410);

function eventOf(
  { id, connectedAt, domainName, identity }: Omit<Connection, 'socket'>,
  routeKey: string,
  eventType: 'CONNECT' | 'MESSAGE' | 'DISCONNECT',
) {
  const now = new Date();
  const requestId = randomUUID();
  return {
    requestContext: {
      routeKey,
      eventType,
      messageId: requestId,
      extendedRequestId: requestId,
      requestId,
      requestTime: now.toISOString(),
      requestTimeEpoch: now.getTime(),
      messageDirection: 'IN' as const,
      stage: 'local',
      connectedAt,
      domainName,
      connectionId: id,
      apiId: 'local',
      identity,
    },
    isBase64Encoded: false,
  };
}

const describe = (error: unknown) => (error instanceof Error ? error.stack : String(error));
