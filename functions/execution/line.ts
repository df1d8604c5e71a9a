/**
 * The line in which stored executions wait for their workflow to begin their first attempt, and its bound: no more are
 * taken on than MAX_OPEN_EXECUTIONS, which is counted in the same writes that begin and end executions.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { config } from '../service/config.ts';
import { countOpenExecutions } from '../service/counters.ts';
import { Problem } from '../service/errors.ts';
import { listQueuedIds } from './records.ts';

/** Seconds after which a refused caller may try again. */
const RETRY_AFTER = 10;
/** Milliseconds for which the line is taken to stand as it was read: many may ask for their places at once. */
const FRESH_FOR = 500;

/** Milliseconds between two looks at the last places, while others are about to take them. */
const LOOK_AGAIN = 10;

/** Of this process: executions that it was about to store, and how many of them it is done with. */
let admitted = 0;
let stored = 0;

/** Stores an execution if one more can be taken on; no two of this process have the last place. @throws Problem */
export async function joinLine<T>(store: () => Promise<T>): Promise<T> {
  const most = config.maxOpenExecutions;
  while (most > 0) {
    const before = stored;
    const open = await countOpenExecutions();
    if (open >= most) {
      const detail = `${most} executions are under way or waiting for their turn, as many as are taken on. Try again later.`;
      throw new Problem(503, 'queue-full', 'Queue full', detail, [], { 'retry-after': String(RETRY_AFTER) });
    }
    // Those that were not stored when the count began may be in it or not.
    if (open + admitted - before < most) break;
    await sleep(LOOK_AGAIN);
  }
  admitted += 1;
  try {
    return await store();
  } finally {
    stored += 1;
  }
}

let line: { at: number; ids: Promise<string[]> } | undefined;

/** The place of a queued execution in the line: 1 for the next to begin. */
export async function placeInLine(executionId: string): Promise<number> {
  const now = performance.now();
  if (!line || now - line.at > FRESH_FOR) {
    const ids = listQueuedIds();
    line = { at: now, ids };
    ids.catch(() => {
      line = undefined;
    });
  }
  const ids = await line.ids;
  const index = ids.indexOf(executionId);
  // One that is not there yet has come since.
  return index < 0 ? ids.length + 1 : index + 1;
}
