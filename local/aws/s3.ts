/** S3, path style: the operations that the product uses, presigned URLs and form uploads included. */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { S3Event } from 'aws-lambda';
import type { Delivery } from './delivery.ts';
import { AwsError, type EndpointRequest, type EndpointResponse, header, queryValue } from './http.ts';
import type { ObjectMetadata, ObjectStore, StoredObject } from './object-store.ts';
import { checkPolicy, parseUploadForm } from './s3-form.ts';
import { encodeRfc3986, type SignatureVerifier } from './sigv4.ts';

export interface S3Options {
  store: ObjectStore;
  signatures: SignatureVerifier;
  region: string;
  /** Hears of each object written, in order within a mailbox (the first two segments of the key). */
  notifications: Delivery<S3Event>;
}

export interface S3 {
  /** Its errors are AwsErrors with S3's codes; the endpoint writes them with `s3Error`. */
  answer(request: EndpointRequest): EndpointResponse | Promise<EndpointResponse>;
  /** Answers all who wait for an object. */
  close(): void;
}

const SUPPORTED =
  'CreateBucket, HeadBucket, ListObjectsV2, PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects and POST uploads';
/** Query parameters that do not choose another operation. */
const PLAIN_PARAMETERS = /^(x-id|X-Amz-.*|x-amz-.*|response-.*)$/;
/** Headers and form fields that are kept with an object and given back with it. */
const STORED_HEADERS =
  /^(content-type|content-disposition|content-encoding|content-language|cache-control|expires|x-amz-meta-.*)$/;
const MAX_STORED_HEADERS = 8 * 1024;
const MAX_KEY = 1024;
/** seconds */
const LONGEST_WAIT = 20;
const XML = '<?xml version="1.0" encoding="UTF-8"?>\n';
const NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';

/** A form has its signature among its fields, where `createS3` checks it. */
export const isUploadForm = (request: EndpointRequest): boolean =>
  request.method === 'POST' && /^multipart\/form-data\b/i.test(header(request, 'content-type') ?? '');

