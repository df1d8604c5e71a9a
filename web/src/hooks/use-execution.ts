import { useEffect, useState } from 'react';
import type { Execution } from '../../../functions/execution/execution.ts';
import type { Client } from '../api/client.ts';
import { type Connection, followExecution } from '../api/follow.ts';
import type { Seen } from '../api/seen.ts';
import { type ExecutionState, fromSnapshot, isFinal } from '../execution/reduce.ts';

export interface Followed {
  execution: ExecutionState | null;
  connection: Connection;
  /** Why it cannot be shown. */
  error: Error | null;
}

/** Milliseconds between two renderings while much happens. */
const PACE = 100;

const NOTHING: Followed = { execution: null, connection: 'connecting', error: null };

/** Follows the execution `id` as long as the component is there. While the service is away, shows what was seen. */
export function useExecution(client: Client, seen: Seen, id: string | null): Followed {
  const [followed, setFollowed] = useState(NOTHING);
  useEffect(() => {
    setFollowed(NOTHING);
    if (!id) return;
    const path = `/executions/${id}`;
    let current = true;
    const update = (change: Partial<Followed>) => setFollowed((before) => ({ ...before, ...change }));
    const show = paced(PACE, (execution: ExecutionState) => update({ execution }));
    const stop = followExecution(client, id, {
      onState: (execution) => {
        show.latest(execution);
        if (isFinal(execution.status)) void seen.put(path, execution);
      },
      onConnection: (connection) => {
        update({ connection });
        if (connection === 'away') void showSeen();
      },
      onError: (error) => update({ error }),
    });
    const showSeen = async () => {
      const snapshot = await seen.get<Execution>(path);
      if (!snapshot || !current) return;
      setFollowed((before) => ({ ...before, execution: before.execution ?? fromSnapshot(snapshot) }));
    };
    return () => {
      current = false;
      stop();
      show.stop();
    };
  }, [client, seen, id]);
  return followed;
}

/** Passes values on at most every `pace` milliseconds: the first at once, of those that come quickly the latest. */
function paced<T>(pace: number, pass: (value: T) => void) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let passed = Number.NEGATIVE_INFINITY;
  let newest: T;
  const passNewest = () => {
    timer = undefined;
    passed = performance.now();
    pass(newest);
  };
  return {
    latest(value: T) {
      newest = value;
      timer ??= setTimeout(passNewest, Math.max(0, passed + pace - performance.now()));
    },
    stop: () => clearTimeout(timer),
  };
}
