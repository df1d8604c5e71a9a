/**
 * AWS Signature Version 4, the verifying side: requests signed in headers, presigned URLs, POST policies.
 *
 * The endpoint checks signatures in full although it only listens on the loopback interface: presigned URLs show the
 * access key id to the sandbox, and other users and web pages of the machine can reach the port as well.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { clock } from './clock.ts';
import { AwsError, type EndpointRequest, header, queryValue } from './http.ts';

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const MAX_CLOCK_SKEW_MS = 15 * 60_000;
/** Of what is signed and checked on one machine. Its clock may be set in between, by more than AWS would take. */
const MAX_HEADER_SKEW_MS = 86_400_000;
/** A presigned URL lives at most seven days. */
const MAX_EXPIRES_SECONDS = 604_800;

const accessDenied = (message: string) => new AwsError('AccessDenied', message, 403);
const mismatch = () =>
  new AwsError(
    'SignatureDoesNotMatch',
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    403,
  );

export class SignatureVerifier {
  readonly #credentials: Credentials;
  readonly #keys = new Map<string, Buffer>();

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
  }

  /**
   * Throws an AwsError with S3's code (AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch, RequestTimeTooSkewed …)
   * unless the request is signed, in its headers or its query, by the endpoint's credentials.
   */
  verifyRequest(request: EndpointRequest): void {
    // Notes how the clock stands, each time.
    clock.times();
    if (request.headers.authorization) this.#verifyHeaders(request, request.headers.authorization);
    else if (queryValue(request, 'X-Amz-Signature')) this.#verifyPresigned(request);
    else throw accessDenied('The request is not signed.');
  }

  /** `fields` are those of the form, names in lower case. Of a POST policy only its signature is checked here. */
  verifyPolicy(fields: Map<string, string>): void {
    const policy = fields.get('policy') ?? '';
    const [, date, region, service] = this.#scope(fields.get('x-amz-credential') ?? '');
    if (fields.get('x-amz-algorithm') !== ALGORITHM)
      throw accessDenied(`The algorithm must be ${ALGORITHM}.`);
    this.#compare(policy, [date, region, service], fields.get('x-amz-signature') ?? '');
  }

  #verifyHeaders(request: EndpointRequest, authorization: string): void {
    const parts = new Map(
      authorization
        .slice(ALGORITHM.length)
        .split(',')
        .map((part) => part.trim().split('=', 2) as [string, string]),
    );
    const signedHeaders = parts.get('SignedHeaders');
    if (!authorization.startsWith(`${ALGORITHM} `) || !signedHeaders) {
      throw new AwsError('AuthorizationHeaderMalformed', 'The authorization header is malformed.');
    }
    const time = header(request, 'x-amz-date') ?? '';
    if (Math.abs(parseTime(time) - Date.now()) > MAX_HEADER_SKEW_MS) {
      throw new AwsError(
        'RequestTimeTooSkewed',
        "The difference between the request time and the server's time is too large.",
        403,
      );
    }
    const given = header(request, 'x-amz-content-sha256');
    let hash = given ?? sha256(request.body);
    if (given && /^[0-9a-f]{64}$/.test(given)) {
      hash = sha256(request.body);
      if (hash !== given) {
        throw new AwsError('XAmzContentSHA256Mismatch', "'x-amz-content-sha256' does not match the body.");
      }
    }
    this.#verify(
      request,
      parts.get('Credential') ?? '',
      time,
      signedHeaders,
      hash,
      parts.get('Signature') ?? '',
    );
  }

  #verifyPresigned(request: EndpointRequest): void {
    const value = (name: string) => queryValue(request, name) ?? '';
    const time = value('X-Amz-Date');
    const signedAt = parseTime(time);
    const expires = Number(value('X-Amz-Expires'));
    if (value('X-Amz-Algorithm') !== ALGORITHM || !(expires >= 1 && expires <= MAX_EXPIRES_SECONDS)) {
      throw new AwsError(
        'AuthorizationQueryParametersError',
        'The query parameters of the signature are not valid.',
      );
    }
    this.#verify(
      request,
      value('X-Amz-Credential'),
      time,
      value('X-Amz-SignedHeaders'),
      queryValue(request, 'X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD',
      value('X-Amz-Signature'),
    );
    const ages = clock.times().map((now) => now - signedAt);
    if (ages.some((age) => age >= -MAX_CLOCK_SKEW_MS && age <= expires * 1000)) return;
    throw accessDenied(
      ages.every((age) => age < -MAX_CLOCK_SKEW_MS) ? 'Request is not valid yet' : 'Request has expired',
    );
  }

  #verify(
    request: EndpointRequest,
    credential: string,
    time: string,
    signedHeaders: string,
    bodyHash: string,
    signature: string,
  ): void {
    const [scope, date, region, service] = this.#scope(credential);
    const names = signedHeaders.split(';');
    if (!names.includes('host') || !time.startsWith(date)) throw mismatch();
    const canonicalRequest = [
      request.method,
      canonicalPath(request.path, service),
      canonicalQuery(request.query),
      ...names.map((name) => `${name}:${(header(request, name) ?? '').trim().replace(/ +/g, ' ')}`),
      '',
      signedHeaders,
      bodyHash,
    ].join('\n');
    this.#compare(
      [ALGORITHM, time, scope, sha256(canonicalRequest)].join('\n'),
      [date, region, service],
      signature,
    );
  }

  /** Scope and its parts of `{access key id}/{date}/{region}/{service}/aws4_request`. */
  #scope(credential: string): [scope: string, date: string, region: string, service: string] {
    const [keyId, date, region, service, end, ...rest] = credential.split('/');
    if (keyId !== this.#credentials.accessKeyId) {
      throw new AwsError(
        'InvalidAccessKeyId',
        'The access key id you provided does not exist in our records.',
        403,
      );
    }
    if (!date || !region || !service || end !== 'aws4_request' || rest.length > 0) {
      throw new AwsError('AuthorizationHeaderMalformed', 'The credential is malformed.');
    }
    return [`${date}/${region}/${service}/aws4_request`, date, region, service];
  }

  #compare(text: string, keyParts: [string, string, string], signature: string): void {
    const expected = hmac(this.#signingKey(keyParts), text);
    const given = Buffer.from(signature, 'hex');
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw mismatch();
  }

  #signingKey(parts: [date: string, region: string, service: string]): Buffer {
    const name = parts.join('/');
    let key = this.#keys.get(name);
    if (!key) {
      key = [...parts, 'aws4_request'].reduce<Buffer>(
        (secret, part) => hmac(secret, part),
        Buffer.from(`AWS4${this.#credentials.secretAccessKey}`),
      );
      // A key a service and day: few, unless someone makes them up.
      if (this.#keys.size > 100) this.#keys.clear();
      this.#keys.set(name, key);
    }
    return key;
  }
}

const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();

/** As AWS encodes: everything but unreserved characters. */
export function encodeRfc3986(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** S3 signs the path as it is, brought to one way of encoding; all other services encode it once more. */
function canonicalPath(path: string, service: string): string {
  return path
    .split('/')
    .map((segment) => encodeRfc3986(service === 's3' ? decodeURIComponent(segment) : segment))
    .join('/');
}

function canonicalQuery(query: EndpointRequest['query']): string {
  return query
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encodeRfc3986(name)}=${encodeRfc3986(value)}`)
    .sort()
    .join('&');
}

/** Milliseconds of a time like 20261123T014008Z; NaN-free: a malformed time is the beginning of time. */
function parseTime(time: string): number {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time);
  if (!parts) return 0;
  const [, year, month, day, hour, minute, second] = parts.map(Number) as [number, ...number[]];
  return Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
}
