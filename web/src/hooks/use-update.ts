import { useEffect, useState } from 'react';

const CHECK_INTERVAL = 60 * 60 * 1000;

/** Whether this page is of another build than the one that is served now; a new worker may serve this very page. */
async function isOlder(): Promise<boolean> {
  const entry = document.querySelector('script[type=module][src]')?.getAttribute('src');
  const served = await (await fetch('/', { cache: 'no-store' })).text();
  return entry != null && !served.includes(entry);
}

/** Installs the service worker. Gives whether a newer page than this one is there, to be had by a reload. */
export function useUpdate(): boolean {
  const [updated, setUpdated] = useState(false);
  useEffect(() => {
    if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return;
    const workers = navigator.serviceWorker;
    const onChange = () => void isOlder().then(setUpdated, () => undefined);
    workers.addEventListener('controllerchange', onChange);
    const registered = workers.register('/service-worker.js');
    // Without it the page works, but only with a connection.
    registered.catch((error: unknown) => console.warn('The service worker was not installed.', error));
    const timer = setInterval(
      () => void registered.then((registration) => registration.update()).catch(() => undefined),
      CHECK_INTERVAL,
    );
    return () => {
      clearInterval(timer);
      workers.removeEventListener('controllerchange', onChange);
    };
  }, []);
  return updated;
}
