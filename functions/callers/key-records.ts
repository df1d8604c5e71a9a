/** API keys as they are stored. */
import { changeItem, createItem, type Key, queryWork, readItem, type Written } from '../service/items.ts';

export interface KeyRecord {
  key_id: string;
  /** Who calls with it: the owner of the executions that it starts. Several keys may have one. */
  owner: string;
  /** What it is for, as whoever made it said. */
  name: string;
  /** SHA-256 of its secret, in hex. */
  secret_hash: string;
  /** The last characters of the key, by which its holder can tell which one it is. */
  last_four: string;
  created_at: string;
  revoked_at?: string;
}

const keyKey = (id: string): Key => ({ pk: `KEY#${id}`, sk: 'KEY' });

export async function createKey(record: KeyRecord): Promise<void> {
  await createItem(keyKey(record.key_id), { ...record, work: 'key', work_at: record.created_at });
}

export const getKey = (id: string) => readItem<KeyRecord>(keyKey(id));

/** Oldest first, revoked ones too. */
export const listKeys = () => queryWork<KeyRecord>('key');

/** Ours unless there is no such key, or it was revoked before. */
export const setKeyRevoked = (id: string): Promise<Written<KeyRecord>> =>
  changeItem<KeyRecord>(keyKey(id), {
    set: { revoked_at: new Date().toISOString() },
    where: { revoked_at: undefined },
  });
