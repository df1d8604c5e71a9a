/**
 * The front: what API Gateway and CloudFront are on AWS. Turns HTTP requests into events for the handlers of the
 * routes (payload format 2.0), upgrades of /ws into WebSocket connections, and serves the built UI.
 *
 * It listens for the user of this machine alone, and any page that the user's browser shows can send requests to it
 * as well. So a request must name this server in its Host (a page whose own name has been pointed at 127.0.0.1, DNS
 * rebinding, names itself there), and one that changes something or opens a WebSocket must not come from a page of
 * another origin: it could spend the user's model money. Others cannot read answers, as no CORS header allows it.
 */
import { randomUUID } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import type { APIGatewayProxyEventV2, APIGatewayProxyResultV2, Handler } from 'aws-lambda';
import sirv from 'sirv';
import { artifactSecurityPolicy, contentSecurityPolicy } from '../web/content-security-policy.ts';
import { BodyTooLarge, parseTarget, readBody } from './aws/http.ts';
import { callHandler } from './aws/lambda.ts';
import type { Log } from './aws/log.ts';
import { refuseUpgrade, type WebSocketApi, type WebSocketHandlers } from './aws/websocket.ts';

export interface Route {
  method: string;
  /** A path template of API Gateway: `/executions/{id}`, `/files/{name+}`. */
  path: string;
  /** What `loadHandler` finds the handler by. */
  handler: string;
}

export type HttpHandler = Handler<APIGatewayProxyEventV2, APIGatewayProxyResultV2>;

export interface FrontOptions {
  /** The address to listen at; a wildcard address (0.0.0.0, ::) opens it to other machines. default: 127.0.0.1 */
  host?: string;
  /** 0: any that is free */
  port: number;
  /** Served under /api and at the root. */
  routes: readonly Route[];
  /** Called once a handler, when it is first needed. */
  loadHandler(name: string): Promise<HttpHandler>;
  /** The bucket of the files, to which /files/ is passed on. default: there are no files */
  filesUrl?: string;
  /** The built UI; need not exist yet. */
  staticDir: string;
  webSocket: { api: WebSocketApi; handlers: WebSocketHandlers };
  log: Log;
}

export interface Front {
  /** Where a browser on this machine finds it. */
  url: string;
  port: number;
  /** Stops listening and ends what is open. */
  close(): Promise<void>;
}

type Query = [name: string, value: string][];

interface Problem {
  status: number;
  /** The stable end of the problem's type. */
  slug: string;
  title: string;
  /** What is wrong and what to do. */
  detail: string;
  headers?: Record<string, string>;
}

interface CompiledRoute extends Route {
  pattern: RegExp;
}

/** bytes, as API Gateway */
const MAX_BODY = 10 * 1024 * 1024;
/** API Gateway gives up on a function then. */
const TIMEOUT_SECONDS = 30;
const WEB_SOCKET_PATH = /^(\/api)?\/ws$/;
/** Below it are the files, at their presigned URLs. */
const FILES_PATH = '/files/';
const WILDCARDS = ['0.0.0.0', '::'];

