/**
 * What was seen, kept on this device to be shown again without a connection: the history's first page, executions and
 * their files, by their path. Holds nothing where the browser has no cache storage (pages not served by https).
 */
import type { Client } from './client.ts';
import { Unreachable } from './errors.ts';

/** By cache, how many are kept; the oldest goes first. */
const ENTRIES = { seen: 200, 'seen-files': 50 };
type CacheName = keyof typeof ENTRIES;
/** Bytes up to which a file is kept. */
const MAX_FILE = 2_000_000;

export interface Seen {
  put(path: string, body: object): Promise<void>;
  get<T>(path: string): Promise<T | null>;
  putFile(path: string, file: Blob): Promise<void>;
  getFile(path: string): Promise<Blob | null>;
}

/** For those whose key is not to be remembered: keeps nothing. */
export const SEE_NOTHING: Seen = {
  put: async () => {},
  get: async () => null,
  putFile: async () => {},
  getFile: async () => null,
};

export function openSeen(): Seen {
  if (typeof caches === 'undefined') return SEE_NOTHING;
  const find = async (name: CacheName, path: string) => (await caches.open(name)).match(path);
  return {
    put: (path, body) => keep('seen', path, Response.json(body)),
    async get<T>(path: string) {
      const response = await find('seen', path);
      return response ? ((await response.json()) as T) : null;
    },
    async putFile(path, file) {
      if (file.size <= MAX_FILE) await keep('seen-files', path, new Response(file));
    },
    async getFile(path) {
      const response = await find('seen-files', path);
      return response ? response.blob() : null;
    },
  };
}

async function keep(name: CacheName, path: string, response: Response): Promise<void> {
  const cache = await caches.open(name);
  await cache.put(path, response);
  const entries = await cache.keys();
  await Promise.all(entries.slice(0, -ENTRIES[name]).map((entry) => cache.delete(entry)));
}

/** A client by which artifacts that were read once can be read again without a connection. */
export function rememberArtifacts(client: Client, seen: Seen): Client {
  return {
    ...client,
    async artifact(id, attempt, name, signal) {
      const path = `/executions/${id}/artifacts/${attempt}/${encodeURIComponent(name)}`;
      try {
        const file = await client.artifact(id, attempt, name, signal);
        void seen.putFile(path, file);
        return file;
      } catch (failure) {
        const file = failure instanceof Unreachable ? await seen.getFile(path) : null;
        if (file) return file;
        throw failure;
      }
    },
  };
}

export async function forgetSeen(): Promise<void> {
  if (typeof caches !== 'undefined')
    await Promise.all(Object.keys(ENTRIES).map((name) => caches.delete(name)));
}
