/**
 * API keys: `rae_{id}_{secret}`. The id finds the key's record, the secret (256 random bits) proves that the caller
 * has it. Only a hash of the secret is kept, so a key is shown once, when it is made. A plain SHA-256 will do: nobody
 * can try out 256 bits, however fast the hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { sameSecret } from './constant-time.ts';
import { createKey, getKey, type KeyRecord } from './key-records.ts';

const KEY = /^rae_(?<id>[0-9a-f]{16})_(?<secret>[\w-]{43})$/;

const hash = (secret: string) => createHash('sha256').update(secret).digest('hex');

/** Makes a key. `key` is what the caller sends, and is not kept. */
export async function makeKey(owner: string, name: string): Promise<{ key: string; record: KeyRecord }> {
  const key_id = randomBytes(8).toString('hex');
  const secret = randomBytes(32).toString('base64url');
  const record: KeyRecord = {
    key_id,
    owner,
    name,
    secret_hash: hash(secret),
    last_four: secret.slice(-4),
    created_at: new Date().toISOString(),
  };
  await createKey(record);
  return { key: `rae_${key_id}_${secret}`, record };
}

/** Whose key this is; null for what is no key of ours, or no longer one. */
export async function ownerOf(key: string): Promise<string | null> {
  const { id, secret } = KEY.exec(key)?.groups ?? {};
  if (!id || !secret) return null;
  const record = await getKey(id);
  if (!record || record.revoked_at || !sameSecret(hash(secret), record.secret_hash)) return null;
  return record.owner;
}
