/** The functions' SDK clients, connected to the endpoint within the process. */
import { AsyncLocalStorage } from 'node:async_hooks';
import {
  ConditionalCheckFailedException,
  CreateTableCommand,
  TransactionCanceledException,
} from '@aws-sdk/client-dynamodb';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { CreateBucketCommand, GetObjectCommand, NoSuchKey, PutObjectCommand } from '@aws-sdk/client-s3';
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { StartExecutionCommand, StateMachineDoesNotExist } from '@aws-sdk/client-sfn';
import { GetCommand, PutCommand, TransactWriteCommand } from '@aws-sdk/lib-dynamodb';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Endpoint } from '../../local/aws/endpoint.ts';
import type { EndpointRequest } from '../../local/aws/http.ts';
import { connectInProcess } from '../../local/in-process.ts';
import { STATE_MACHINE_ARN, startTestEndpoint } from './support.ts';

const Bucket = 'files';
const invocation = new AsyncLocalStorage<string>();
/** What the endpoint was asked within the process. */
const requests: EndpointRequest[] = [];

let endpoint: Endpoint;
let aws: typeof import('../../functions/service/aws.ts');

beforeAll(async () => {
  endpoint = await startTestEndpoint({
    invoke: async (name, payload) => ({ name, payload, invocation: invocation.getStore() ?? null }),
  });
  process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = 'http://127.0.0.1:1';
  aws = await import('../../functions/service/aws.ts');
  await connectInProcess((request) => {
    requests.push(request);
    return endpoint.answer(request);
  });
  await aws.s3.send(new CreateBucketCommand({ Bucket }));
  await aws.dynamodb.send(
    new CreateTableCommand({
      TableName: 'items',
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    }),
  );
});
afterAll(() => endpoint.close());

test('requests reach the endpoint unsigned, without a socket', async () => {
  requests.length = 0;
  await aws.dynamodb.send(new PutCommand({ TableName: 'items', Item: { id: 'a', text: 'ä€𝄞' } }));
  const { Item } = await aws.dynamodb.send(new GetCommand({ TableName: 'items', Key: { id: 'a' } }));
  expect(Item).toEqual({ id: 'a', text: 'ä€𝄞' });
  expect(requests).toHaveLength(2);
  for (const { headers } of requests) expect(headers.authorization).toBeUndefined();
});

test('objects come as streams, with their metadata', async () => {
  const Key = 'a folder/ü.txt';
  const Body = Buffer.from([0, 255, 10, 13]);
  await aws.s3.send(new PutObjectCommand({ Bucket, Key, Body, ContentType: 'text/x-test' }));
  const object = await aws.s3.send(new GetObjectCommand({ Bucket, Key }));
  expect(object).toMatchObject({ ContentType: 'text/x-test', ContentLength: 4 });
  expect(Buffer.from((await object.Body?.transformToByteArray()) ?? [])).toEqual(Body);
  const part = await aws.s3.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=1-2' }));
  expect(Buffer.from((await part.Body?.transformToByteArray()) ?? [])).toEqual(Body.subarray(1, 3));
});

test('errors are those of the service', async () => {
  const put = new PutCommand({
    TableName: 'items',
    Item: { id: 'b' },
    ConditionExpression: 'attribute_not_exists(id)',
  });
  await aws.dynamodb.send(put);
  await expect(aws.dynamodb.send(put)).rejects.toBeInstanceOf(ConditionalCheckFailedException);
  const transaction = aws.dynamodb.send(new TransactWriteCommand({ TransactItems: [{ Put: put.input }] }));
  await expect(transaction).rejects.toBeInstanceOf(TransactionCanceledException);
  await expect(transaction).rejects.toMatchObject({
    CancellationReasons: [{ Code: 'ConditionalCheckFailed' }],
  });
  await expect(aws.s3.send(new GetObjectCommand({ Bucket, Key: 'none' }))).rejects.toBeInstanceOf(NoSuchKey);
  await expect(
    aws.stepFunctions.send(new StartExecutionCommand({ stateMachineArn: `${STATE_MACHINE_ARN}x` })),
  ).rejects.toBeInstanceOf(StateMachineDoesNotExist);
});

test('what a request sets off is not part of the invocation that sent it', async () => {
  const { Payload } = await invocation.run('of the caller', () =>
    aws.lambda.send(new InvokeCommand({ FunctionName: 'check', Payload: '{"code":"x"}' })),
  );
  expect(JSON.parse(Payload?.transformToString() ?? '')).toEqual({
    name: 'check',
    payload: { code: 'x' },
    invocation: null,
  });
});

test('presigned URLs and forms are as ever, and are used by HTTP', async () => {
  const { S3Client } = await import('@aws-sdk/client-s3');
  const overHttp = new S3Client({ requestChecksumCalculation: 'WHEN_REQUIRED' });
  const signed = { expiresIn: 60, signingDate: new Date() };
  const command = () => new PutObjectCommand({ Bucket, Key: 'presigned.txt' });
  const url = await getSignedUrl(aws.s3, command(), signed);
  expect(url).toBe(await getSignedUrl(overHttp, command(), signed));
  expect((await fetch(url, { method: 'PUT', body: 'by URL' })).status).toBe(200);

  const form = await createPresignedPost(aws.s3, { Bucket, Key: 'posted.txt' });
  expect(form.url).toBe(`${endpoint.url}/${Bucket}`);
  const body = new FormData();
  for (const [name, value] of Object.entries(form.fields)) body.append(name, value);
  body.append('file', new Blob(['by form']));
  expect((await fetch(form.url, { method: 'POST', body })).status).toBe(204);
  const object = await aws.s3.send(new GetObjectCommand({ Bucket, Key: 'posted.txt' }));
  expect(await object.Body?.transformToString()).toBe('by form');
});

test('a service that is elsewhere is not looked for here', async () => {
  requests.length = 0;
  const get = aws.secretsManager.send(new GetSecretValueCommand({ SecretId: 'x' }));
  await expect(get).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect(requests).toEqual([]);
});

test('a closed endpoint answers nobody', async () => {
  const other = await startTestEndpoint();
  await connectInProcess(other.answer);
  await other.close();
  const get = aws.dynamodb.send(new GetCommand({ TableName: 'items', Key: { id: 'a' } }));
  await expect(get).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});
