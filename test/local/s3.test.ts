import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { createPresignedPost, type PresignedPostOptions } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { S3Event } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Endpoint, startEndpoint } from '../../local/aws/endpoint.ts';
import { Inbox, startTestEndpoint, temporaryFolder, testOptions } from './support.ts';

const Bucket = 'files';
const dataDir = temporaryFolder();
const notifications = new Inbox<S3Event>();
let onObjectCreated = async (_event: S3Event): Promise<void> => {};
let endpoint: Endpoint;
let s3: S3Client;

beforeAll(async () => {
  endpoint = await startTestEndpoint({
    dataDir,
    onObjectCreated: async (event) => {
      notifications.put(event);
      await onObjectCreated(event);
    },
  });
  s3 = new S3Client();
  await s3.send(new CreateBucketCommand({ Bucket }));
});
afterAll(() => endpoint.close());

const put = (Key: string, Body: string | Buffer = 'x') =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body }));
const get = async (Key: string) => {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
  return (await Body?.transformToString()) ?? '';
};
const keyOf = (event: S3Event) => event.Records[0]?.s3.object.key ?? '';
const codeOf = async (response: Response) => /<Code>(.*?)<\/Code>/.exec(await response.text())?.[1];

describe('objects', () => {
  test.each([
    ['empty', 0],
    ['cut in its metadata', 30],
    ['cut in its content', -3],
  ])('one whose file is %s is not there, and can be put anew', async (_, length) => {
    const Key = `damaged/${length}`;
    await put(Key, 'some content');
    const file = path.join(dataDir, 's3', Bucket, `${Key}@`);
    fs.truncateSync(file, length < 0 ? fs.statSync(file).size + length : length);
    await expect(get(Key)).rejects.toMatchObject({ name: 'NoSuchKey' });
    await expect(s3.send(new HeadObjectCommand({ Bucket, Key }))).rejects.toMatchObject({ name: 'NotFound' });
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'damaged/' }));
    expect(Contents.map((object) => object.Key)).not.toContain(Key);
    await put(Key, 'new content');
    expect(await get(Key)).toBe('new content');
  });

  test('are given back with what was stored of them', async () => {
    const Body = 'naïve\n\u0000bytes';
    const { ETag } = await s3.send(
      new PutObjectCommand({
        Bucket,
        Key: 'with/metadata.txt',
        Body,
        ContentType: 'text/plain; charset=utf-8',
        ContentDisposition: 'inline',
        Metadata: { owner: 'me' },
      }),
    );
    const object = await s3.send(new GetObjectCommand({ Bucket, Key: 'with/metadata.txt' }));
    expect(await object.Body?.transformToString()).toBe(Body);
    expect(ETag).toBe(`"${createHash('md5').update(Body).digest('hex')}"`);
    expect(object).toMatchObject({
      ETag,
      ContentType: 'text/plain; charset=utf-8',
      ContentDisposition: 'inline',
      ContentLength: Buffer.byteLength(Body),
      Metadata: { owner: 'me' },
    });
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'with/metadata.txt' }));
    expect(head).toMatchObject({ ETag, ContentLength: Buffer.byteLength(Body), Metadata: { owner: 'me' } });
    expect(Date.now() - (head.LastModified?.getTime() ?? 0)).toBeLessThan(60_000);
  });

  test('of a stream come with a trailing checksum and are stored without it', async () => {
    const Body = Readable.from([Buffer.alloc(70_000, 'a'), Buffer.from('end')]);
    await s3.send(new PutObjectCommand({ Bucket, Key: 'streamed', Body, ContentLength: 70_003 }));
    expect(await get('streamed')).toBe(`${'a'.repeat(70_000)}end`);
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'streamed' }));
    expect(head.ContentEncoding).toBeUndefined();
  });

  test('can be read in part', async () => {
    await put('ranges', '0123456789');
    const range = async (Range: string) => {
      const part = await s3.send(new GetObjectCommand({ Bucket, Key: 'ranges', Range }));
      return [part.ContentRange, await part.Body?.transformToString()];
    };
    expect(await range('bytes=2-4')).toEqual(['bytes 2-4/10', '234']);
    expect(await range('bytes=7-')).toEqual(['bytes 7-9/10', '789']);
    expect(await range('bytes=-3')).toEqual(['bytes 7-9/10', '789']);
    expect(await range('bytes=8-100')).toEqual(['bytes 8-9/10', '89']);
    await expect(range('bytes=10-')).rejects.toMatchObject({ name: 'InvalidRange' });
  });

  test('are not sent again to who has them', async () => {
    const { ETag } = await put('known', 'content');
    const again = s3.send(new GetObjectCommand({ Bucket, Key: 'known', IfNoneMatch: ETag }));
    await expect(again).rejects.toMatchObject({ $metadata: { httpStatusCode: 304 } });
    await put('known', 'other content');
    const changed = await s3.send(new GetObjectCommand({ Bucket, Key: 'known', IfNoneMatch: ETag }));
    expect(await changed.Body?.transformToString()).toBe('other content');
  });

  test('can be written only if they are new', async () => {
    const write = () => s3.send(new PutObjectCommand({ Bucket, Key: 'once', Body: 'x', IfNoneMatch: '*' }));
    await write();
    await expect(write()).rejects.toMatchObject({ name: 'PreconditionFailed' });
  });

  test('are deleted alone and together; deleting what is not there is no error', async () => {
    for (const key of ['gone/1', 'gone/2&<3>', 'gone/4']) await put(key);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'gone/1' }));
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'gone/never' }));
    const Objects = [{ Key: 'gone/2&<3>' }, { Key: 'gone/4' }];
    const { Deleted } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    expect(Deleted).toEqual(Objects);
    expect((await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'gone/' }))).KeyCount).toBe(0);
    expect(fs.existsSync(path.join(dataDir, 's3', Bucket, 'gone'))).toBe(false);
    await expect(get('gone/1')).rejects.toMatchObject({ name: 'NoSuchKey' });
  });

  test('survive the end of the process', async () => {
    await put('kept', 'still here');
    expect(fs.readFileSync(path.join(dataDir, 's3', Bucket, 'kept@'), 'utf8')).toContain('still here');
  });
});

