/** Who may see what: an execution is visible to its owner only, and to the holder of its ticket by WebSocket. */

import { type ExecutionRecord, getExecution, readSnapshot, type Snapshot } from '../execution/records.ts';
import { Problem } from '../service/errors.ts';
import { sameSecret } from './constant-time.ts';

/** @throws Problem 404, also for another owner's execution: whether it exists is not told. */
export async function ownExecution(owner: string, id = ''): Promise<ExecutionRecord> {
  const execution = await getExecution(id);
  if (execution?.owner === owner) return execution;
  throw unknownExecution(id);
}

/** The execution with its attempts and events. @throws Problem 404, as above */
export async function ownSnapshot(owner: string, id = ''): Promise<Snapshot> {
  const snapshot = await readSnapshot(id);
  if (snapshot?.execution.owner === owner) return snapshot;
  throw unknownExecution(id);
}

const unknownExecution = (id: string) =>
  new Problem(
    404,
    'unknown-execution',
    'Unknown execution',
    `There is no execution "${id.slice(0, 64)}". GET /api/executions lists yours.`,
  );

/** Whether `ticket` opens the WebSocket of `execution`. */
export function opens(ticket: string, execution: ExecutionRecord): boolean {
  return sameSecret(ticket, execution.ticket);
}
