/** Looking for what someone else is about to do, where no event tells of it soon enough. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds. */
export interface Patience {
  /** In all. */
  limit: number;
  /** Before the first look. */
  firstPause: number;
  longestPause: number;
}

/** Each pause is this much longer than the one before. */
const GROWTH = 1.3;

/** Looks again and again, with pauses that grow, until there is something; null if the time is over before. */
export async function lookFor<T>(
  look: () => Promise<T | null>,
  { limit, firstPause, longestPause }: Patience,
): Promise<T | null> {
  const end = performance.now() + limit;
  for (
    let pause = firstPause;
    performance.now() + pause <= end;
    pause = Math.min(pause * GROWTH, longestPause)
  ) {
    await sleep(pause);
    const found = await look();
    if (found !== null) return found;
  }
  return null;
}
