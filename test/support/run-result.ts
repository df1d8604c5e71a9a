import type { RunResult } from '../../functions/sandbox/contract.ts';

/** The document by which a sandbox hands in a run that went well. */
export const runResult = (job_id: string, changes: Partial<RunResult> = {}): RunResult => ({
  job_id,
  success: true,
  error_category: null,
  error: null,
  error_line: null,
  traceback: null,
  locals: {},
  violations: [],
  standard_permits: false,
  output: '',
  output_truncated: false,
  execution_time: 1,
  exit_code: 0,
  signal: null,
  peak_memory_bytes: 10_000_000,
  artifacts: [],
  artifacts_skipped: [],
  ...changes,
});