describe('keys', () => {
  test.each([
    '../../escape',
    '..',
    '.',
    'a/../../../b',
    '/leading',
    'double//slash',
    'trailing/',
    'spaces and +plus',
    'quotes\'"()*!',
    'ünïcödé/日本語',
    'back\\slash',
    'percent%2Fsign',
    'nul\u0001control',
    'at@/plus+',
    `${'long'.repeat(120)}/file`,
    'x'.repeat(1024),
  ])('%j is stored under its own name, inside the folder', async (key) => {
    await put(key, key);
    expect(await get(key)).toBe(key);
    const { Contents } = await s3.send(
      new ListObjectsV2Command({ Bucket, Prefix: key, EncodingType: 'url' }),
    );
    expect(Contents?.map(({ Key }) => decodeURIComponent(Key ?? ''))).toContain(key);
    const state = ['credentials.json', 's3', 'state.sqlite'];
    expect(
      fs
        .readdirSync(dataDir)
        .filter((name) => !/^state\.sqlite[-.]/.test(name))
        .sort(),
    ).toEqual(state);
    expect(fs.readdirSync(path.join(dataDir, 's3')).sort()).toEqual(['.incoming', Bucket]);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: key }));
  });

  test('may be the beginning of other keys', async () => {
    await put('node', 'leaf');
    await put('node/child', 'deeper');
    await put('node/child/grandchild', 'deepest');
    expect([await get('node'), await get('node/child'), await get('node/child/grandchild')]).toEqual([
      'leaf',
      'deeper',
      'deepest',
    ]);
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'node' }));
    expect(await get('node/child')).toBe('deeper');
  });

  test('have at most 1,024 bytes', async () => {
    await expect(put('é'.repeat(513))).rejects.toMatchObject({ name: 'KeyTooLongError' });
  });

  test('are listed by prefix, page and folder', async () => {
    for (const key of ['list/b/2', 'list/a', 'list/b/1', 'list/c', 'lists']) await put(key);
    const list = async (options: object) => {
      const page = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'list/', ...options }));
      return { page, keys: page.Contents?.map(({ Key }) => Key) ?? [], prefixes: page.CommonPrefixes };
    };
    expect((await list({})).keys).toEqual(['list/a', 'list/b/1', 'list/b/2', 'list/c']);
    const folders = await list({ Delimiter: '/' });
    expect([folders.keys, folders.prefixes]).toEqual([['list/a', 'list/c'], [{ Prefix: 'list/b/' }]]);
    expect((await list({ StartAfter: 'list/b/1' })).keys).toEqual(['list/b/2', 'list/c']);
    const first = await list({ MaxKeys: 3, Delimiter: '/' });
    expect(first.page).toMatchObject({ KeyCount: 3, IsTruncated: false });
    const short = await list({ MaxKeys: 2, Delimiter: '/' });
    expect([short.keys, short.page.IsTruncated]).toEqual([['list/a'], true]);
    const rest = await list({
      MaxKeys: 2,
      Delimiter: '/',
      ContinuationToken: short.page.NextContinuationToken,
    });
    expect([rest.keys, rest.page.IsTruncated]).toEqual([['list/c'], false]);
  });
});

