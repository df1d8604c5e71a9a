import { useEffect, useRef, useState } from 'react';
import type { ExecutionStatus, ExecutionSummary } from '../../../functions/execution/execution.ts';
import { STATUS_NAMES } from '../execution/explain.ts';
import type { HistoryState } from '../hooks/use-history.ts';
import { executionPath } from '../hooks/use-route.ts';
import { ago, count } from '../text/format.ts';
import { Link, Notice } from './controls.tsx';
import { StatusMark } from './StatusMark.tsx';

/** Executions that are loaded by themselves while a search finds little; as many again when it is to go on. */
const SEARCHED = 300;

type Filter = 'all' | 'going on' | Exclude<ExecutionStatus, 'queued' | 'running'>;

/** Earlier executions: to be searched, filtered and opened; older ones come while scrolling. */
export function HistoryList({ history, shown }: { history: HistoryState; shown: string | null }) {
  const [query, setQuery] = useState('');
  const [filter, setFilter] = useState<Filter>('all');
  const [searched, setSearched] = useState(SEARCHED);
  const { executions, more, loading, error, loadMore } = history;
  const narrowed = query !== '' || filter !== 'all';
  const found = executions.filter((one) => matches(one, query, filter));
  const byItself = !narrowed || executions.length < searched;
  const nothingYet = found.length === 0 && more && !byItself;
  const searchOn = () => {
    setSearched(executions.length + SEARCHED);
    loadMore();
  };
  return (
    <section aria-label="History" className="flex flex-col gap-2 border-line border-t p-4">
      <h2 className="font-semibold">History</h2>
      <div className="flex gap-2">
        <input
          type="search"
          aria-label="Search in the history"
          placeholder="Search"
          value={query}
          onChange={(event) => setQuery(event.target.value)}
          className="h-8 min-w-0 flex-1 rounded-md border border-control bg-panel px-2 placeholder:text-muted"
        />
        <select
          aria-label="Status"
          value={filter}
          onChange={(event) => setFilter(event.target.value as Filter)}
          className="h-8 rounded-md border border-control bg-panel px-1.5"
        >
          <option value="all">All</option>
          <option value="going on">Going on</option>
          <option value="succeeded">{STATUS_NAMES.succeeded}</option>
          <option value="failed">{STATUS_NAMES.failed}</option>
          <option value="cancelled">{STATUS_NAMES.cancelled}</option>
        </select>
      </div>
      {error && <Notice kind="warning">{error.message}</Notice>}
      <ul className="-mx-2 flex flex-col">
        {found.map((execution) => (
          <HistoryItem
            key={execution.execution_id}
            execution={execution}
            current={execution.execution_id === shown}
          />
        ))}
      </ul>
      {found.length === 0 && !loading && !error && !more && (
        <p className="text-muted">
          {narrowed ? 'Nothing in the history is like this.' : 'What you run is kept here.'}
        </p>
      )}
      {nothingYet && !loading && !error && (
        <p className="text-muted">Not among the newest {executions.length}.</p>
      )}
      {more && (
        <MoreOnSight
          // A new one for each page: it may be in sight still.
          key={executions.length}
          name={nothingYet ? 'Search older ones' : 'Show older'}
          byItself={byItself}
          loading={loading}
          onMore={nothingYet ? searchOn : loadMore}
        />
      )}
    </section>
  );
}

function matches({ prompt, status }: ExecutionSummary, query: string, filter: Filter): boolean {
  if (!prompt.toLowerCase().includes(query.trim().toLowerCase())) return false;
  if (filter === 'all') return true;
  return filter === 'going on' ? status === 'queued' || status === 'running' : status === filter;
}

function HistoryItem({ execution, current }: { execution: ExecutionSummary; current: boolean }) {
  const { execution_id, prompt, status, attempts, created_at } = execution;
  return (
    <li>
      <Link
        href={executionPath(execution_id)}
        current={current}
        className="flex items-start gap-2 rounded-md px-2 py-1.5 -outline-offset-2 hover:bg-hover aria-[current]:bg-accent-soft"
      >
        <span className="mt-0.5">
          <StatusMark status={status} />
        </span>
        <span className="min-w-0 flex-1">
          <span className="line-clamp-2 break-words">{prompt}</span>
          <span className="text-muted text-xs">
            {STATUS_NAMES[status]}
            {attempts > 0 && ` · ${count(attempts, 'attempt')}`} ·{' '}
            <time dateTime={created_at}>{ago(created_at)}</time>
          </span>
        </span>
      </Link>
    </li>
  );
}

function MoreOnSight({
  name,
  byItself,
  loading,
  onMore,
}: {
  name: string;
  byItself: boolean;
  loading: boolean;
  onMore: () => void;
}) {
  const button = useRef<HTMLButtonElement>(null);
  const load = useRef(onMore);
  load.current = onMore;
  useEffect(() => {
    if (!byItself || !button.current || typeof IntersectionObserver === 'undefined') return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting) load.current();
    });
    observer.observe(button.current);
    return () => observer.disconnect();
  }, [byItself]);
  return (
    <button
      ref={button}
      type="button"
      disabled={loading}
      onClick={onMore}
      className="rounded-md py-1.5 text-muted text-xs hover:bg-hover"
    >
      {loading ? 'Loading …' : name}
    </button>
  );
}
