import { useEffect, useRef } from 'react';
import { CATEGORY_NAMES } from '../execution/explain.ts';
import { DOING, type Phase, phasesOf } from '../execution/phases.ts';
import type { AttemptState, ExecutionState } from '../execution/reduce.ts';
import { useNow } from '../hooks/use-now.ts';
import { executionPath } from '../hooks/use-route.ts';
import { duration } from '../text/format.ts';
import { Link } from './controls.tsx';
import { StatusMark } from './StatusMark.tsx';

/** The attempts in order, each with its phases and how long they took; a click shows one. */
export function AttemptTimeline({ execution, shown }: { execution: ExecutionState; shown: number }) {
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const item = list.current?.children[shown - 1];
    item?.scrollIntoView?.({ block: 'nearest', inline: 'nearest' });
  }, [shown]);
  return (
    <nav aria-label="Attempts" className="-mx-1 shrink-0 overflow-x-auto px-1 py-1">
      <ol ref={list} className="flex gap-2">
        {execution.results.map((attempt) => (
          <li key={attempt.attempt} className="min-w-52 max-w-80 flex-1 shrink-0">
            <Attempt
              attempt={attempt}
              href={executionPath(execution.execution_id, attempt.attempt)}
              current={attempt.attempt === shown}
            />
          </li>
        ))}
      </ol>
    </nav>
  );
}

function Attempt({ attempt, href, current }: { attempt: AttemptState; href: string; current: boolean }) {
  const now = useNow(attempt.finished_at === null);
  const phases = phasesOf(attempt, now);
  return (
    <Link
      href={href}
      current={current}
      className="block rounded-lg border border-line bg-panel px-3 py-2 hover:bg-hover aria-[current]:border-accent aria-[current]:ring-1 aria-[current]:ring-accent"
    >
      <span className="flex items-center gap-1.5">
        <StatusMark status={attempt.status} />
        <span className="whitespace-nowrap font-semibold">Attempt {attempt.attempt}</span>
        <span className="ml-auto truncate text-muted text-xs">{verdict(attempt)}</span>
      </span>
      <PhaseBar phases={phases} />
      <span className="flex flex-wrap gap-x-3 text-muted text-xs tabular-nums">
        {phases.map(({ name, seconds, underWay }) => (
          <span key={name} className={underWay ? 'text-text' : undefined}>
            {name} {duration(seconds)}
          </span>
        ))}
      </span>
    </Link>
  );
}

const PHASE_LOOKS: Record<Phase['name'], string> = {
  Writing: 'bg-phase-writing',
  Preparing: 'bg-phase-preparing',
  Running: 'bg-phase-running',
};

/** How the time of an attempt was spent, at a glance. */
const PhaseBar = ({ phases }: { phases: Phase[] }) => (
  <span className="my-1.5 flex h-1 gap-px overflow-hidden rounded-full bg-line" aria-hidden="true">
    {phases.map(({ name, seconds, underWay }) => (
      <span
        key={name}
        className={`min-w-1 ${PHASE_LOOKS[name]} ${underWay ? 'animate-pulse-slow' : ''}`}
        style={{ flexGrow: Math.max(seconds, 0.001), flexBasis: 0 }}
      />
    ))}
  </span>
);

function verdict({ status, error_category }: AttemptState): string {
  if (status === 'succeeded') return 'Succeeded';
  if (status === 'cancelled') return 'Cancelled';
  if (status === 'failed') return error_category ? CATEGORY_NAMES[error_category] : 'Failed';
  return DOING[status] ?? '';
}
