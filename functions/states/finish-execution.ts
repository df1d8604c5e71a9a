/** State FinishExecution: the end of every execution, also of one that failed by a fault of ours (`failure`). */
import * as z from 'zod';
import type { ErrorCategory } from '../execution/execution.ts';
import { endExecution } from '../execution/lifecycle.ts';
import { workflowHandler } from '../http/middleware.ts';
import { logger } from '../service/logger.ts';

const failureSchema = z.object({ Error: z.string(), Cause: z.string().optional() });

export const handler = workflowHandler(
  z.object({ execution_id: z.string(), failure: failureSchema.optional() }),
  async ({ execution_id, failure }): Promise<{ execution_id: string }> => {
    if (failure) logger.error('workflow failed', { failure });
    await endExecution(execution_id, failure && describe(failure));
    return { execution_id };
  },
);

function describe({ Error: name }: z.infer<typeof failureSchema>): {
  category: ErrorCategory;
  error: string;
} {
  const error =
    name === 'SandboxUnavailable'
      ? 'No sandbox could be started: the service is out of capacity. Try again in a few minutes.'
      : `The service failed (${name}). Try again; if it stays, report the execution_id.`;
  return { category: 'sandbox_error', error };
}
