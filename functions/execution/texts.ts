/**
 * Long texts (code, output) live in S3, short ones in the item itself: an item of DynamoDB may have 400 KB at most,
 * and reading it costs by its size.
 */
import { NoSuchKey } from '@aws-sdk/client-s3';
import { getFile, putFile } from '../service/files.ts';
import { logger } from '../service/logger.ts';

export type StoredText = { text: string } | { key: string };

/** UTF-8 bytes up to which a text stays in its item. */
const INLINE_BYTES = 16_384;

/** Stores a text under `key` if it is long. */
export async function storeText(key: string, text: string): Promise<StoredText> {
  if (Buffer.byteLength(text) <= INLINE_BYTES) return { text };
  await putFile(key, text, 'text/plain; charset=utf-8');
  return { key };
}

/** A short text; null for a long one, which is not read. */
export const textInItem = (stored: StoredText | null): string | null =>
  stored && 'text' in stored ? stored.text : null;

/** null if there is none, also if it was lost: the rest of what it belongs to can be read all the same. */
export async function readText(stored: StoredText | null): Promise<string | null> {
  if (!stored) return null;
  if ('text' in stored) return stored.text;
  try {
    const { Body } = await getFile(stored.key);
    return (await Body?.transformToString()) ?? '';
  } catch (error) {
    if (!(error instanceof NoSuchKey)) throw error;
    logger.error('a text is lost', { key: stored.key });
    return null;
  }
}

export const codeKey = (id: string, attempt: number) => `executions/${id}/attempts/${attempt}/code.py`;
export const outputKey = (id: string, attempt: number) => `executions/${id}/attempts/${attempt}/output.txt`;