describe('errors', () => {
  test('have names that the SDK knows', async () => {
    await expect(get('missing')).rejects.toMatchObject({ name: 'NoSuchKey' });
    const head = s3.send(new HeadObjectCommand({ Bucket, Key: 'missing' }));
    await expect(head).rejects.toMatchObject({ name: 'NotFound' });
    const elsewhere = s3.send(new PutObjectCommand({ Bucket: 'elsewhere', Key: 'a', Body: 'x' }));
    await expect(elsewhere).rejects.toMatchObject({ name: 'NoSuchBucket' });
    const noBucket = s3.send(new HeadBucketCommand({ Bucket: 'elsewhere' }));
    await expect(noBucket).rejects.toMatchObject({ name: 'NotFound' });
    const badBucket = s3.send(new CreateBucketCommand({ Bucket: '.incoming' }));
    await expect(badBucket).rejects.toMatchObject({ name: 'InvalidBucketName' });
  });

  test('an operation that is not there says what is', async () => {
    const tagging = s3.send(new GetObjectTaggingCommand({ Bucket, Key: 'a' }));
    await expect(tagging).rejects.toMatchObject({
      name: 'NotImplemented',
      message: expect.stringContaining('PutObject'),
    });
  });

  test('unsigned and wrongly signed requests are refused', async () => {
    await put('secret', 'secret');
    const anonymous = await fetch(`${endpoint.url}/${Bucket}/secret`);
    expect([anonymous.status, await codeOf(anonymous)]).toEqual([403, 'AccessDenied']);
    const { accessKeyId } = endpoint.credentials;
    const other = new S3Client({ credentials: { accessKeyId, secretAccessKey: 'guessed' } });
    await expect(other.send(new GetObjectCommand({ Bucket, Key: 'secret' }))).rejects.toMatchObject({
      name: 'SignatureDoesNotMatch',
    });
    const stranger = new S3Client({ credentials: { accessKeyId: 'AKIA', secretAccessKey: 'x' } });
    await expect(stranger.send(new GetObjectCommand({ Bucket, Key: 'secret' }))).rejects.toMatchObject({
      name: 'InvalidAccessKeyId',
    });
  });

  test.each([
    ['DynamoDB', '/', { 'x-amz-target': 'DynamoDB_20120810.ListTables' }],
    ['Step Functions', '/', { 'x-amz-target': 'AWSStepFunctions.StartExecution' }],
    ['ECS', '/', { 'x-amz-target': 'AmazonEC2ContainerServiceV20141113.ListTasks' }],
    ['an unknown service', '/', { 'x-amz-target': 'Nothing.Nowhere' }],
    ['Lambda', '/2015-03-31/functions/check/invocations', {}],
    ['a connection', '/@connections/x', {}],
    ['objects to be deleted', `/${Bucket}?delete`, {}],
  ])('a form is refused where no form belongs: %s', async (_service, path, headers) => {
    const response = await fetch(endpoint.url + path, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'multipart/form-data; boundary=b' },
      body: '{}',
    });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await response.text()).toMatch(/AccessDenied|MalformedPOSTRequest|InvalidArgument|not signed/);
  });

  test('a broken URL and an endless body are refused', async () => {
    expect((await fetch(`${endpoint.url}/${Bucket}/%E0%A4%A`)).status).toBe(400);
    const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: 'huge' }));
    const response = await fetch(url, { method: 'PUT', body: Buffer.alloc(64 * 1024 * 1024 + 1) }).catch(
      () => null,
    );
    if (response) expect(response.status).toBe(413);
    await expect(get('huge')).rejects.toMatchObject({ name: 'NoSuchKey' });
  });
});

