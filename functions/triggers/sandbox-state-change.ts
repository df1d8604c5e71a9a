/** SandboxStateChange: ECS tells that a task has stopped; a run that waits for that sandbox is told at once. */
import * as z from 'zod';
import { workflowHandler } from '../http/middleware.ts';
import { loseSandbox } from '../sandbox/sandboxes.ts';

/** The EventBridge event `ECS Task State Change`; StartSandbox puts the sandbox's id into the task's group. */
const eventSchema = z.object({
  detail: z.object({
    lastStatus: z.string(),
    group: z.string(),
    stopCode: z.string().optional(),
    stoppedReason: z.string().optional(),
  }),
});

/** A restart of the local runtime, the end of a Spot task, upkeep of Fargate, somebody with the console. */
const WITHDRAWN = ['TerminationNotice', 'SpotInterruption', 'ServiceSchedulerInitiated', 'UserInitiated'];

export const handler = workflowHandler(eventSchema, async ({ detail }): Promise<void> => {
  if (detail.lastStatus !== 'STOPPED') return;
  const { group, stopCode = '', stoppedReason = 'The task of the sandbox has stopped.' } = detail;
  await loseSandbox(group, stoppedReason, WITHDRAWN.includes(stopCode));
});
