/**
 * The state of an execution as the page shows it: a snapshot of the API, and events folded into it one by one.
 * Pure: no network, no clock.
 */

import type { ExecutionEvent } from '../../../functions/events/events.ts';
import { newAttempt, sumUsage } from '../../../functions/execution/attempts.ts';
import type { Attempt, Execution, ExecutionStatus } from '../../../functions/execution/execution.ts';

export interface AttemptState extends Attempt {
  /** Which run (sandbox) the output is of; null if the snapshot brought it. */
  run: number | null;
  /** The chunks of that run's output by number, beyond what the snapshot brought. */
  chunks: readonly string[];
  /** Why and in how many seconds the model server is asked again, while it does not answer. */
  modelWait?: { reason: string; seconds: number } | undefined;
}

export interface ExecutionState extends Omit<Execution, 'results' | 'final_result'> {
  results: AttemptState[];
  /** State of each isolation layer, as this execution's sandbox reported it; null before. */
  isolation: Record<string, string> | null;
}

export const isFinal = (status: ExecutionStatus) => status !== 'queued' && status !== 'running';

export function fromSnapshot(
  { results, final_result: _, ...execution }: Execution,
  isolation: ExecutionState['isolation'] = null,
): ExecutionState {
  return {
    ...execution,
    isolation,
    // One that was kept on this device may be of an earlier version, with fewer fields.
    results: results.map((attempt) => ({
      ...newAttempt(attempt.attempt, attempt.started_at),
      ...attempt,
      run: null,
      chunks: [],
    })),
  };
}

/** Folds an event that comes next; one that is known already changes nothing. */
export function reduce(state: ExecutionState, event: ExecutionEvent): ExecutionState {
  if (event.sequence <= state.sequence) return state;
  return { ...apply(state, event), sequence: event.sequence };
}

/** Whether an event left out a text for its length, so that a new snapshot is needed. */
export function leavesOutText(event: ExecutionEvent): boolean {
  if (event.type === 'code.completed') return event.code === null;
  if (event.type !== 'attempt.finished') return false;
  const { code, generated_at, output, execution_time } = event.result;
  return (code === null && generated_at !== null) || (output === null && execution_time !== null);
}

function apply(state: ExecutionState, event: ExecutionEvent): ExecutionState {
  switch (event.type) {
    case 'execution.started':
    case 'execution.finished':
      return { ...state, ...event.execution, place_in_line: null };
    case 'sandbox.ready':
      return { ...state, isolation: event.isolation };
    case 'attempt.started':
      return withAttempt(
        {
          ...state,
          status: 'running',
          place_in_line: null,
          attempts: Math.max(state.attempts, event.attempt),
        },
        {
          ...newAttempt(event.attempt, event.at),
          total_attempts: event.total_attempts,
          success: false,
          without_output: false,
          run: null,
          chunks: [],
        },
      );
    case 'model.waiting': {
      const { reason, seconds } = event;
      return change(state, event.attempt, () => ({ modelWait: { reason, seconds } }));
    }
    case 'code.delta':
      return change(state, event.attempt, ({ code }) => ({ code: (code ?? '') + event.text }));
    case 'code.completed':
      return change(state, event.attempt, ({ code }) => ({
        code: event.code ?? code,
        status: 'checking',
        generated_at: event.at,
      }));
    case 'check.passed':
      return change(state, event.attempt, () => ({ status: 'waiting', checked_at: event.at }));
    case 'check.failed':
      return change(state, event.attempt, () => ({ error: event.error, violations: event.violations }));
    case 'run.started':
      return change(state, event.attempt, () => ({ status: 'running', run_started_at: event.at }));
    case 'run.output':
      return change(state, event.attempt, (attempt) => withChunk(attempt, event));
    case 'attempt.finished': {
      const ended = change(state, event.attempt, ({ code, output }) => ({
        ...event.result,
        code: event.result.code ?? code,
        output: event.result.output ?? output,
      }));
      return { ...ended, usage: sumUsage(ended.results) };
    }
    // Of a version of the service that is newer than this page.
    default:
      return state;
  }
}

type OutputEvent = Extract<ExecutionEvent, { type: 'run.output' }>;

/** Chunks may come late and twice, as the events of S3 that bring them. */
function withChunk(
  { output, run, chunks }: AttemptState,
  { run: of, chunk, text }: OutputEvent,
): Partial<AttemptState> {
  const isNewRun = run === null ? of > 1 && chunk === 1 : run !== of;
  const known = isNewRun ? [] : chunks;
  if (known[chunk] !== undefined) return {};
  const next = [...known];
  next[chunk] = text;
  const shown = isNewRun ? '' : (output ?? '');
  if (chunk === next.length - 1) return { run: of, chunks: next, output: shown + text };
  // What the snapshot brought comes first.
  const before = shown.slice(0, shown.length - known.join('').length);
  return { run: of, chunks: next, output: before + next.join('') };
}

function change(
  state: ExecutionState,
  number: number,
  by: (attempt: AttemptState) => Partial<AttemptState>,
): ExecutionState {
  const attempt = state.results.find((one) => one.attempt === number);
  return attempt ? withAttempt(state, { ...attempt, ...by(attempt) }) : state;
}

function withAttempt(state: ExecutionState, attempt: AttemptState): ExecutionState {
  const others = state.results.filter((one) => one.attempt !== attempt.attempt);
  return { ...state, results: [...others, attempt].sort((a, b) => a.attempt - b.attempt) };
}