describe('who prefers to wait for an object', () => {
  const ask = (key: string, prefer: string, headers: Record<string, string> = {}) =>
    endpoint.answer({
      method: 'GET',
      path: `/${Bucket}/${key}`,
      query: [],
      headers: { prefer, ...headers },
      body: Buffer.alloc(0),
    });

  test('is answered as soon as it is there', async () => {
    const answers = [ask('awaited', 'wait=20'), ask('awaited', 'respond-async, Wait = "20"; x')];
    await put('awaited', 'here');
    for (const { status, body } of await Promise.all(answers))
      expect([status, String(body)]).toEqual([200, 'here']);
  });

  test('is answered as soon as it is another than the one that is known', async () => {
    const { ETag = '' } = await put('changing', 'one');
    expect((await ask('changing', 'wait=20', { 'if-none-match': '"other"' })).status).toBe(200);
    const answer = ask('changing', 'wait=20', { 'if-none-match': ETag });
    await put('not-asked-for', 'x');
    await put('changing', 'two');
    expect(String((await answer).body)).toBe('two');
  });

  test('is told that there is nothing, or nothing new, when the time is up', async () => {
    const { ETag = '' } = await put('unchanged');
    const answers = await Promise.all([
      ask('never', 'wait=1'),
      ask('unchanged', 'wait=1', { 'if-none-match': ETag }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([404, 304]);
  });

  test.each(['wait=0', 'wait=', 'wait=-1', 'wait', 'await=20', 'respond-async'])(
    'and says %s is answered at once',
    async (prefer) => expect((await ask('never', prefer)).status).toBe(404),
  );

  test('reads by a presigned URL, over HTTP', async () => {
    const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: 'by-url' }));
    const answer = fetch(url, { headers: { prefer: 'wait=20' } });
    await put('by-url', 'here');
    expect(await (await answer).text()).toBe('here');
  });

  test('is answered when the endpoint closes', async () => {
    const other = await startEndpoint(testOptions());
    const request = { query: [], body: Buffer.alloc(0) };
    await other.answer({ ...request, method: 'PUT', path: `/${Bucket}`, headers: {} });
    const headers = { prefer: 'wait=20' };
    const answer = other.answer({ ...request, method: 'GET', path: `/${Bucket}/never`, headers });
    await other.close();
    expect((await answer).status).toBe(404);
  });
});

