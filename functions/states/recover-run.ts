/** State RecoverRun: a run was lost with its sandbox, or not heard of in time. */
import * as z from 'zod';
import { recoverRun } from '../execution/recovery.ts';
import { workflowHandler } from '../http/middleware.ts';

export const handler = workflowHandler(
  z.object({
    execution_id: z.string(),
    attempt: z.int(),
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  ({ execution_id, attempt, failure }) => recoverRun(execution_id, attempt, failure),
);
