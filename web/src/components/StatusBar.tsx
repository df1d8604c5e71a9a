import type { Connection } from '../api/follow.ts';
import { announcement, progress } from '../execution/explain.ts';
import { isFinal } from '../execution/reduce.ts';
import type { Followed } from '../hooks/use-execution.ts';
import { useNow } from '../hooks/use-now.ts';
import { count, duration } from '../text/format.ts';

const CONNECTIONS: Record<Connection, { name: string; look: string }> = {
  connecting: { name: 'Connecting', look: 'bg-warn' },
  live: { name: 'Live', look: 'bg-ok' },
  reconnecting: { name: 'Reconnecting', look: 'bg-warn' },
  polling: { name: 'Polling', look: 'bg-warn' },
  away: { name: 'Service away, trying again', look: 'bg-fail' },
  ended: { name: 'Up to date', look: 'bg-muted' },
};

/** Where the execution stands, announced to screen readers, and how the page is connected to it. */
export function StatusBar({ followed: { execution, connection } }: { followed: Followed }) {
  const running = execution !== null && !isFinal(execution.status);
  const now = useNow(running);
  if (!execution) return null;
  const elapsed = execution.total_time ?? Math.max(0, (now - Date.parse(execution.created_at)) / 1000);
  const { name, look } = CONNECTIONS[connection];
  return (
    <footer className="sticky bottom-0 flex items-center gap-4 border-line border-t bg-panel px-4 py-1.5 text-xs">
      <span role="status" className="sr-only">
        {announcement(execution)}
      </span>
      <span className="min-w-0 flex-1 truncate" aria-hidden="true">
        {progress(execution)}
      </span>
      {execution.usage && (
        <span className="hidden text-muted sm:inline">{count(execution.usage.total_tokens, 'token')}</span>
      )}
      <span className="text-muted tabular-nums">{duration(elapsed)}</span>
      <span className="flex items-center gap-1.5">
        <span className={`size-2 rounded-full ${look}`} aria-hidden="true" />
        {name}
      </span>
    </footer>
  );
}
