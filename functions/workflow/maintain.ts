/**
 * Maintain, once a minute: launches executions that were stored but whose workflow was not started because the
 * function died in between, tops up the warm pool, retires warm sandboxes whose URLs are too old for a new
 * execution, and stops orphans.
 */
import * as z from 'zod';
import { launchExecution } from '../core/lifecycle.ts';
import { workflowHandler } from '../core/middleware.ts';
import { stopOrphans } from '../core/orphans.ts';
import { listQueuedExecutions } from '../core/store.ts';
import { maintainWarmPool } from '../core/warm-pool.ts';

/** Milliseconds after which a stored execution without a workflow counts as forgotten. */
const FORGOTTEN_AFTER = 30_000;

export const handler = workflowHandler(z.unknown(), async (): Promise<void> => {
  // One that fails must not keep the others from being done.
  const done = await Promise.allSettled([launchForgotten(), maintainWarmPool(), stopOrphans()]);
  const reasons = done.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  if (reasons.length > 0) throw new AggregateError(reasons, reasons.map(String).join('; '));
});

async function launchForgotten(): Promise<void> {
  for (const execution of await listQueuedExecutions(100)) {
    if (Date.now() - Date.parse(execution.created_at) > FORGOTTEN_AFTER) await launchExecution(execution);
  }
}
