/** The page's address: `/` or `/executions/{id}`, the latter with `#attempt-{n}` for one attempt. */
import { useMemo, useSyncExternalStore } from 'react';

export type Route = { page: 'start' } | { page: 'execution'; id: string; attempt: number | null };

export const executionPath = (id: string, attempt?: number) =>
  `/executions/${id}${attempt ? `#attempt-${attempt}` : ''}`;

export function parseRoute({ pathname, hash }: Pick<Location, 'pathname' | 'hash'>): Route {
  const id = /^\/executions\/([\w-]+)\/?$/.exec(pathname)?.[1];
  if (!id) return { page: 'start' };
  const attempt = /^#attempt-(\d+)$/.exec(hash)?.[1];
  return { page: 'execution', id, attempt: attempt ? Number(attempt) : null };
}

export function navigate(path: string): void {
  history.pushState(null, '', path);
  dispatchEvent(new PopStateEvent('popstate'));
}

function subscribe(onChange: () => void) {
  addEventListener('popstate', onChange);
  return () => removeEventListener('popstate', onChange);
}

export function useRoute(): Route {
  const address = useSyncExternalStore(subscribe, () => location.pathname + location.hash);
  return useMemo(() => {
    const [pathname = '', hash = ''] = address.split(/(?=#)/);
    return parseRoute({ pathname, hash });
  }, [address]);
}
