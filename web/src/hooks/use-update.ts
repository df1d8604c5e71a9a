import { useEffect, useState } from 'react';

const CHECK_INTERVAL = 60 * 60 * 1000;

/** Installs the service worker. Gives whether a newer page than this one is there, to be had by a reload. */
export function useUpdate(): boolean {
  const [updated, setUpdated] = useState(false);
  useEffect(() => {
    if (!import.meta.env.PROD || !('serviceWorker' in navigator)) return;
    const workers = navigator.serviceWorker;
    const isFirst = workers.controller === null;
    let seen = isFirst ? 0 : 1;
    const onChange = () => {
      seen++;
      if (seen > 1) setUpdated(true);
    };
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
