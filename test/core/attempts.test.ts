/** Which attempts of an execution another goes on from. */
import { expect, test } from 'vitest';
import { keptAttempts, sumUsage } from '../../functions/execution/attempts.ts';
import { attempt, execution } from '../web/support/executions.ts';

const now = () => new Date().toISOString();
const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
const done = { status: 'failed', error_category: 'exception', started_at: now() } as const;
const refused = { ...done, error_category: 'model_error' } as const;
const lost = { ...done, error_category: 'sandbox_error' } as const;
const stopped = { ...done, error_category: null, status: 'cancelled' } as const;

test.each([
  ['those before the one that the model server failed', 'failed', 'model_error', [done, done, refused], 2],
  ['those before the one that had no sandbox', 'failed', 'sandbox_error', [done, lost], 1],
  ['all, where the service failed between two', 'failed', 'sandbox_error', [done, done], 2],
  ['none of one that the service failed at once', 'failed', 'model_error', [refused], 0],
  ['none, where none was begun', 'failed', 'sandbox_error', [], 0],
  ['none, where none would be left', 'failed', 'sandbox_error', [done, done, done], 0],
  ['none of one that failed by itself', 'failed', 'exception', [done, done], 0],
  ['none of one that was cancelled', 'cancelled', null, [done, stopped], 0],
  ['none of one that goes on', 'running', null, [done], 0],
  ['none of one that succeeded', 'succeeded', null, [done], 0],
  ['none that are too old', 'failed', 'model_error', [{ ...done, started_at: daysAgo(6.1) }, refused], 0],
  ['some that are not so old', 'failed', 'model_error', [{ ...done, started_at: daysAgo(5.9) }, refused], 1],
] as const)('%s', (_, status, error_category, attempts, kept) => {
  const failed = execution({ status, error_category, max_retries: 3 });
  const results = attempts.map((given, index) => attempt({ ...given, attempt: index + 1 }));
  expect(keptAttempts(failed, results)).toEqual(results.slice(0, kept));
});

test('the tokens of attempts that were taken over are not counted again', () => {
  const usage = { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 };
  expect(sumUsage([{ usage, taken_from: 'another' }, { usage }, { usage: null }])).toEqual(usage);
  expect(sumUsage([{ usage, taken_from: 'another' }])).toBeNull();
});
