/** GET /openapi.json: OpenAPI 3.1, generated from the table of routes and the schemas that validate requests. */
import * as z from 'zod';
import { eventSchema } from '../events/events.ts';
import {
  executeRequestSchema,
  executionSchema,
  historySchema,
  resumeRequestSchema,
} from '../execution/execution.ts';
import { apiHandler } from '../http/middleware.ts';
import { type Auth, config } from '../service/config.ts';
import { healthSchema } from '../service/health.ts';
import { querySchema as artifactQuery } from './get-artifact.ts';
import { metricsSchema } from './get-metrics.ts';
import { querySchema as eventsQuery } from './list-events.ts';
import { querySchema as historyQuery } from './list-executions.ts';
import { type Route, routes } from './routes.ts';

const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'What is wrong and what to do.' }),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
    request_id: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });
const eventsSchema = z.object({ events: z.array(eventSchema) }).meta({ id: 'Events' });
const refusalSchema = z
  .object({ message: z.string() })
  .meta({ id: 'Refusal', description: 'The answer of API Gateway, before the request reaches the service.' });
const anyObject = z.record(z.string(), z.unknown());

type Handler = (typeof routes)[number]['handler'];

interface Operation {
  /** Answers of success: status, meaning, body. */
  answers: [status: number, description: string, body?: z.ZodType][];
  /** Statuses of the problems it may answer with, beside 500 and those of who may call. */
  problems: number[];
  query?: z.ZodObject;
  headers?: Record<string, string>;
  body?: z.ZodType;
  /** Its answers are executions, from which the routes of one execution go on. */
  links?: true;
}

/** The statuses of problems that a route answers with, in order. */
function problemsOf(path: string, { problems }: Operation): number[] {
  // A path that cannot be decoded is refused before its route is asked.
  const ofPath = path.includes('{') ? [400] : [];
  return [...new Set([...ofPath, ...problems, 500])].sort();
}

/** Of each route of one execution, how its id comes from an answer that is one. */
const executionLinks = Object.fromEntries(
  routes
    .filter(({ path }) => path.includes('{id}') && !path.includes('{name'))
    .map(({ handler }) => [
      handler,
      { operationId: handler, parameters: { id: '$response.body#/execution_id' } },
    ]),
);

const operations: Record<Handler, Operation> = {
  execute: {
    answers: [
      [200, 'It has ended.', executionSchema],
      [202, 'It goes on: follow it by WebSocket, or get `Location`.', executionSchema],
    ],
    problems: [400, 404, 409, 413, 415, 422, 429, 503],
    headers: {
      Prefer: 'RFC 7240: `wait=N` (at most 25 seconds; default 20) or `respond-async`.',
      'Idempotency-Key': 'The same key and body give the same execution, for a day.',
    },
    body: z.union([executeRequestSchema, resumeRequestSchema]),
    links: true,
  },
  'list-executions': {
    answers: [[200, 'A page.', historySchema]],
    problems: [400],
    query: historyQuery,
  },
  'get-execution': { answers: [[200, 'A snapshot.', executionSchema]], problems: [404] },
  'cancel-execution': {
    answers: [[200, 'It is cancelled.', executionSchema]],
    problems: [404, 409],
  },
  'list-events': {
    answers: [[200, 'In order.', eventsSchema]],
    problems: [400, 404],
    query: eventsQuery,
  },
  'get-artifact': {
    answers: [[302, 'A short-lived download URL in `Location`.']],
    problems: [400, 404],
    query: artifactQuery,
  },
  'get-notebook': {
    answers: [[302, 'A short-lived download URL in `Location`.']],
    problems: [404, 409],
  },
  'get-archive': {
    answers: [[302, 'A short-lived download URL in `Location`.']],
    problems: [404, 409],
  },
  'get-health': { answers: [[200, 'Healthy.', healthSchema]], problems: [] },
  'get-metrics': { answers: [[200, 'Counters and ratios.', metricsSchema]], problems: [] },
  'get-openapi': { answers: [[200, 'OpenAPI 3.1', anyObject]], problems: [] },
};

const securitySchemes: Record<Exclude<Auth, 'none'>, object> = {
  'api-key': {
    type: 'apiKey',
    in: 'header',
    name: 'x-api-key',
    description: 'A key that `npm run keys` has made.',
  },
  jwt: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'A token of the OIDC issuer of this deployment.',
  },
};

/** JSON Schema (2020-12, as in OpenAPI 3.1), with what has an id moved to `components`. */
function schemaWriter() {
  const components: Record<string, unknown> = {};
  const write = (schema: z.ZodType, io: 'input' | 'output'): unknown => {
    const { $schema, $defs, ...json } = z.toJSONSchema(schema, { io, reused: 'inline' }) as Record<
      string,
      unknown
    >;
    for (const [id, definition] of Object.entries(($defs ?? {}) as Record<string, unknown>)) {
      components[id] = relocate(definition);
    }
    const id = schema.meta()?.id;
    if (!id) return relocate(json);
    components[id] = relocate(json);
    return { $ref: `#/components/schemas/${id}` };
  };
  return { components, write };
}

function relocate(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'));
}

export function openApi(): Record<string, unknown> {
  const { components, write } = schemaWriter();
  const json = (schema: z.ZodType, type = 'application/json') => ({
    content: { [type]: { schema: write(schema, 'output') } },
  });
  const parameters = (path: string, { query, headers = {} }: Operation) => [
    ...[...path.matchAll(/\{(\w+)\+?\}/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    })),
    ...Object.entries(query?.shape ?? {}).map(([name, schema]) => ({
      name,
      in: 'query',
      schema: write(schema as z.ZodType, 'output'),
    })),
    ...Object.entries(headers).map(([name, description]) => ({
      name,
      in: 'header',
      description,
      schema: { type: 'string' },
    })),
  ];
  const { auth } = config;
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { method, path, handler, summary, open } of routes as readonly (Route & {
    handler: Handler;
  })[]) {
    const isProtected = auth !== 'none' && !open;
    const operation = operations[handler];
    const template = path.replace('+}', '}');
    paths[template] ??= {};
    paths[template][method.toLowerCase()] = {
      operationId: handler,
      summary,
      ...(isProtected && { security: [{ [auth]: [] }] }),
      parameters: parameters(path, operation),
      ...(operation.body && {
        requestBody: {
          required: true,
          content: { 'application/json': { schema: write(operation.body, 'input') } },
        },
      }),
      responses: Object.fromEntries([
        ...operation.answers.map(([status, description, body]) => [
          status,
          { description, ...(body && json(body)), ...(operation.links && { links: executionLinks }) },
        ]),
        ...(isProtected ? [401, 403] : []).map((status) => [
          status,
          { description: 'No key or token, or not a valid one.', ...json(refusalSchema) },
        ]),
        ...problemsOf(path, operation).map((status) => [
          status,
          { description: 'A problem document.', ...json(problemSchema, 'application/problem+json') },
        ]),
      ]),
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Recursive AI Executor', version: '1', license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: '/api' }],
    paths,
    components: {
      schemas: components,
      ...(auth !== 'none' && { securitySchemes: { [auth]: securitySchemes[auth] } }),
    },
  };
}

export const handler = apiHandler(async () => ({ status: 200, body: openApi() }));
