/** State RunCode: has the code of an attempt run, and answers its own task token if the result is there soon. */
import * as z from 'zod';
import { runAttempt } from '../execution/run.ts';
import { succeedTask } from '../execution/workflow.ts';
import { workflowHandler } from '../http/middleware.ts';

export const handler = workflowHandler(
  z.object({ execution_id: z.string(), attempt: z.int(), task_token: z.string() }),
  async ({ execution_id, attempt, task_token }): Promise<void> => {
    const step = await runAttempt(execution_id, attempt, task_token);
    if (step) await succeedTask(task_token, step);
  },
);
