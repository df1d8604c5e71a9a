/** SandboxStateChange: ECS tells that a task has stopped; a run that waits for that sandbox is told at once. */
import * as z from 'zod';
import { workflowHandler } from '../core/middleware.ts';
import { loseSandbox } from '../core/sandboxes.ts';

/** The EventBridge event `ECS Task State Change`; StartSandbox puts the sandbox's id into the task's group. */
const eventSchema = z.object({
  detail: z.object({
    lastStatus: z.string(),
    group: z.string(),
    stoppedReason: z.string().optional(),
  }),
});

export const handler = workflowHandler(eventSchema, async ({ detail }): Promise<void> => {
  if (detail.lastStatus !== 'STOPPED') return;
  await loseSandbox(detail.group, detail.stoppedReason ?? 'The task of the sandbox has stopped.');
});