export function createS3({ store, signatures, region, notifications }: S3Options): S3 {
  const writes = new EventEmitter<Record<string, []>>().setMaxListeners(0);
  let isClosed = false;

  function answer(request: EndpointRequest): EndpointResponse | Promise<EndpointResponse> {
    const [, bucket = '', ...rest] = request.path.split('/').map(decodeURIComponent);
    const key = rest.join('/');
    if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
      throw new AwsError('InvalidBucketName', 'The specified bucket is not valid.');
    }
    if (Buffer.byteLength(key) > MAX_KEY) throw new AwsError('KeyTooLongError', 'Your key is too long');

    if (key === '' && request.method === 'PUT') return createBucket(bucket);
    if (!store.hasBucket(bucket))
      throw new AwsError('NoSuchBucket', 'The specified bucket does not exist', 404);
    const parameters = request.query.map(([name]) => name).filter((name) => !PLAIN_PARAMETERS.test(name));
    const operation =
      key === '' ? bucketOperation(request, parameters) : objectOperation(request, parameters);
    if (operation) return operation(request, bucket, key);
    throw new AwsError('NotImplemented', `Supported here are ${SUPPORTED}.`, 501);
  }

  type Operation = (
    request: EndpointRequest,
    bucket: string,
    key: string,
  ) => EndpointResponse | Promise<EndpointResponse>;

  function bucketOperation(request: EndpointRequest, parameters: string[]): Operation | undefined {
    if (isUploadForm(request)) return postObject;
    if (request.method === 'HEAD') return () => ({ status: 200, headers: { 'x-amz-bucket-region': region } });
    if (request.method === 'GET' && queryValue(request, 'list-type') === '2') return listObjects;
    if (request.method === 'POST' && parameters.join() === 'delete') return deleteObjects;
  }

  function objectOperation(request: EndpointRequest, parameters: string[]): Operation | undefined {
    if (parameters.length > 0) return;
    if (request.method === 'GET') return preferredWait(request) > 0 ? awaitObject : getObject;
    if (request.method === 'HEAD') return headObject;
    if (request.method === 'PUT' && !request.headers['x-amz-copy-source']) return putObject;
    if (request.method === 'DELETE') return deleteObject;
  }

  function createBucket(bucket: string): EndpointResponse {
    store.createBucket(bucket);
    return { status: 200, headers: { location: `/${bucket}` } };
  }

  function putObject(request: EndpointRequest, bucket: string, key: string): EndpointResponse {
    if (request.headers['if-none-match'] === '*' && store.head(bucket, key)) {
      throw new AwsError(
        'PreconditionFailed',
        'At least one of the pre-conditions you specified did not hold',
        412,
      );
    }
    const chunked = header(request, 'x-amz-content-sha256')?.startsWith('STREAMING-');
    const { etag } = write(
      'Put',
      bucket,
      key,
      chunked ? decodeChunks(request.body) : request.body,
      request.headers,
    );
    return { status: 200, headers: { etag } };
  }

  function postObject(request: EndpointRequest, bucket: string): EndpointResponse {
    const form = parseUploadForm(header(request, 'content-type') ?? '', request.body);
    if (!form.fields.has('policy')) throw new AwsError('AccessDenied', 'The form has no policy.', 403);
    signatures.verifyPolicy(form.fields);
    checkPolicy(form, bucket);
    const key = form.fields.get('key') ?? '';
    if (key === '' || Buffer.byteLength(key) > MAX_KEY)
      throw new AwsError('InvalidArgument', 'The key is not valid.');
    const { etag } = write('Post', bucket, key, form.file, Object.fromEntries(form.fields));
    const headers = { etag, location: `http://${request.headers.host}/${bucket}/${encodeKey(key)}` };
    if (form.fields.get('success_action_status') !== '201') {
      return { status: form.fields.get('success_action_status') === '200' ? 200 : 204, headers };
    }
    const body = `<PostResponse>${xml({ Location: headers.location, Bucket: bucket, Key: key, ETag: etag })}</PostResponse>`;
    return { ...xmlResponse(201, body), headers: { ...headers, 'content-type': 'application/xml' } };
  }

  function write(
    how: 'Put' | 'Post',
    bucket: string,
    key: string,
    content: Buffer,
    given: Record<string, string | string[] | undefined>,
  ): ObjectMetadata {
    const headers: Record<string, string> = { 'content-type': 'binary/octet-stream' };
    for (const [name, value] of Object.entries(given)) {
      if (STORED_HEADERS.test(name) && value !== undefined) headers[name] = String(value);
    }
    // The coding of the transfer, not of the object.
    const encoding = headers['content-encoding']?.replace(/^aws-chunked(,\s*)?/, '');
    if (!encoding) delete headers['content-encoding'];
    else headers['content-encoding'] = encoding;
    checkHeaderValues(headers);
    if (JSON.stringify(headers).length > MAX_STORED_HEADERS) {
      throw new AwsError(
        'MetadataTooLarge',
        'Your metadata headers exceed the maximum allowed metadata size',
      );
    }
    const metadata = store.put(bucket, key, content, headers);
    const group = `${bucket}/${key.split('/').slice(0, 2).join('/')}`;
    void notifications.send(group, createdEvent(how, region, bucket, key, metadata));
    writes.emit(`${bucket}/${key}`);
    return metadata;
  }

  /**
   * GetObject with `Prefer: wait=N`, which S3 itself ignores: while it would find nothing, or nothing new, it waits so many
   * seconds for an object to be written.
   */
  async function awaitObject(
    request: EndpointRequest,
    bucket: string,
    key: string,
  ): Promise<EndpointResponse> {
    const seconds = preferredWait(request);
    const known = store.head(bucket, key);
    if (!isClosed && (!known || isUnchanged(request, known))) {
      const timeUp = AbortSignal.timeout(seconds * 1000);
      await once(writes, `${bucket}/${key}`, { signal: timeUp }).catch(() => undefined);
    }
    return getObject(request, bucket, key);
  }

  function getObject(request: EndpointRequest, bucket: string, key: string): EndpointResponse {
    const object = store.get(bucket, key);
    if (!object) throw noSuchKey();
    if (isUnchanged(request, object)) return { status: 304, headers: { etag: object.etag } };
    const headers = objectHeaders(request, object);
    const range = parseRange(header(request, 'range'), object);
    if (!range) return { status: 200, headers, body: object.content };
    return {
      status: 206,
      headers: { ...headers, 'content-range': `bytes ${range.start}-${range.end}/${object.size}` },
      body: object.content.subarray(range.start, range.end + 1),
    };
  }

  function headObject(request: EndpointRequest, bucket: string, key: string): EndpointResponse {
    const object = store.head(bucket, key);
    if (!object) throw noSuchKey();
    if (isUnchanged(request, object)) return { status: 304, headers: { etag: object.etag } };
    return { status: 200, headers: { ...objectHeaders(request, object), 'content-length': object.size } };
  }

  function deleteObject(_request: EndpointRequest, bucket: string, key: string): EndpointResponse {
    store.delete(bucket, key);
    return { status: 204 };
  }

  function deleteObjects(request: EndpointRequest, bucket: string): EndpointResponse {
    const text = request.body.toString();
    const keys = [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key = '']) => unescapeXml(key));
    for (const key of keys) store.delete(bucket, key);
    const quiet = /<Quiet>\s*true\s*<\/Quiet>/.test(text);
    const deleted = quiet ? '' : keys.map((Key) => `<Deleted>${xml({ Key })}</Deleted>`).join('');
    return xmlResponse(200, `<DeleteResult ${NAMESPACE}>${deleted}</DeleteResult>`);
  }

  function listObjects(request: EndpointRequest, bucket: string): EndpointResponse {
    const value = (name: string) => queryValue(request, name) ?? '';
    const [prefix, delimiter] = [value('prefix'), value('delimiter')];
    const maxKeys = Math.min(Number(value('max-keys') || 1000), 1000);
    const encode = value('encoding-type') === 'url' ? encodeKey : (key: string) => key;
    const token = value('continuation-token');
    const after = token ? Buffer.from(token, 'base64url').toString() : value('start-after');

    const items: { name: string; isPrefix: boolean; lastKey: string }[] = [];
    let truncated = false;
    for (const key of store.keys(bucket, prefix)) {
      if (after && Buffer.compare(Buffer.from(key), Buffer.from(after)) <= 0) continue;
      const cut = delimiter ? key.indexOf(delimiter, prefix.length) : -1;
      const name = cut < 0 ? key : key.slice(0, cut + delimiter.length);
      const last = items.at(-1);
      if (last?.isPrefix && last.name === name) {
        last.lastKey = key;
      } else if (items.length < maxKeys) {
        items.push({ name, isPrefix: cut >= 0, lastKey: key });
      } else {
        truncated = true;
        break;
      }
    }
    const contents = items.flatMap(({ name, isPrefix }) => {
      if (isPrefix) return `<CommonPrefixes>${xml({ Prefix: encode(name) })}</CommonPrefixes>`;
      const metadata = store.head(bucket, name);
      if (!metadata) return [];
      const { modified, etag, size } = metadata;
      const LastModified = new Date(modified).toISOString();
      return `<Contents>${xml({ Key: encode(name), LastModified, ETag: etag, Size: size, StorageClass: 'STANDARD' })}</Contents>`;
    });
    const next = truncated && Buffer.from(items.at(-1)?.lastKey ?? '').toString('base64url');
    const head = {
      Name: bucket,
      Prefix: encode(prefix),
      ...(delimiter && { Delimiter: encode(delimiter) }),
      ...(value('encoding-type') && { EncodingType: value('encoding-type') }),
      KeyCount: items.length,
      MaxKeys: maxKeys,
      IsTruncated: String(truncated),
      ...(next && { NextContinuationToken: next }),
    };
    return xmlResponse(
      200,
      `<ListBucketResult ${NAMESPACE}>${xml(head)}${contents.join('')}</ListBucketResult>`,
    );
  }

  return {
    answer,
    close() {
      isClosed = true;
      // `once` listens to errors as well.
      for (const name of writes.eventNames()) if (name !== 'error') writes.emit(name);
    },
  };
}