describe('presigned URLs', () => {
  beforeAll(() => put('shared/report.csv', 'a,b'));
  const command = new GetObjectCommand({ Bucket, Key: 'shared/report.csv' });

  test('read without credentials, with the headers that they ask for', async () => {
    const url = await getSignedUrl(
      s3,
      new GetObjectCommand({
        Bucket,
        Key: 'shared/report.csv',
        ResponseContentDisposition: 'attachment; filename="r.csv"; filename*=UTF-8\'\'r%C3%BC.csv',
        ResponseContentType: 'text/csv',
      }),
    );
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([200, 'a,b']);
    expect(response.headers.get('content-type')).toBe('text/csv');
    expect(response.headers.get('content-disposition')).toBe(
      'attachment; filename="r.csv"; filename*=UTF-8\'\'r%C3%BC.csv',
    );
    const etag = response.headers.get('etag') ?? '';
    expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
  });

  test('cannot ask for a header that would break the response', async () => {
    const ResponseContentDisposition = 'attachment; filename="日本.csv"';
    const url = await getSignedUrl(
      s3,
      new GetObjectCommand({ Bucket, Key: 'shared/report.csv', ResponseContentDisposition }),
    );
    const response = await fetch(url);
    expect([response.status, await codeOf(response)]).toEqual([400, 'InvalidArgument']);
  });

  test('write', async () => {
    const url = await getSignedUrl(
      new S3Client({ requestChecksumCalculation: 'WHEN_REQUIRED' }),
      new PutObjectCommand({ Bucket, Key: 'shared/new' }),
    );
    expect((await fetch(url, { method: 'PUT', body: 'written' })).status).toBe(200);
    expect(await get('shared/new')).toBe('written');
  });

  test('expire', async () => {
    const signingDate = new Date(Date.now() - 61_000);
    const expired = await fetch(await getSignedUrl(s3, command, { expiresIn: 60, signingDate }));
    expect(expired.status).toBe(403);
    expect(await expired.text()).toContain('<Message>Request has expired</Message>');
    expect((await fetch(await getSignedUrl(s3, command, { expiresIn: 65, signingDate }))).status).toBe(200);
    const future = await getSignedUrl(s3, command, { signingDate: new Date(Date.now() + 3_600_000) });
    expect((await fetch(future)).status).toBe(403);
  });

  test('cannot be bent to another key, method, time or secret', async () => {
    await put('shared/private', 'private');
    const url = await getSignedUrl(s3, command, { expiresIn: 60 });
    const forged = [
      [url.replace('report.csv', 'private'), 'GET'],
      [url, 'DELETE'],
      [url, 'PUT'],
      [url.replace('X-Amz-Expires=60', 'X-Amz-Expires=600'), 'GET'],
      [`${url}&response-content-type=text%2Fhtml`, 'GET'],
      [url.replace(/X-Amz-Signature=\w+/, `X-Amz-Signature=${'0'.repeat(64)}`), 'GET'],
      [url.replace(/X-Amz-Signature=\w+/, 'X-Amz-Signature=abc'), 'GET'],
    ] as const;
    for (const [target, method] of forged) {
      const response = await fetch(target, { method, ...(method === 'PUT' && { body: 'x' }) });
      expect([response.status, await codeOf(response)]).toEqual([403, 'SignatureDoesNotMatch']);
    }
    expect(await get('shared/report.csv')).toBe('a,b');
  });
});

