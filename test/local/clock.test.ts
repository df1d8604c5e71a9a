import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterEach, expect, test } from 'vitest';
import { Clock } from '../../local/aws/clock.ts';
import { setClock } from '../support/set-clock.ts';
import { startTestEndpoint, temporaryFolder } from './support.ts';

const dataDir = temporaryFolder();
afterEach(() => setClock(0));

test('a clock remembers how it stood before it was set, and that small corrections are none', () => {
  let wall = 1_000_000;
  let steady = 5;
  const clock = new Clock(
    () => wall,
    () => steady,
  );
  expect(clock.times()).toEqual([1_000_000]);
  wall += 10_000;
  steady += 9_990;
  expect(clock.times()).toEqual([1_010_000]);
  wall -= 3_600_000;
  expect(clock.times()).toEqual([wall, 1_010_000]);
  wall += 3_600_000;
  expect(clock.times()).toEqual([1_010_000, 1_010_000 - 3_600_000]);
  for (let day = 1; day < 50; day++) {
    wall += 86_400_000;
    clock.times();
  }
  expect(clock.times()).toHaveLength(10);
});

test('requests and presigned URLs are good before and after the clock is set, and URLs still expire', async () => {
  const endpoint = await startTestEndpoint({ dataDir });
  try {
    const s3 = new S3Client();
    const object = { Bucket: 'clocks', Key: 'a' };
    await s3.send(new CreateBucketCommand({ Bucket: 'clocks' }));
    await s3.send(new PutObjectCommand({ ...object, Body: 'x' }));
    const presign = (ago = 0) =>
      getSignedUrl(s3, new GetObjectCommand(object), {
        expiresIn: 60,
        signingDate: new Date(Date.now() - ago),
      });
    const answers = async (url: string) => (await fetch(url)).status;
    for (const ahead of [3_600_000, -3_600_000]) {
      setClock(0);
      const before = await presign();
      expect(await answers(before)).toBe(200);
      setClock(ahead);
      expect([await answers(before), await answers(await presign())]).toEqual([200, 200]);
      expect(await answers(await presign(61_000))).toBe(403);
      await s3.send(new GetObjectCommand(object));
    }
  } finally {
    await endpoint.close();
  }
});
