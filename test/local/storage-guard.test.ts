/** What the API answers while the disk takes no more. */
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { expect, test } from 'vitest';
import { StorageHealth } from '../../local/aws/storage-health.ts';
import { tellsOfDisk } from '../../local/storage-guard.ts';
import { temporaryFolder } from './support.ts';

const event = { requestContext: { requestId: 'request' } } as APIGatewayProxyEventV2;

/** What a route that answers `status` is heard to say; the disk fills before it or, `meanwhile`, while it is at work. */
async function answer(status: number, fills: 'never' | 'before' | 'meanwhile', startsWork: boolean) {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const storage = new StorageHealth(
    temporaryFolder(),
    () => {
      throw full;
    },
    () => undefined,
  );
  if (fills === 'before') storage.blames(full);
  const handler = async () => {
    if (fills === 'meanwhile') storage.blames(full);
    return { statusCode: status };
  };
  const heard = await tellsOfDisk(handler, storage, { startsWork })(event, {} as Context, () => undefined);
  storage.close();
  return heard as { statusCode: number; headers?: Record<string, string>; body: string };
}

test.each([
  [500, 'before', false],
  [500, 'meanwhile', false],
  [500, 'meanwhile', true],
  [202, 'before', true],
] as const)('%i, full %s, starts work: %s: 503 that says why', async (status, fills, startsWork) => {
  const { statusCode, headers, body } = await answer(status, fills, startsWork);
  expect(statusCode).toBe(503);
  expect(Number(headers?.['retry-after'])).toBeGreaterThan(0);
  expect(JSON.parse(body)).toMatchObject({
    type: 'urn:recursive-ai-executor:problem:storage-full',
    request_id: 'request',
    detail: expect.stringContaining('takes no more'),
  });
});

test.each([
  [500, 'never', false],
  [200, 'before', false],
  [202, 'meanwhile', true],
  [404, 'before', false],
] as const)('%i, full %s, starts work: %s: as it is', async (status, fills, startsWork) => {
  expect(await answer(status, fills, startsWork)).toEqual({ statusCode: status });
});