const noSuchKey = () => new AwsError('NoSuchKey', 'The specified key does not exist.', 404);

export function s3Error(request: EndpointRequest, error: AwsError): EndpointResponse {
  const fields = {
    Code: error.code,
    Message: error.message,
    Resource: request.path,
    RequestId: randomUUID(),
  };
  const response = xmlResponse(error.status, `<Error>${xml(fields)}</Error>`);
  return request.method === 'HEAD' ? { ...response, body: undefined } : response;
}

function objectHeaders(request: EndpointRequest, object: ObjectMetadata): Record<string, string> {
  const overrides = Object.fromEntries(
    request.query
      .filter(([name]) => name.startsWith('response-'))
      .map(([name, value]) => [name.slice('response-'.length), value] as const)
      .filter(([name]) => STORED_HEADERS.test(name)),
  );
  checkHeaderValues(overrides);
  return {
    ...object.headers,
    ...overrides,
    etag: object.etag,
    'last-modified': new Date(object.modified).toUTCString(),
    'accept-ranges': 'bytes',
  };
}

/** Others would break the response that carries them. S3 takes ISO 8859-1, but Node fails at it in Content-Disposition. */
function checkHeaderValues(headers: Record<string, string>): void {
  if (Object.values(headers).some((value) => /[^\t\x20-\x7e]/.test(value))) {
    throw new AwsError('InvalidArgument', 'Header values must be ASCII.');
  }
}

