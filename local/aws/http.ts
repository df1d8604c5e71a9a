/** What the services of the local endpoint get and give: a whole request, a whole response, an error with a code. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

export interface EndpointRequest {
  method: string;
  /** As it came, percent-encoded, without the query. */
  path: string;
  /** Decoded, in the order they came. */
  query: [name: string, value: string][];
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface EndpointResponse {
  status: number;
  headers?: Record<string, string | number>;
  body?: string | Buffer;
}

/** An error of a service's own vocabulary; each protocol writes it in its own shape. */
export class AwsError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status = 400,
    /** What the protocol's answer holds besides code and message. */
    readonly details: object = {},
  ) {
    super(message);
    this.name = code;
  }
}

/** The body is larger than the limit. The rest of it is left unread, so the connection must be closed. */
export class BodyTooLarge extends Error {
  override readonly name = 'BodyTooLarge';
}

/** The whole body of a request, at most `limit` bytes. Rejects with BodyTooLarge, or when the sender breaks off. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const tooLarge = () => reject(new BodyTooLarge(`The body is larger than ${limit} bytes.`));
    if (Number(request.headers['content-length'] ?? 0) > limit) return tooLarge();
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        request.removeAllListeners('data').pause();
        return tooLarge();
      }
      chunks.push(chunk);
    });
    request.once('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    request.once('error', reject);
    request.once('close', () => request.complete || reject(new Error('The sender broke off.')));
  });
}

/** Path and query of a request target. Throws URIError where its percent-encoding is broken. */
export function parseTarget(target: string): Pick<EndpointRequest, 'path' | 'query'> {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  decodeURIComponent(path);
  if (mark < 0) return { path, query: [] };
  const query = target
    .slice(mark + 1)
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair): [string, string] => {
      const [name = '', ...value] = pair.split('=');
      return [decodeURIComponent(name), decodeURIComponent(value.join('='))];
    });
  return { path, query };
}

export function queryValue(request: EndpointRequest, name: string): string | undefined {
  return request.query.find(([key]) => key === name)?.[1];
}

/** A header that is expected once. */
export function header(request: Pick<EndpointRequest, 'headers'>, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}
