import { useEffect, useRef } from 'react';
import { CATEGORY_NAMES, whyFailed } from '../execution/explain.ts';
import { doing, type Phase, phasesOf } from '../execution/phases.ts';
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
          <li key={attempt.attempt} className="min-w-64 max-w-80 flex-1 shrink-0">
            <Attempt execution={execution} attempt={attempt} current={attempt.attempt === shown} />
          </li>
        ))}
      </ol>
    </nav>
  );
}

interface AttemptProps {
  execution: ExecutionState;
  attempt: AttemptState;
  /** It is the one that is shown. */
  current: boolean;
}

function Attempt({ execution, attempt, current }: AttemptProps) {
  const now = useNow(attempt.finished_at === null);
  const phases = phasesOf(attempt, now);
  return (
    <Link
      href={executionPath(execution.execution_id, attempt.attempt)}
      current={current}
      className="block h-full rounded-lg border border-line bg-panel px-3 py-2 hover:bg-hover aria-[current]:border-accent aria-[current]:ring-1 aria-[current]:ring-accent"
    >
      <span className="flex items-center gap-1.5">
        <StatusMark status={attempt.status} />
        <span className="whitespace-nowrap font-semibold">Attempt {attempt.attempt}</span>
        <span className="ml-auto truncate text-muted text-xs">{verdict(attempt)}</span>
      </span>
      <PhaseBar phases={phases} />
      {/* Here and below is room for all that may come, from the start: nothing is pushed down later. */}
      <span className="grid min-h-8 grid-cols-2 content-start gap-x-3 whitespace-nowrap text-muted text-xs tabular-nums">
        {phases.map(({ name, seconds, underWay }) => (
          <span key={name} className={`flex items-center gap-1.5 ${underWay ? 'text-text' : ''}`}>
            <span className={`size-1.5 shrink-0 rounded-full ${PHASE_LOOKS[name]}`} aria-hidden="true" />
            {name} {duration(seconds)}
          </span>
        ))}
      </span>
      <span className="mt-0.5 block min-h-4 truncate text-fail text-xs">
        {attempt.status === 'failed' && whyFailed(attempt, execution.timeout)}
      </span>
    </Link>
  );
}

const PHASE_LOOKS: Record<Phase['name'], string> = {
  Writing: 'bg-phase-writing',
  Checking: 'bg-phase-checking',
  Waiting: 'bg-phase-waiting',
  Running: 'bg-phase-running',
};

/** How the time of an attempt was spent, at a glance. */
function PhaseBar({ phases }: { phases: Phase[] }) {
  const total = phases.reduce((sum, { seconds }) => sum + seconds, 0);
  return (
    <span className="my-1.5 flex h-1 gap-px overflow-hidden rounded-full bg-line" aria-hidden="true">
      {phases.map(({ name, seconds, underWay }) => (
        <span
          key={name}
          className={`min-w-1 ${PHASE_LOOKS[name]} ${underWay ? 'animate-pulse-slow' : ''}`}
          style={{ width: `${(seconds / total) * 100}%` }}
        />
      ))}
    </span>
  );
}

function verdict(attempt: AttemptState): string {
  const { status, error_category, without_output } = attempt;
  if (status === 'succeeded') return without_output ? 'Ran without output' : 'Succeeded';
  if (status === 'cancelled') return 'Cancelled';
  if (status === 'failed') return error_category ? CATEGORY_NAMES[error_category] : 'Failed';
  return doing(attempt) ?? '';
}
