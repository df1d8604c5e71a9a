/** What the service and the page both have to know of attempts, without the schemas, which the page does not load. */
import type { Attempt, AttemptStatus, ErrorCategory, Execution, Usage } from './execution.ts';

/** An attempt that has just begun: what its record and its views have in common. */
export function newAttempt(attempt: number, started_at: string) {
  return {
    attempt,
    status: 'generating' as AttemptStatus,
    code: null,
    output: null,
    output_truncated: false,
    error: null,
    error_category: null,
    error_line: null,
    traceback: null,
    violations: [],
    standard_permits: false,
    execution_time: null,
    exit_code: null,
    signal: null,
    peak_memory_bytes: null,
    artifacts: [],
    artifacts_skipped: [],
    usage: null,
    taken_from: null,
    started_at,
    generated_at: null,
    checked_at: null,
    run_started_at: null,
    finished_at: null,
  } satisfies Partial<Attempt>;
}

/** Over the attempts, without those that another execution made, which counts them; null if none was counted. */
export function sumUsage(
  attempts: readonly { usage: Usage | null; taken_from?: string | null }[],
): Usage | null {
  const counted = attempts.flatMap(({ usage, taken_from }) => (usage && !taken_from ? usage : []));
  if (counted.length === 0) return null;
  const sum = (field: keyof Usage) => counted.reduce((total, usage) => total + usage[field], 0);
  return {
    prompt_tokens: sum('prompt_tokens'),
    completion_tokens: sum('completion_tokens'),
    total_tokens: sum('total_tokens'),
  };
}

/** Whether it is a fault of the service, against which neither a better program nor another attempt helps. */
export const isFaultOfService = (category: ErrorCategory | null) =>
  category === 'model_error' || category === 'sandbox_error';

/** Days after an execution's beginning in which another can go on from it. So much longer its files are kept. */
export const RESUMABLE_DAYS = 6;

/** Whether another execution can go on from one: it failed by a fault of the service. */
export const isResumable = ({ status, error_category }: Pick<Execution, 'status' | 'error_category'>) =>
  status === 'failed' && isFaultOfService(error_category);

/**
 * The attempts of an execution that one which goes on from it takes over: those that were done before the service failed.
 * None if they are too old, or there would be none left to make.
 */
export function keptAttempts<A extends Pick<Attempt, 'status' | 'error_category' | 'started_at'>>(
  execution: Pick<Execution, 'status' | 'error_category' | 'max_retries'>,
  attempts: readonly A[],
): readonly A[] {
  if (!isResumable(execution)) return [];
  const isDone = ({ status, error_category }: A) => status === 'failed' && !isFaultOfService(error_category);
  const others = attempts.findIndex((attempt) => !isDone(attempt));
  const done = others < 0 ? attempts : attempts.slice(0, others);
  const since = Date.now() - RESUMABLE_DAYS * 86_400_000;
  const isFresh = done.every(({ started_at }) => Date.parse(started_at) > since);
  return isFresh && done.length < execution.max_retries ? done : [];
}
