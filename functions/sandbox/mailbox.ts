/**
 * The mailbox: how a sandbox, which has no AWS credentials, gets jobs and hands back what comes of them.
 *
 *   manifests/{sandbox}.json            its presigned URLs; the task is started with a URL of this
 *   jobs/{sandbox}.json                 the job to run now, written over for each attempt; before the first, a wake-up
 *   mailbox/{sandbox}/ready.json        ┐
 *   mailbox/{sandbox}/started/…         │ what the sandbox writes, by one presigned POST that is bound to this prefix;
 *   mailbox/{sandbox}/output/…          │ each .json raises an S3 event for CollectResult
 *   mailbox/{sandbox}/artifacts/…       │
 *   mailbox/{sandbox}/results/…         ┘
 *
 * Everything below mailbox/ is untrusted input: bounded by the POST policy, checked by the schemas of contract.ts, which
 * describes each document, before use.
 */
import { HeadObjectCommand, NoSuchKey, NotFound } from '@aws-sdk/client-s3';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import * as z from 'zod';
import { LIMITS } from '../execution/execution.ts';
import { s3 } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { MalformedUpload } from '../service/errors.ts';
import { getFile, presign, putFile } from '../service/files.ts';
import { type Job, type Manifest, uploadName, type WakeJob } from './contract.ts';

/**
 * Seconds that a sandbox may live: its presigned URLs end then, if not sooner with the session of the function that
 * signed them. A sandbox without them ends by itself, and a run that waits for it is done again in a new one.
 */
export const SANDBOX_LIFETIME = 2 * 3600;
/** Seconds within which a task must have fetched its manifest. */
const MANIFEST_LIFETIME = 1800;
/** Bytes of one upload: the largest artifact that the sandbox sends. */
const MAX_UPLOAD_BYTES = LIMITS.artifacts.fileBytes;
/** Bytes of a JSON document; the output in a result is cut at 1 MiB, which JSON may escape to six times as much. */
const MAX_DOCUMENT_BYTES = 8 * 1024 * 1024;

const manifestKey = (sandboxId: string) => `manifests/${sandboxId}.json`;
const jobKey = (sandboxId: string) => `jobs/${sandboxId}.json`;
const mailboxPrefix = (sandboxId: string) => `mailbox/${sandboxId}/`;
export const resultKey = (sandboxId: string, jobId: string) =>
  `${mailboxPrefix(sandboxId)}results/${jobId}.json`;
export const artifactKey = (sandboxId: string, jobId: string, name: string) =>
  `${mailboxPrefix(sandboxId)}artifacts/${jobId}/${uploadName(name)}`;

/** A run: an attempt of an execution in one sandbox. */
export interface Run {
  execution_id: string;
  attempt: number;
  run: number;
}

/** The name of a run, from which `parseMailboxKey` has the run again. */
export const jobId = ({ execution_id, attempt, run }: Run) => `${execution_id}_${attempt}-${run}`;

const MAILBOX_KEY =
  /^mailbox\/(?<sandboxId>[\w-]{1,64})\/(?<kind>[a-z]+)(?:\/(?<id>[\w-]{1,64})_(?<attempt>\d{1,4})-(?<run>\d{1,4}))?(?:\/(?<chunk>\d+))?\.json$/;

export type Upload = { sandboxId: string } & (
  | { kind: 'ready' }
  | { kind: 'started' | 'output' | 'results'; run: Run }
);

/**
 * What a key below mailbox/ is about; null for what nobody waits for (artifacts). The sandbox chose the key: whether it
 * was given that run is still to be seen.
 */
export function parseMailboxKey(key: string): Upload | null {
  const { sandboxId, kind, id, attempt, run, chunk } = MAILBOX_KEY.exec(key)?.groups ?? {};
  if (!sandboxId || (kind === 'output') !== (chunk !== undefined)) return null;
  if (kind === 'ready') return id ? null : { sandboxId, kind };
  if (!id || (kind !== 'started' && kind !== 'output' && kind !== 'results')) return null;
  return { sandboxId, kind, run: { execution_id: id, attempt: Number(attempt), run: Number(run) } };
}

