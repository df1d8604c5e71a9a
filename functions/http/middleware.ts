/** What every handler has around it: structured logs, checked input, errors in the form their reader expects. */
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware';
import middy from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type * as z from 'zod';
import { invocation } from '../service/afterwards.ts';
import {
  type InvalidField,
  Problem,
  SandboxLost,
  SandboxMissing,
  SandboxNotStarted,
} from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { cameThroughCloudFront } from './origin.ts';

/** Whether it is an error by which a state tells the workflow what is next. */
const isAnswer = (error: unknown) =>
  [SandboxLost, SandboxMissing, SandboxNotStarted].some((known) => error instanceof known);

/** A handler of a workflow state: its input is checked by `schema`, its errors keep their names for Retry and Catch. */
export function workflowHandler<S extends z.ZodType, R>(
  schema: S,
  handle: (input: z.output<S>, context: Context) => Promise<R>,
) {
  return middy<z.input<S>, R>()
    .use(injectLambdaContext(logger, { resetKeys: true }))
    .use({
      before: ({ event }) => {
        const id = (event as { execution_id?: unknown } | null)?.execution_id;
        if (typeof id === 'string') logger.appendKeys({ execution_id: id });
      },
      onError: ({ error }) => {
        // The workflow knows what to do about these.
        if (isAnswer(error)) logger.warn((error as Error).message);
        else logger.error('state failed', error as Error);
      },
    })
    .handler((event, context) => invocation(() => handle(schema.parse(event), context)));
}

/** A handler of a WebSocket's route, or the authorizer: what it throws is logged, and answered by API Gateway. */
export function gatewayHandler<Event, Result>(handle: (event: Event) => Promise<Result>) {
  return middy<Event, Result>()
    .use(injectLambdaContext(logger, { resetKeys: true }))
    .use({ onError: ({ error }) => logger.error('request failed', error as Error) })
    .handler((event) => handle(event));
}

export interface ApiRequest {
  /** Who calls: the authorizer's word; `local` where there is no authorizer. */
  owner: string;
  path: Record<string, string>;
  query: Record<string, string>;
  headers: Record<string, string>;
  requestId: string;
  /** The body as JSON. @throws Problem */
  json(): unknown;
}

export interface ApiResponse {
  status: number;
  /** JSON unless it is a string. */
  body?: object | string;
  headers?: Record<string, string>;
}

interface Authorized {
  requestContext: {
    authorizer?: { lambda?: { owner?: string } | null; jwt?: { claims?: { sub?: unknown } } };
  };
}

/** A handler of an HTTP route; a thrown Problem becomes a problem document (RFC 9457). */
export function apiHandler(handle: (request: ApiRequest) => Promise<ApiResponse>) {
  return middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>()
    .use(injectLambdaContext(logger, { resetKeys: true }))
    .use({
      before: ({ event }) => {
        logger.appendKeys({ route: event.routeKey, request_id: event.requestContext.requestId });
        if (event.pathParameters?.id) logger.appendKeys({ execution_id: event.pathParameters.id });
      },
      onError: (request) => {
        const id = request.event.requestContext.requestId;
        if (!(request.error instanceof Problem)) logger.error('request failed', request.error as Error);
        request.response = problemResponse(request.error, id);
      },
    })
    .handler(async (event) => {
      const { status, body, headers } = await invocation(() => handle(toRequest(event)));
      const isText = typeof body === 'string';
      const type = { 'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json' };
      return {
        statusCode: status,
        headers: { 'cache-control': 'no-store', ...(body !== undefined && type), ...headers },
        body: isText ? body : body && JSON.stringify(body),
      };
    });
}

/** @throws Problem for who does not come through CloudFront, or by a token that does not say whose it is. */
function toRequest(event: APIGatewayProxyEventV2): ApiRequest {
  if (!cameThroughCloudFront(event.headers)) {
    const detail = 'The API is not to be called at this address, but at that of the page, under /api.';
    throw new Problem(403, 'wrong-address', 'Wrong address', detail);
  }
  return {
    owner: ownerIn((event as unknown as Authorized).requestContext),
    path: definedValues(event.pathParameters),
    // As forms are read: whether a plus is a space is left open by queryStringParameters.
    query: Object.fromEntries(new URLSearchParams(event.rawQueryString)),
    headers: definedValues(event.headers),
    requestId: event.requestContext.requestId,
    json: () => parseBody(event),
  };
}

/** Bytes of an owner as URLs write it; OpenID allows a third of that. It is part of keys, which DynamoDB limits. */
const LONGEST_OWNER = 765;

const isOwner = (owner: string) =>
  owner !== '' && owner.isWellFormed() && encodeURIComponent(owner).length <= LONGEST_OWNER;

function ownerIn({ authorizer }: Authorized['requestContext']): string {
  if (!authorizer) return 'local';
  const owner = authorizer.lambda?.owner ?? authorizer.jwt?.claims?.sub;
  if (typeof owner === 'string' && isOwner(owner)) return owner;
  const detail = `The token names nobody: it needs the claim "sub", a text of at most ${LONGEST_OWNER} bytes in a URL.`;
  throw new Problem(401, 'unknown-caller', 'Unknown caller', detail);
}

function definedValues(values: Record<string, string | undefined> | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values ?? {}).flatMap(([k, v]) => (v === undefined ? [] : [[k, v]])),
  );
}

function parseBody({ body, isBase64Encoded, headers }: APIGatewayProxyEventV2): unknown {
  const type = headers['content-type'];
  if (type && !/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type)) {
    throw new Problem(415, 'unsupported-media-type', 'Unsupported media type', 'Send application/json.');
  }
  let text: string;
  try {
    text = isBase64Encoded
      ? new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(body ?? '', 'base64'))
      : (body ?? '');
  } catch {
    throw new Problem(400, 'malformed-body', 'Malformed body', 'The body is not valid UTF-8.');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const { message } = error as SyntaxError;
    throw new Problem(400, 'malformed-body', 'Malformed body', `The body is not valid JSON: ${message}.`);
  }
}

/** Checks what a caller sent. @throws Problem that names each field that is wrong. */
export function checkInput<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const errors = result.error.issues.flatMap(toInvalidFields);
  const detail = errors
    .map(({ pointer, detail }) => `${pointer.replace(/^\//, '') || 'body'}: ${detail}`)
    .join('; ');
  throw new Problem(400, 'invalid-request', 'Invalid request', detail, errors);
}

function toInvalidFields(issue: z.core.$ZodIssue): InvalidField[] {
  const pointer = (path: PropertyKey[]) => path.map((key) => `/${String(key)}`).join('');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      pointer: pointer([...issue.path, key]),
      detail: 'is not a known field',
    }));
  }
  return [{ pointer: pointer(issue.path), detail: issue.message }];
}

/** The problem document of an error. Of an unexpected one only the request's id is told. */
function problemResponse(error: unknown, requestId: string): APIGatewayProxyStructuredResultV2 {
  const problem =
    error instanceof Problem
      ? error
      : new Problem(
          500,
          'internal-error',
          'Internal error',
          'Something went wrong on our side. Try again; if it stays, report the request_id.',
        );
  const { status, slug, title, message, errors, headers } = problem;
  return {
    statusCode: status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify({
      type: `urn:recursive-ai-executor:problem:${slug}`,
      title,
      status,
      detail: message,
      ...(errors.length > 0 && { errors }),
      request_id: requestId,
    }),
  };
}
