/**
 * Going on from an execution that failed by a fault of the service, with a model server that was away or sandboxes that
 * could not be had: a new execution takes over its task and the attempts that were done, as they are stored. Their texts
 * and files stay where they are, their tokens are counted where they were used, and the model sees them in its repair
 * request as if nothing had happened. The attempt that the fault ended is made again.
 */
import { ownExecution } from '../callers/access.ts';
import { Problem } from '../service/errors.ts';
import { isResumable, keptAttempts } from './attempts.ts';
import { isFinal } from './execution.ts';
import { type AttemptRecord, type ExecutionRecord, listAttempts } from './records.ts';

/** The execution to go on from, and its attempts that are taken over. @throws Problem */
export async function readResumable(
  owner: string,
  id: string,
): Promise<{ earlier: ExecutionRecord; kept: readonly AttemptRecord[] }> {
  const earlier = await ownExecution(owner, id);
  if (!isResumable(earlier)) throw notResumable(earlier);
  return { earlier, kept: keptAttempts(earlier, await listAttempts(id)) };
}

function notResumable({ status }: ExecutionRecord): Problem {
  const ended = {
    succeeded: 'has succeeded',
    failed: 'failed by its own programs',
    cancelled: 'was cancelled',
  };
  const detail = isFinal(status)
    ? `The execution ${ended[status]}; only one that failed by a fault of the service is resumed. Send its prompt to run it again.`
    : `The execution is ${status} still. Wait for its end, or cancel it.`;
  return new Problem(409, 'not-resumable', 'Not resumable', detail);
}

/** An attempt of `kept` as the execution `id` has it. */
export function takeOver(
  { task_token: _, looked_for_until: __, ...attempt }: AttemptRecord,
  id: string,
): AttemptRecord {
  return {
    ...attempt,
    execution_id: id,
    taken_from: attempt.taken_from ?? attempt.execution_id,
    // The new workflow has lost none.
    lossesInAll: 0,
  };
}
