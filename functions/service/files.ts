/** The bucket: files are put into it and read from it, by us or by whoever is given a URL for it. */
import type { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput, PutObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { s3 } from './aws.ts';
import { config } from './config.ts';

/** Stores a file. Of a stream its length in bytes must be known beforehand. */
export async function putFile(
  key: string,
  body: string | Readable,
  contentType: string,
  contentLength?: number,
): Promise<void> {
  await s3.send(
    new PutObjectCommand({
      Bucket: config.bucketName,
      Key: key,
      Body: body,
      ContentType: contentType,
      ContentLength: contentLength,
    }),
  );
}

/** @throws NoSuchKey */
export const getFile = (key: string): Promise<GetObjectCommandOutput> =>
  s3.send(new GetObjectCommand({ Bucket: config.bucketName, Key: key }));

/** A URL that gives whoever has it the object, for `seconds`. */
export function presign(
  key: string,
  seconds: number,
  response: { disposition?: string; type?: string } = {},
) {
  const command = new GetObjectCommand({
    Bucket: config.bucketName,
    Key: key,
    ResponseContentDisposition: response.disposition,
    ResponseContentType: response.type,
  });
  return getSignedUrl(s3, command, { expiresIn: seconds });
}

/** Where a presigned URL is found on the site itself, which passes /files/ on to the files: a page needs no other origin. */
export function onSite(presigned: string): string {
  const { pathname, search } = new URL(presigned);
  return `/files${pathname}${search}`;
}
