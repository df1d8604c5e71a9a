/**
 * Who takes in a result: RunCode looks for it itself for a while, for the event of S3 that brings it is "typically delivered
 * in seconds", and most programs are done in one. Looking for five costs 0.003 US cents at most. CollectResult, which
 * the event calls, leaves it to RunCode as long as that surely looks once more.
 */
import type { Patience } from '../service/look-for.ts';
import type { AttemptRecord } from './records.ts';

export const RESULT_PATIENCE: Patience = { limit: 5_000, firstPause: 40, longestPause: 400 };

/** Milliseconds: RunCode's longest pause, and what the clocks of two functions may differ by. */
const MARGIN = RESULT_PATIENCE.longestPause + 600;

/** Epoch milliseconds. */
export const lookUntil = () => Date.now() + RESULT_PATIENCE.limit;

/** Whether RunCode will look for the result of this run at least once from now on. A clock that was set back says nothing. */
export function isLookedFor({ looked_for_until: until = 0 }: AttemptRecord): boolean {
  const left = until - Date.now();
  return left > MARGIN && left <= RESULT_PATIENCE.limit;
}
