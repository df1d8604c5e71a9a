/** State AcquireSandbox: sees to it that the execution has a sandbox; answers with the one to start, if any. */
import * as z from 'zod';
import { openExecution } from '../execution/lifecycle.ts';
import { workflowHandler } from '../http/middleware.ts';
import { acquireSandbox, type SandboxToStart } from '../sandbox/sandboxes.ts';

export const handler = workflowHandler(
  z.object({ execution_id: z.string() }),
  async ({ execution_id }): Promise<{ execution_id: string; start?: SandboxToStart }> => {
    const execution = await openExecution(execution_id);
    const start = execution && (await acquireSandbox(execution));
    return { execution_id, ...(start && { start }) };
  },
);
