/** State AcquireSandbox: sees to it that the execution has a sandbox; answers with the one to start, if any. */
import * as z from 'zod';
import { openWork } from '../execution/records.ts';
import { workflowHandler } from '../http/middleware.ts';
import { acquireSandbox, type SandboxToStart } from '../sandbox/sandboxes.ts';

export const handler = workflowHandler(
  z.object({ execution_id: z.string() }),
  async ({ execution_id }): Promise<{ execution_id: string; start?: SandboxToStart }> => {
    const work = await openWork(execution_id);
    const start = work && (await acquireSandbox(work));
    return { execution_id, ...(start && { start }) };
  },
);
