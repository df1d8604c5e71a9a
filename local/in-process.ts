/**
 * The functions and the local AWS endpoint are one process. What the functions' SDK clients send goes from one to the
 * other as a call: no socket, no signature. All others (sandboxes, the AWS CLI, presigned URLs) come by HTTP.
 */
import { AsyncResource } from 'node:async_hooks';
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { EndpointRequest, EndpointResponse } from './aws/http.ts';

type Answer = (request: EndpointRequest) => Promise<EndpointResponse>;

/** A request as the SDK's clients hand it to their handler, and what they take for its response. */
interface SdkRequest {
  method: string;
  /** Percent-encoded, without the query. */
  path: string;
  query: Record<string, string | string[] | null>;
  headers: Record<string, string>;
  body?: string | Uint8Array | Readable;
}
interface SdkResponse {
  statusCode: number;
  headers: Record<string, string>;
  body: Readable;
}

/**
 * Has the clients of `functions/service/aws.ts` call `answer`, from now on. Those stay as they are whose service is to be
 * found elsewhere: AWS_ENDPOINT_URL_{SERVICE} says so.
 */
export async function connectInProcess(answer: Answer): Promise<void> {
  const clients = await import('../functions/service/aws.ts');
  const requestHandler = new InProcessHandler(answer);
  for (const { config } of Object.values(clients)) {
    const service = config.serviceId.replaceAll(' ', '_').toUpperCase();
    if (process.env[`AWS_ENDPOINT_URL_${service}`]) continue;
    Object.assign(config, { requestHandler, httpAuthSchemes: [unsigned] });
  }
}

/** Takes the place of signing requests. Presigned URLs and forms are signed elsewhere, by the client's credentials. */
const unsigned = {
  schemeId: 'aws.auth#sigv4',
  identityProvider: () => async () => ({}),
  signer: { sign: async (request: unknown) => request },
};

class InProcessHandler {
  readonly #answer: Answer;

  constructor(answer: Answer) {
    // What a request sets off at the endpoint is not part of the invocation that sent it.
    this.#answer = AsyncResource.bind(answer);
  }

  async handle(
    request: SdkRequest,
    { abortSignal }: { abortSignal?: AbortSignal } = {},
  ): Promise<{ response: SdkResponse }> {
    abortSignal?.throwIfAborted();
    const { status, headers = {}, body = '' } = await this.#answer(await toEndpoint(request));
    const entries = Object.entries(headers).map(([name, value]) => [name, String(value)]);
    return { response: { statusCode: status, headers: Object.fromEntries(entries), body: streamOf(body) } };
  }

  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): object {
    return {};
  }
}

async function toEndpoint({ method, path, query, headers, body = '' }: SdkRequest): Promise<EndpointRequest> {
  const lowerCase = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  return {
    method,
    path,
    query: Object.entries(query).flatMap(([name, value]) =>
      [value ?? ''].flat().map((one): [string, string] => [name, one]),
    ),
    headers: Object.fromEntries(lowerCase) as IncomingHttpHeaders,
    body: await bytesOf(body),
  };
}

function bytesOf(body: string | Uint8Array | Readable): Buffer | Promise<Buffer> {
  if (body instanceof Readable) return buffer(body);
  if (typeof body === 'string') return Buffer.from(body);
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

function streamOf(body: string | Buffer): Readable {
  const stream = new Readable({ read() {} });
  stream.push(body);
  stream.push(null);
  return stream;
}
