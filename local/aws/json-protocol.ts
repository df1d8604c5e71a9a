/** The AWS JSON protocol: `X-Amz-Target: {service}.{operation}`, JSON in, JSON out, errors with `__type`. */
import type { z } from 'zod';
import { AwsError, type EndpointRequest, type EndpointResponse, header } from './http.ts';

type Operation = (input: unknown) => object | Promise<object>;

export interface JsonService {
  /** Before the dot of `X-Amz-Target`. */
  target: string;
  version: '1.0' | '1.1';
  operations: Record<string, Operation>;
}

/** An operation whose input is checked by a schema first: ValidationException where it does not fit. */
export function operation<Schema extends z.ZodType>(
  schema: Schema,
  run: (input: z.infer<Schema>) => object | Promise<object>,
): Operation {
  return (input) => {
    const parsed = schema.safeParse(input);
    if (parsed.success) return run(parsed.data);
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'input'}: ${issue.message}`,
    );
    throw new AwsError('ValidationException', problems.join('; '));
  };
}

/** Calls the operation that the request names. Errors that are not AwsErrors are thrown on, for the endpoint to log. */
export async function callJsonService(
  service: JsonService,
  request: EndpointRequest,
): Promise<EndpointResponse> {
  const name = (header(request, 'x-amz-target') ?? '').slice(service.target.length + 1);
  const run = Object.hasOwn(service.operations, name) ? service.operations[name] : undefined;
  if (!run) {
    const supported = Object.keys(service.operations).join(', ');
    throw new AwsError(
      'UnknownOperationException',
      `${name} is not supported here; supported are ${supported}.`,
    );
  }
  return jsonResponse(service, 200, await run(parse(request.body)));
}

export function jsonError(service: JsonService, error: AwsError): EndpointResponse {
  return jsonResponse(service, error.status, {
    __type: error.code,
    message: error.message,
    ...error.details,
  });
}

function jsonResponse(service: JsonService, status: number, value: object): EndpointResponse {
  return {
    status,
    headers: { 'content-type': `application/x-amz-json-${service.version}` },
    body: JSON.stringify(value),
  };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new AwsError('SerializationException', 'The body is not JSON.');
  }
}
