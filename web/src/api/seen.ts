/**
 * What was seen, kept on this device to be shown again without a connection: the history's first page and
 * executions, by their path. Holds nothing where the browser has no cache storage (pages not served by https).
 */
const CACHE = 'seen';
/** Executions that are kept; the oldest goes first. */
const MAX_ENTRIES = 200;

export interface Seen {
  put(path: string, body: object): Promise<void>;
  get<T>(path: string): Promise<T | null>;
}

/** For those whose key is not to be remembered: keeps nothing. */
export const SEE_NOTHING: Seen = { put: async () => {}, get: async () => null };

export function openSeen(): Seen {
  if (typeof caches === 'undefined') return SEE_NOTHING;
  return {
    async put(path, body) {
      const cache = await caches.open(CACHE);
      await cache.put(path, Response.json(body));
      const entries = await cache.keys();
      await Promise.all(entries.slice(0, -MAX_ENTRIES).map((entry) => cache.delete(entry)));
    },
    async get<T>(path: string) {
      const cache = await caches.open(CACHE);
      const response = await cache.match(path);
      return response ? ((await response.json()) as T) : null;
    },
  };
}

export async function forgetSeen(): Promise<void> {
  if (typeof caches !== 'undefined') await caches.delete(CACHE);
}