/** Rejects with the error of `listen`, EADDRINUSE for one. */
export async function startFront(options: FrontOptions): Promise<Front> {
  const { host = '127.0.0.1', log } = options;
  const routes = options.routes.map(compileRoute);
  const handlers = new Map<string, Promise<HttpHandler>>();
  const serveFile = sirv(options.staticDir, {
    dev: true,
    etag: true,
    setHeaders: (response) => response.setHeader('content-security-policy', contentSecurityPolicy),
  });

  const server = http.createServer((request, response) => {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('x-frame-options', 'DENY');
    const requestId = randomUUID();
    answer(request, response, requestId).catch((error) => {
      if (!response.socket || response.socket.destroyed) return;
      log('error', 'request failed', {
        requestId,
        error: error instanceof Error ? error.stack : String(error),
      });
      sendProblem(response, requestId, {
        status: 500,
        slug: 'internal-error',
        title: 'Internal error',
        detail:
          'Something went wrong on our side. Try again; if it stays, look for the request_id in the log.',
      });
    });
  });
  // A browser keeps its connections; a client whose request meets the end of one sees an error.
  server.keepAliveTimeout = 65_000;

  server.on('upgrade', (request, socket, head) => {
    const problem =
      refusal(request, true) ?? (WEB_SOCKET_PATH.test(pathOf(request)) ? undefined : notFound());
    if (!problem)
      return void options.webSocket.api.upgrade(request, socket, head, options.webSocket.handlers);
    const document = problemDocument(problem, randomUUID());
    refuseUpgrade(socket, problem.status, document, 'application/problem+json');
  });

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
  ): Promise<void> {
    const path = pathOf(request);
    const problem = refusal(request, !['GET', 'HEAD', 'OPTIONS'].includes(request.method ?? ''));
    if (problem) return sendProblem(response, requestId, problem);
    const file = request.method === 'GET' ? fileAt(request.url ?? '') : undefined;
    if (file) return relay(file, response);
    const isApi = path === '/api' || path.startsWith('/api/');
    const apiPath = isApi ? path.slice('/api'.length) : path;
    const matching = routes.filter(({ pattern }) => pattern.test(apiPath));
    const route = matching.find(({ method }) => method === request.method);
    // At the root the API and the page share addresses: a browser that opens one wants the page.
    const wantsPage = !isApi && request.method === 'GET' && request.headers.accept?.includes('text/html');
    if (route && !wantsPage) return callRoute(route, apiPath, request, response, requestId);
    if (matching.length > 0 && !wantsPage) {
      const allow = matching.map(({ method }) => method).join(', ');
      return sendProblem(response, requestId, {
        status: 405,
        slug: 'method-not-allowed',
        title: 'Method not allowed',
        detail: `This path takes ${allow}.`,
        headers: { allow },
      });
    }
    if (isApi || !['GET', 'HEAD'].includes(request.method ?? ''))
      return sendProblem(response, requestId, notFound());
    serveFile(request, response, () => {
      // Paths of the UI's own pages have no file; the UI finds them itself.
      if (!request.headers.accept?.includes('text/html')) return sendProblem(response, requestId, notFound());
      request.url = '/';
      serveFile(request, response, () => sendProblem(response, requestId, uiNotBuilt()));
    });
  }

  async function callRoute(
    route: CompiledRoute,
    apiPath: string,
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
  ): Promise<void> {
    let target: { path: string; query: Query };
    let parameters: Record<string, string>;
    try {
      target = parseTarget(request.url ?? '/');
      parameters = pathParameters(route, apiPath);
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
      return sendProblem(response, requestId, badEncoding());
    }
    let body: Buffer;
    try {
      body = await readBody(request, MAX_BODY);
    } catch (error) {
      if (!(error instanceof BodyTooLarge)) throw error;
      return sendProblem(response, requestId, tooLarge());
    }
    const event = httpEvent(route, request, target, parameters, body, requestId);
    let handler = handlers.get(route.handler);
    if (!handler) {
      handler = options.loadHandler(route.handler);
      handlers.set(route.handler, handler);
    }
    const result = await withTimeout(
      callHandler(await handler, event, {
        functionName: route.handler,
        requestId,
        timeoutSeconds: TIMEOUT_SECONDS,
      }),
    );
    if (result === timedOut) return sendProblem(response, requestId, gatewayTimeout());
    sendResult(response, result ?? {});
  }

  /** The URL of the file that a path below /files/ stands for. */
  function fileAt(path: string): string | undefined {
    if (!options.filesUrl || !path.startsWith(FILES_PATH)) return undefined;
    // A path with .. in it may lead elsewhere, but one with // names no other host.
    const { href } = new URL(new URL(options.filesUrl).origin + path.slice('/files'.length));
    return href.startsWith(`${options.filesUrl}/`) ? href : undefined;
  }

  /** Why a request is not served at all; see the head of this file. */
  function refusal(request: IncomingMessage, changesSomething: boolean): Problem | undefined {
    const named = parseHost(request.headers.host);
    if (!named || !isOwnName(named.hostname)) {
      return {
        status: 403,
        slug: 'unknown-host',
        title: 'Unknown host',
        detail:
          'This server answers under its own name only: use the address that it printed at its start, or set HOST.',
      };
    }
    const { origin } = request.headers;
    if (!changesSomething || origin === undefined) return undefined;
    const source = origin.startsWith('http://') ? parseHost(origin.slice('http://'.length)) : undefined;
    if (source && isOwnName(source.hostname) && source.port === named.port) return undefined;
    return {
      status: 403,
      slug: 'foreign-origin',
      title: 'Foreign origin',
      detail: `Pages of ${origin} may not use this server.`,
    };
  }

  function isOwnName(name: string): boolean {
    if (name === 'localhost' || name === '127.0.0.1' || name === '::1' || name === host.toLowerCase())
      return true;
    // Open to other machines it has addresses that we do not know. An address, unlike a name, cannot be rebound.
    return WILDCARDS.includes(host) && isIP(name) !== 0;
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const shownHost = WILDCARDS.includes(host) ? '127.0.0.1' : host;
  return {
    url: `http://${shownHost.includes(':') ? `[${shownHost}]` : shownHost}:${port}`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const pathOf = (request: IncomingMessage) => (request.url ?? '/').split('?', 1)[0] ?? '/';

/** Name and port of a Host header, the name in lower case and without brackets. */
function parseHost(host: string | undefined): { hostname: string; port: string } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@]+))(?::(\d+))?$/i.exec(host ?? '');
  if (!match) return undefined;
  return { hostname: (match[1] ?? match[2] ?? '').toLowerCase(), port: match[3] ?? '80' };
}

function compileRoute(route: Route): CompiledRoute {
  const pattern = route.path
    .split(/(\{\w+\+?\})/)
    .map((part) => {
      const parameter = /^\{(\w+)(\+?)\}$/.exec(part);
      if (!parameter) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return `(?<${parameter[1]}>${parameter[2] ? '.+' : '[^/]+'})`;
    })
    .join('');
  return { ...route, pattern: new RegExp(`^${pattern}$`) };
}