describe('form uploads', () => {
  const prefix = 'mailbox/box/';
  const policy = (options: Partial<PresignedPostOptions> = {}) =>
    createPresignedPost(s3, {
      Bucket,
      Key: `${prefix}\${filename}`,
      Conditions: [
        ['starts-with', '$key', prefix],
        ['starts-with', '$Content-Type', ''],
        ['content-length-range', 1, 10],
      ],
      Expires: 60,
      ...options,
    });
  async function upload(fields: Record<string, string>, content = 'hello', url?: string) {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    form.append('file', new Blob([content]), 'upload.bin');
    return fetch(url ?? `${endpoint.url}/${Bucket}`, { method: 'POST', body: form });
  }

  test('store the file under the key of the form', async () => {
    const { url, fields } = await policy();
    const response = await upload(
      { ...fields, key: `${prefix}a/b.json`, 'Content-Type': 'application/json' },
      'hello',
      url,
    );
    expect(response.status).toBe(204);
    const object = await s3.send(new GetObjectCommand({ Bucket, Key: `${prefix}a/b.json` }));
    expect([object.ContentType, await object.Body?.transformToString()]).toEqual([
      'application/json',
      'hello',
    ]);
    expect((await upload({ ...fields, 'Content-Type': 'text/plain' })).status).toBe(204);
    expect(await get(`${prefix}upload.bin`)).toBe('hello');
  });

  test('keep bytes that look like the form itself', async () => {
    const { fields } = await policy();
    const content = '\r\n--\r\n\r\n';
    expect((await upload({ ...fields, key: `${prefix}odd`, 'Content-Type': '' }, content)).status).toBe(204);
    expect(await get(`${prefix}odd`)).toBe(content);
  });

  test.each([
    ['too large', {}, 'x'.repeat(11), 400, 'EntityTooLarge'],
    ['too small', {}, '', 400, 'EntityTooSmall'],
    ['outside the prefix', { key: 'mailbox/other/x' }, 'hello', 403, 'AccessDenied'],
    ['with a field that the policy does not cover', { acl: 'public-read' }, 'hello', 403, 'AccessDenied'],
    [
      'with a tampered policy',
      { Policy: Buffer.from('{"expiration":"2999-01-01T00:00:00Z","conditions":[]}').toString('base64') },
      'hello',
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'with a tampered credential',
      { 'X-Amz-Credential': 'AKIA/20260101/us-east-1/s3/aws4_request' },
      'hello',
      403,
      'InvalidAccessKeyId',
    ],
    ['without a signature', { 'X-Amz-Signature': '' }, 'hello', 403, 'SignatureDoesNotMatch'],
  ])('%s are refused', async (_name, changes, content, status, code) => {
    const { fields } = await policy();
    const response = await upload(
      { ...fields, key: `${prefix}refused`, 'Content-Type': '', ...changes },
      content,
    );
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
    await expect(get(`${prefix}refused`)).rejects.toMatchObject({ name: 'NoSuchKey' });
  });

  test('expire, and are bound to their bucket', async () => {
    const { fields } = await policy({ Expires: -1 });
    expect((await upload(fields)).status).toBe(403);
    await s3.send(new CreateBucketCommand({ Bucket: 'other' }));
    const { fields: bound } = await policy();
    expect((await upload(bound, 'hello', `${endpoint.url}/other`)).status).toBe(403);
    fs.rmSync(path.join(dataDir, 's3', 'other'), { recursive: true });
  });

  test('without a file or a policy are refused', async () => {
    const { fields } = await policy();
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    const noFile = await fetch(`${endpoint.url}/${Bucket}`, { method: 'POST', body: form });
    expect(noFile.status).toBe(400);
    expect((await upload({ key: `${prefix}x` })).status).toBe(403);
  });
});

describe('notifications', () => {
  test('tell of every object in the form of an S3 event', async () => {
    const { ETag } = await put('told/with space+ü', 'four');
    const event = await notifications.next((event) => keyOf(event).startsWith('told/'));
    expect(event.Records).toMatchObject([
      {
        eventSource: 'aws:s3',
        eventName: 'ObjectCreated:Put',
        s3: {
          bucket: { name: Bucket },
          object: { key: 'told/with+space%2B%C3%BC', size: 4, eTag: ETag?.slice(1, -1) },
        },
      },
    ]);
  });

  test('are tried again, and keep their order within a mailbox but not across', async () => {
    const order: string[] = [];
    const other = Promise.withResolvers<void>();
    const last = Promise.withResolvers<void>();
    let failures = 0;
    onObjectCreated = async (event) => {
      const key = keyOf(event);
      if (key === 'mailbox/one/1' && failures++ < 2) {
        // The other mailbox is served while this one waits for its next try.
        await other.promise;
        throw new Error('not yet');
      }
      order.push(key);
      if (key === 'mailbox/two/1') other.resolve();
      if (key === 'mailbox/one/3') last.resolve();
    };
    for (const key of ['mailbox/one/1', 'mailbox/one/2', 'mailbox/two/1', 'mailbox/one/3']) await put(key);
    await last.promise;
    onObjectCreated = async () => {};
    expect(order).toEqual(['mailbox/two/1', 'mailbox/one/1', 'mailbox/one/2', 'mailbox/one/3']);
  });
});

test('the credentials are kept, for their owner alone', async () => {
  const file = path.join(dataDir, 'credentials.json');
  expect(fs.statSync(file).mode & 0o777).toBe(0o600);
  expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual(endpoint.credentials);
});
