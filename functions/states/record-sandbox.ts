/**
 * State RecordSandbox: notes the task that StartSandbox ran. RunTask can answer well and yet have started nothing: then
 * the execution's own sandbox is tried again, and one that was to replace a warm one is given up, for the execution has
 * its sandbox; the upkeep fills the pool.
 */
import * as z from 'zod';
import { LIMITS } from '../execution/execution.ts';
import { workflowHandler } from '../http/middleware.ts';
import { retireWarmSandbox, stopTask } from '../sandbox/sandboxes.ts';
import { ConditionFailed, SandboxNotStarted, SandboxUnavailable } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { countSandboxStart, setSandboxTask } from '../service/store.ts';

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
    const [task] = Tasks;
    if (!task) {
      const reason = Failures.map(({ Reason, Detail }) => Detail ?? Reason ?? 'unknown').join('; ');
      const { start_tries, execution_id } = await countSandboxStart(sandbox_id);
      if (!execution_id) {
        logger.warn('no replacement for a warm sandbox', { reason });
        await retireWarmSandbox(sandbox_id, 'its task was not started');
        return { sandbox_id };
      }
      if (start_tries < LIMITS.sandboxStarts) throw new SandboxNotStarted(reason);
      throw new SandboxUnavailable(`No sandbox could be started: ${reason}`);
    }
    try {
      await setSandboxTask(sandbox_id, task.TaskArn);
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
      // The execution was cancelled, and its sandbox stopped, before its task was known.
      await stopTask(task.TaskArn, 'no longer wanted');
    }
    return { sandbox_id };
  },
);
