/** State RecordSandbox: notes the task that StartSandbox ran, or that it ran none. */
import * as z from 'zod';
import { workflowHandler } from '../http/middleware.ts';
import { recordNoTask, recordTask } from '../sandbox/sandboxes.ts';

export const handler = workflowHandler(
  z.object({
    execution_id: z.string(),
    sandbox_id: z.string(),
    run_task: z.object({
      Tasks: z.array(z.object({ TaskArn: z.string() })),
      Failures: z.array(z.object({ Reason: z.string().nullish(), Detail: z.string().nullish() })),
    }),
  }),
  async ({ sandbox_id, run_task: { Tasks, Failures } }): Promise<{ sandbox_id: string }> => {
    const reasons = Failures.map(({ Reason, Detail }) => Detail ?? Reason ?? 'unknown');
    await (Tasks[0]
      ? recordTask(sandbox_id, Tasks[0].TaskArn)
      : recordNoTask(sandbox_id, reasons.join('; ')));
    return { sandbox_id };
  },
);
