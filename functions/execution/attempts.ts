/** What the service and the page both have to know of attempts, without the schemas, which the page does not load. */
import type { Attempt, AttemptStatus, Usage } from './execution.ts';

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
    started_at,
    generated_at: null,
    checked_at: null,
    run_started_at: null,
    finished_at: null,
  } satisfies Partial<Attempt>;
}

/** Over the attempts; null if none was counted. */
export function sumUsage(attempts: readonly { usage: Usage | null }[]): Usage | null {
  const counted = attempts.flatMap(({ usage }) => usage ?? []);
  if (counted.length === 0) return null;
  const sum = (field: keyof Usage) => counted.reduce((total, usage) => total + usage[field], 0);
  return {
    prompt_tokens: sum('prompt_tokens'),
    completion_tokens: sum('completion_tokens'),
    total_tokens: sum('total_tokens'),
  };
}