function pathParameters({ pattern }: CompiledRoute, path: string): Record<string, string> {
  const groups = Object.entries(pattern.exec(path)?.groups ?? {});
  return Object.fromEntries(groups.map(([name, value]) => [name, decodeTwice(value)]));
}

/** As an HTTP API of API Gateway does it, which also ends the path at a question mark that comes of it. */
function decodeTwice(value: string): string {
  const [path = ''] = decodeURIComponent(value).split('?', 1);
  return decodeURIComponent(path);
}

function httpEvent(
  route: Route,
  request: IncomingMessage,
  { path, query }: { path: string; query: Query },
  parameters: Record<string, string>,
  body: Buffer,
  requestId: string,
): APIGatewayProxyEventV2 {
  const { cookie, ...headers } = request.headers;
  const now = new Date();
  const text = body.toString();
  // Text where it is text: a replacement character in the place of broken UTF-8 would change what was sent.
  const isBase64Encoded = !Buffer.from(text).equals(body);
  const routeKey = `${route.method} ${route.path}`;
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: (request.url ?? '').split('?').slice(1).join('?'),
    ...(cookie && { cookies: cookie.split('; ') }),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    ...(query.length > 0 && { queryStringParameters: joinRepeated(query) }),
    requestContext: {
      accountId: '000000000000',
      apiId: 'local',
      domainName: request.headers.host ?? '',
      domainPrefix: 'local',
      http: {
        method: route.method,
        path,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp: request.socket.remoteAddress ?? '',
        userAgent: request.headers['user-agent'] ?? '',
      },
      requestId,
      routeKey,
      stage: '$default',
      time: now.toISOString(),
      timeEpoch: now.getTime(),
    },
    ...(Object.keys(parameters).length > 0 && { pathParameters: parameters }),
    ...(body.length > 0 && { body: isBase64Encoded ? body.toString('base64') : text }),
    isBase64Encoded,
  };
}

function joinRepeated(query: Query): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, value] of query) values[name] = name in values ? `${values[name]},${value}` : value;
  return values;
}

/** As API Gateway: a result without a status code is the body, as JSON. */
function sendResult(response: ServerResponse, result: APIGatewayProxyResultV2): void {
  if (typeof result === 'string' || result.statusCode === undefined) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(typeof result === 'string' ? result : JSON.stringify(result));
    return;
  }
  for (const [name, value] of Object.entries(result.headers ?? {})) response.setHeader(name, String(value));
  if (result.cookies) response.setHeader('set-cookie', result.cookies);
  response.statusCode = result.statusCode;
  response.end(Buffer.from(result.body ?? '', result.isBase64Encoded ? 'base64' : 'utf8'));
}

/** Answers with what is at `url`. */
async function relay(url: string, response: ServerResponse): Promise<void> {
  const found = await fetch(url);
  response.statusCode = found.status;
  response.setHeader('content-security-policy', artifactSecurityPolicy);
  for (const name of ['content-type', 'content-length', 'content-disposition', 'etag']) {
    const value = found.headers.get(name);
    if (value) response.setHeader(name, value);
  }
  if (found.body) await pipeline(Readable.fromWeb(found.body as ReadableStream), response);
  else response.end();
}

const timedOut = Symbol('timed out');

async function withTimeout<T>(work: Promise<T>): Promise<T | typeof timedOut> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<typeof timedOut>((resolve) => {
    timer = setTimeout(() => resolve(timedOut), TIMEOUT_SECONDS * 1000);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** RFC 9457; the same members as in the handlers' own problems. */
function problemDocument({ status, slug, title, detail }: Problem, requestId: string): string {
  const type = `urn:recursive-ai-executor:problem:${slug}`;
  return JSON.stringify({ type, title, status, detail, request_id: requestId });
}

function sendProblem(response: ServerResponse, requestId: string, problem: Problem): void {
  if (response.headersSent) return void response.destroy();
  const document = problemDocument(problem, requestId);
  response.writeHead(problem.status, {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    ...problem.headers,
  });
  response.end(document);
}

const notFound = (): Problem => ({
  status: 404,
  slug: 'not-found',
  title: 'Not found',
  detail: 'There is nothing here. GET /api/openapi.json lists what there is.',
});

const uiNotBuilt = (): Problem => ({
  status: 404,
  slug: 'not-found',
  title: 'The page is not built',
  detail: 'Run `npm run build` once, then load this page again. The API works without it.',
});

const badEncoding = (): Problem => ({
  status: 400,
  slug: 'invalid-request',
  title: 'Invalid request',
  detail: 'The percent-encoding of the URL is broken.',
});

/** The rest of the body is left unread, so the connection cannot be used again. */
const tooLarge = (): Problem => ({
  status: 413,
  slug: 'body-too-large',
  title: 'Body too large',
  detail: `A body has at most ${MAX_BODY} bytes.`,
  headers: { connection: 'close' },
});

const gatewayTimeout = (): Problem => ({
  status: 504,
  slug: 'timeout',
  title: 'Timeout',
  detail: `No answer came within ${TIMEOUT_SECONDS} seconds. The request may still take effect.`,
});