function isUnchanged(request: EndpointRequest, { etag }: ObjectMetadata): boolean {
  const known = header(request, 'if-none-match')?.split(/\s*,\s*/) ?? [];
  return known.includes(etag) || known.includes('*');
}

/** Seconds of `Prefer: wait=N` (RFC 7240), 0 without it. */
function preferredWait(request: EndpointRequest): number {
  const seconds = /(?:^|[,;])\s*wait\s*=\s*"?(\d+)"?\s*(?=$|[,;])/i.exec(
    header(request, 'prefer') ?? '',
  )?.[1];
  return Math.min(Number(seconds ?? 0), LONGEST_WAIT);
}

/** First and last byte of a range request; undefined where there is none that S3 heeds. */
function parseRange(
  text: string | undefined,
  { size }: StoredObject,
): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(text ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === '' || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (start > end) throw new AwsError('InvalidRange', 'The requested range is not satisfiable', 416);
  return { start, end };
}

/** The content of an `aws-chunked` body. Signatures of chunks and trailing checksums guard against a lossy network; here is none. */
function decodeChunks(body: Buffer): Buffer {
  const chunks: Buffer[] = [];
  let position = 0;
  for (;;) {
    const end = body.indexOf('\r\n', position);
    const size = Number.parseInt(body.toString('latin1', position, end), 16);
    if (end < 0 || !(size >= 0) || end + 2 + size > body.length) {
      throw new AwsError('IncompleteBody', 'The request body terminated unexpectedly');
    }
    if (size === 0) return Buffer.concat(chunks);
    chunks.push(body.subarray(end + 2, end + 2 + size));
    position = end + 2 + size + 2;
  }
}

function createdEvent(
  how: 'Put' | 'Post',
  region: string,
  bucket: string,
  key: string,
  { size, etag, modified }: ObjectMetadata,
): S3Event {
  const record = {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    awsRegion: region,
    eventTime: new Date(modified).toISOString(),
    eventName: `ObjectCreated:${how}`,
    userIdentity: { principalId: 'local' },
    requestParameters: { sourceIPAddress: '127.0.0.1' },
    responseElements: { 'x-amz-request-id': randomUUID(), 'x-amz-id-2': '' },
    s3: {
      s3SchemaVersion: '1.0',
      configurationId: 'local',
      bucket: { name: bucket, ownerIdentity: { principalId: 'local' }, arn: `arn:aws:s3:::${bucket}` },
      // S3 writes keys in events as form data is written: a space is a plus.
      object: { key: encodeKey(key).replaceAll('%20', '+'), size, eTag: etag.slice(1, -1), sequencer: '' },
    },
  };
  return { Records: [record] };
}

const encodeKey = (key: string) => key.split('/').map(encodeRfc3986).join('/');

function xmlResponse(status: number, body: string): EndpointResponse {
  return { status, headers: { 'content-type': 'application/xml' }, body: XML + body };
}

function xml(elements: Record<string, string | number>): string {
  return Object.entries(elements)
    .map(([name, value]) => `<${name}>${escapeXml(String(value))}</${name}>`)
    .join('');
}

function escapeXml(text: string): string {
  // Control characters have no place in XML 1.0; a key that has them is listed with `encoding-type=url`.
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name) return named[name] ?? whole;
    return String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal));
  });
}
