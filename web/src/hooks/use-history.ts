/** The caller's executions, newest first, page by page; kept up to date across tabs. */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { ExecutionSummary, History } from '../../../functions/execution/execution.ts';
import type { Client } from '../api/client.ts';
import { Unreachable } from '../api/errors.ts';
import type { Seen } from '../api/seen.ts';
import { isFinal } from '../execution/reduce.ts';

const SEEN_PATH = '/executions';
const CHANNEL = 'executions';
/** Milliseconds between two looks at executions that go on elsewhere, and two tries while the service is away. */
const REFRESH_INTERVAL = 10_000;

export interface HistoryState {
  executions: ExecutionSummary[];
  /** There are older ones. */
  more: boolean;
  loading: boolean;
  error: Error | null;
  loadMore: () => void;
  /** Something has begun or ended: reads the newest again, here and in other tabs. */
  changed: () => void;
}

interface Pages {
  executions: ExecutionSummary[];
  cursor: string | null;
}

export function useHistory(client: Client, seen: Seen): HistoryState {
  const [pages, setPages] = useState<Pages>({ executions: [], cursor: null });
  const [loading, setLoading] = useState(true);
  const [error, setError] = useState<Error | null>(null);
  const channel = useRef<BroadcastChannel>(null);

  const refresh = useCallback(async () => {
    try {
      const page = await client.executions(null);
      setPages((current) => withNewest(current, page));
      setError(null);
      void seen.put(SEEN_PATH, page);
    } catch (failure) {
      setError(failure as Error);
      const page = failure instanceof Unreachable ? await seen.get<History>(SEEN_PATH) : null;
      if (page) setPages((current) => (current.executions.length > 0 ? current : withNewest(current, page)));
    } finally {
      setLoading(false);
    }
  }, [client, seen]);

  useEffect(() => {
    void refresh();
    const opened = new BroadcastChannel(CHANNEL);
    opened.onmessage = () => void refresh();
    channel.current = opened;
    return () => opened.close();
  }, [refresh]);

  const mayChange = error !== null || pages.executions.some(({ status }) => !isFinal(status));
  useEffect(() => {
    if (!mayChange) return;
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') void refresh();
    }, REFRESH_INTERVAL);
    return () => clearInterval(timer);
  }, [mayChange, refresh]);

  const loadMore = async () => {
    if (loading || !pages.cursor) return;
    setLoading(true);
    try {
      const page = await client.executions(pages.cursor);
      setPages((current) => ({
        executions: merge(current.executions, page.executions),
        cursor: page.next_cursor,
      }));
      setError(null);
    } catch (failure) {
      setError(failure as Error);
    } finally {
      setLoading(false);
    }
  };

  const changed = useCallback(() => {
    channel.current?.postMessage('changed');
    void refresh();
  }, [refresh]);

  return {
    executions: pages.executions,
    more: pages.cursor !== null,
    loading,
    error,
    loadMore: () => void loadMore(),
    changed,
  };
}

/** The newest page over what is there. If all of it is new, what lies between is unknown, so the list starts anew. */
function withNewest(current: Pages, { executions, next_cursor }: History): Pages {
  const known = new Set(current.executions.map((one) => one.execution_id));
  if (!executions.some((one) => known.has(one.execution_id))) return { executions, cursor: next_cursor };
  return { executions: merge(executions, current.executions), cursor: current.cursor };
}

/** Both lists without repetition; what is in `first` wins. */
function merge(first: ExecutionSummary[], second: ExecutionSummary[]): ExecutionSummary[] {
  const ids = new Set(first.map((one) => one.execution_id));
  return [...first, ...second.filter((one) => !ids.has(one.execution_id))];
}
