/** Who may see what: an execution is visible to its owner only, and to the holder of its ticket by WebSocket. */

import { Problem } from '../service/errors.ts';
import { type ExecutionRecord, getExecution } from '../service/store.ts';
import { sameSecret } from './constant-time.ts';

/** @throws Problem 404, also for another owner's execution: whether it exists is not told. */
export async function ownExecution(owner: string, id: string | undefined): Promise<ExecutionRecord> {
  const execution = id ? await getExecution(id) : undefined;
  if (execution?.owner === owner) return execution;
  throw new Problem(
    404,
    'unknown-execution',
    'Unknown execution',
    `There is no execution "${id?.slice(0, 64)}". GET /api/executions lists yours.`,
  );
}

/** Whether `ticket` opens the WebSocket of `execution`. */
export function opens(ticket: string, execution: ExecutionRecord): boolean {
  return sameSecret(ticket, execution.ticket);
}
