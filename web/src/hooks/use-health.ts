import { useEffect, useState } from 'react';
import { createClient, type Health } from '../api/client.ts';

/** Milliseconds for which the page waits, so that nothing moves when it is known; and between two tries. */
const PATIENCE = 1_000;
const RETRY = 10_000;

/** What the service says of itself, which needs no key: undefined at first, null while it does not answer. */
export function useHealth(): Health | null | undefined {
  const [health, setHealth] = useState<Health | null | undefined>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    const client = createClient({ origin: location.origin });
    let timer = setTimeout(() => setHealth((known) => known ?? null), PATIENCE);
    const read = async () => {
      try {
        const answer = await client.health(stop.signal);
        setHealth(answer);
        clearTimeout(timer);
        if (answer.problem ?? answer.model.problem) timer = setTimeout(() => void read(), RETRY);
      } catch {
        // Whatever needs the service says itself that it is away.
        if (stop.signal.aborted) return;
        setHealth((known) => known ?? null);
        timer = setTimeout(() => void read(), RETRY);
      }
    };
    void read();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, []);
  return health;
}
