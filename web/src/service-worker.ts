/**
 * Keeps the page itself, so that it opens without a connection; what was seen in it is kept by api/seen.ts.
 *
 *   the page's address   from the network, so that a new version is had at once; without one, as kept
 *   files of the build   as kept, else from the network: their names change with their content
 *   everything else      not our business
 *
 * A new build is a new file list and so a new worker, which takes over at once; open pages then offer a reload.
 */
/** The files of the build's first load; put here by vite.config.ts. */
declare const FIRST_LOAD: string[];
/** Changes with each build. */
declare const BUILD: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const CACHE = `page-${BUILD}`;

worker.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(['/', ...FIRST_LOAD]))
      .then(() => worker.skipWaiting()),
  );
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => names.filter((name) => name.startsWith('page-') && name !== CACHE))
      .then((old) => Promise.all(old.map((name) => caches.delete(name))))
      .then(() => worker.clients.claim()),
  );
});

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (origin !== location.origin || request.method !== 'GET') return;
  if (request.mode === 'navigate' && !pathname.startsWith('/api/')) {
    event.respondWith(fetch(request).catch(() => kept('/')));
  } else if (pathname.startsWith('/assets/')) {
    event.respondWith(keptOrFetched(request));
  } else if (FIRST_LOAD.includes(pathname)) {
    event.respondWith(fetch(request).catch(() => kept(pathname)));
  }
});

async function kept(path: string): Promise<Response> {
  return (await caches.match(path)) ?? Response.error();
}

async function keptOrFetched(request: Request): Promise<Response> {
  const found = await caches.match(request);
  if (found) return found;
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(CACHE);
    await cache.put(request, response.clone());
  }
  return response;
}
