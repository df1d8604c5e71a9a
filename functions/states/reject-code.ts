/** State RejectCode: the code did not pass CheckCode, so the attempt has failed. */
import * as z from 'zod';
import { errorCategorySchema, violationSchema } from '../execution/execution.ts';
import { rejectAttempt } from '../execution/rejection.ts';
import { workflowHandler } from '../http/middleware.ts';

export const handler = workflowHandler(
  z.object({
    execution_id: z.string(),
    attempt: z.int(),
    check: z.object({
      error_category: errorCategorySchema.extract(['syntax_error', 'policy_violation']),
      error: z.string(),
      error_line: z.int().nullable(),
      violations: z.array(violationSchema),
      standard_permits: z.boolean(),
    }),
  }),
  ({ execution_id, attempt, check }) => rejectAttempt(execution_id, attempt, check),
);
