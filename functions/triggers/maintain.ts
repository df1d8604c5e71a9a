/**
 * Maintain, once a minute: launches executions that were stored but whose workflow was not started because the
 * function died in between, tops up the warm pool, retires warm sandboxes whose URLs are too old for a new
 * execution, and stops orphans. What fails keeps nothing else from being done; the errors are thrown at the end.
 */
import * as z from 'zod';
import { launchExecution } from '../execution/lifecycle.ts';
import { listQueuedExecutions } from '../execution/records.ts';
import { workflowHandler } from '../http/middleware.ts';
import { stopOrphans } from '../sandbox/orphans.ts';
import { maintainWarmPool } from '../sandbox/warm-pool.ts';
import { doAll } from '../service/do-all.ts';

export const handler = workflowHandler(z.unknown(), async (): Promise<void> => {
  await doAll([launchForgotten, maintainWarmPool, stopOrphans], (part) => part());
});

/** Launching one that is under way, or is about to be, changes nothing. */
const launchForgotten = async () => doAll(await listQueuedExecutions(), launchExecution);
