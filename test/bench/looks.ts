/** Seconds; see sandbox-image/sandbox/watcher.py. */
const LOOK = 0.02;
const PAUSE_SHARE = 0.1;
const LONGEST_PAUSE = 0.1;

/**
 * How often a sandbox that an execution has claimed looks for a job for which it waits `seconds`: a tenth of the time
 * waited lies between two looks, at most 100 ms.
 */
export function looksForJob(seconds: number): number {
  const growing = Math.min(seconds, LONGEST_PAUSE / PAUSE_SHARE);
  const looksWhileGrowing = Math.log(1 + (PAUSE_SHARE * growing) / LOOK) / PAUSE_SHARE;
  return Math.round(looksWhileGrowing + (seconds - growing) / (LONGEST_PAUSE + LOOK));
}
