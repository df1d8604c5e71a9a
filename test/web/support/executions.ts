/** Executions, attempts and events for tests, each field as it is at the beginning unless given. */

import type { EventData, ExecutionEvent } from '../../../functions/events/events.ts';
import { newAttempt } from '../../../functions/execution/attempts.ts';
import type { Attempt, Execution, ExecutionSummary } from '../../../functions/execution/execution.ts';

export const summary = (given: Partial<ExecutionSummary> = {}): ExecutionSummary => ({
  execution_id: 'e1',
  status: 'queued',
  success: false,
  prompt: 'Print one',
  max_retries: 5,
  timeout: 30,
  policy: 'strict',
  model: 'demo',
  attempts: 0,
  resumes: null,
  error: null,
  error_category: null,
  created_at: '2026-01-01T00:00:00.000Z',
  finished_at: null,
  total_time: null,
  ...given,
});

export const execution = (given: Partial<Execution> = {}): Execution => ({
  ...summary(),
  tests: null,
  results: [],
  final_result: null,
  place_in_line: null,
  usage: null,
  sequence: 0,
  ticket: 'ticket',
  ...given,
});

export const attempt = (given: Partial<Attempt> = {}): Attempt => ({
  ...newAttempt(1, '2026-01-01T00:00:00.000Z'),
  total_attempts: 5,
  status: 'failed',
  success: false,
  without_output: false,
  code: 'print(1)',
  ...given,
});

/** Numbers events from 1 and puts them a second apart. */
export const events = (...script: EventData[]): ExecutionEvent[] =>
  script.map((data, index) => ({
    execution_id: 'e1',
    sequence: index + 1,
    at: new Date(Date.UTC(2026, 0, 1, 0, 0, index + 1)).toISOString(),
    ...data,
  }));
