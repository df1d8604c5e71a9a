/** State RejectCode: the code did not pass CheckCode, so the attempt has failed. */
import * as z from 'zod';
import { publish } from '../events/publish.ts';
import { errorCategorySchema, violationSchema } from '../execution/execution.ts';
import { endAttempt, openExecution, type Verdict } from '../execution/lifecycle.ts';
import { workflowHandler } from '../http/middleware.ts';
import { getAttempt } from '../service/store.ts';

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
  async ({ execution_id, attempt: number, check }): Promise<Verdict> => {
    const execution = await openExecution(execution_id);
    const attempt = await getAttempt(execution_id, number);
    if (!execution || !attempt) return { execution_id, attempt: number, next: 'finish' };
    if (attempt.status === 'checking') {
      await publish(execution_id, {
        type: 'check.failed',
        attempt: number,
        error: check.error,
        violations: check.violations,
      });
    }
    return endAttempt(execution, attempt, 'failed', check);
  },
);
