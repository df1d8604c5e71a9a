/**
 * WorkflowEnded: Step Functions tells that a workflow failed, timed out or was aborted, that is without reaching
 * FinishExecution. No execution stays `running` for that.
 */
import * as z from 'zod';
import { isFinal } from '../execution/execution.ts';
import { endExecution } from '../execution/lifecycle.ts';
import { getExecution } from '../execution/records.ts';
import { workflowHandler } from '../http/middleware.ts';

/** The EventBridge event `Step Functions Execution Status Change`; a workflow has the name of its execution. */
const eventSchema = z.object({
  detail: z.object({ name: z.string(), status: z.enum(['FAILED', 'TIMED_OUT', 'ABORTED']) }),
});

const REASONS = {
  FAILED: 'The service failed. Try again; if it stays, report the execution_id.',
  TIMED_OUT: 'The execution took longer than the service allows.',
  ABORTED: 'The execution was stopped by an operator.',
};

export const handler = workflowHandler(eventSchema, async ({ detail: { name, status } }): Promise<void> => {
  const execution = await getExecution(name);
  // Cancelling makes an execution final and then aborts its workflow: whoever does that sees to the rest.
  if (!execution || isFinal(execution.status)) return;
  await endExecution(name, { category: 'sandbox_error', error: REASONS[status] });
});