/** Writes a sandbox's manifest and gives the presigned URL of it, for its task's environment. */
export async function createMailbox(sandboxId: string, expiresAt: Date): Promise<string> {
  const prefix = mailboxPrefix(sandboxId);
  const [jobUrl, post] = await Promise.all([
    presign(jobKey(sandboxId), SANDBOX_LIFETIME),
    createPresignedPost(s3, {
      Bucket: config.bucketName,
      // The SDK turns a key that ends in ${filename} into the starts-with condition on its beginning.
      Key: `${prefix}\${filename}`,
      Conditions: [
        ['content-length-range', 0, MAX_UPLOAD_BYTES],
        ['starts-with', '$Content-Type', ''],
      ],
      Expires: SANDBOX_LIFETIME,
    }),
  ]);
  const manifest: Manifest = {
    sandbox_id: sandboxId,
    expires_at: expiresAt.toISOString(),
    job_url: jobUrl,
    upload: { ...post, prefix, max_bytes: MAX_UPLOAD_BYTES },
  };
  await putJson(manifestKey(sandboxId), manifest);
  return presign(manifestKey(sandboxId), MANIFEST_LIFETIME);
}

export const putJob = (sandboxId: string, job: Job) => putJson(jobKey(sandboxId), job);

/** Has a sandbox that has waited long, and so looks rarely, look often again: a job comes soon. */
export const wakeSandbox = (sandboxId: string) =>
  putJson(jobKey(sandboxId), { job_id: 'wake', wake: true } satisfies WakeJob);

/** Reads and checks a document that a sandbox uploaded; null if there is none. @throws MalformedUpload */
export async function readUpload<T>(key: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    const { Body, ContentLength = 0 } = await getFile(key);
    if (!Body || ContentLength > MAX_DOCUMENT_BYTES)
      throw new MalformedUpload(`${key} has ${ContentLength} bytes`);
    return parseUpload(await Body.transformToString(), schema, key);
  } catch (error) {
    if (error instanceof NoSuchKey) return null;
    throw error;
  }
}

/** Items of a list, or names of an object, up to which a schema goes through a document. */
const MOST_ITEMS = 2_000;
/** Escapes of JSON; alone is half of a character that has two. */
const ESCAPES =
  /\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)/gs;

/** Reads what a sandbox sent, whatever that is; half characters, which no store takes, are replaced. @throws MalformedUpload */
export function parseUpload<T>(text: string, schema: z.ZodType<T>, key: string): T {
  let document: unknown;
  try {
    document = JSON.parse(text.replace(ESCAPES, (whole, alone) => (alone ? '\\ufffd' : whole)));
  } catch (error) {
    // A SyntaxError, or a RangeError for what is nested too deep.
    throw new MalformedUpload(`${key} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const crowded = Object.entries(Object(document)).find(
    ([, value]) => value && typeof value === 'object' && Object.keys(value).length > MOST_ITEMS,
  );
  if (crowded)
    throw new MalformedUpload(`${key} has more than ${MOST_ITEMS} items in ${crowded[0].slice(0, 100)}`);
  const { data, error } = schema.safeParse(document);
  if (error) {
    const what = z.prettifyError(error).slice(0, 1_000);
    throw new MalformedUpload(`${key} is not what a sandbox sends: ${what}`, { cause: error });
  }
  return data as T;
}

/** The size of an upload in bytes; null if there is none. */
export async function uploadSize(key: string): Promise<number | null> {
  try {
    const { ContentLength = 0 } = await s3.send(
      new HeadObjectCommand({ Bucket: config.bucketName, Key: key }),
    );
    return ContentLength;
  } catch (error) {
    if (error instanceof NotFound) return null;
    throw error;
  }
}

const putJson = (key: string, document: unknown) =>
  putFile(key, JSON.stringify(document), 'application/json');
