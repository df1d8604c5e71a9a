/**
 * The life of a sandbox, from its record to its end:
 *
 *   starting ─► ready ─► stopped
 *      └───────────────────▲
 *
 *   starting   recorded, with a mailbox. The workflow's StartSandbox (or the pool's upkeep) runs its ECS task.
 *   ready      it uploaded ready.json. It serves the execution that it was made for, or is warm: on offer to the
 *              next execution, which claims it by a conditional write.
 *   stopped    its task ended (ECS says so), or we stopped it. A sandbox serves one execution and never another.
 *
 * A run that waits for a sandbox that stops is told at once: see loseSandbox.
 */
import { randomBytes } from 'node:crypto';
import { StopTaskCommand } from '@aws-sdk/client-ecs';
import { publish } from '../events/publish.ts';
import { loseTask } from '../execution/workflow.ts';
import { ecs } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { ConditionFailed } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { measure } from '../service/metrics.ts';
import {
  assignSandbox,
  type CapacityProvider,
  claimSandbox,
  createSandbox,
  type ExecutionRecord,
  getAttempt,
  getExecution,
  getSandbox,
  listWarmSandboxes,
  type SandboxRecord,
  setSandboxStopped,
} from '../service/store.ts';
import { createMailbox, SANDBOX_LIFETIME, wakeSandbox } from './mailbox.ts';
import { wantedWarmSandboxes } from './warm-hours.ts';

/** What StartSandbox needs to run the task of a sandbox. */
export interface SandboxToStart {
  sandbox_id: string;
  manifest_url: string;
  capacity_provider: CapacityProvider;
}

/** Seconds of its life that a warm sandbox must have left to be given to an execution. */
const LIFE_FOR_EXECUTION = SANDBOX_LIFETIME / 2;

/**
 * Sees to it that a running execution has a sandbox. Gives the sandbox whose task is to be started for that: its
 * own, or the one that replaces the warm one it took; null if it has one that needs no start.
 */
export async function acquireSandbox(execution: ExecutionRecord): Promise<SandboxToStart | null> {
  const current = execution.sandbox_id ? await getSandbox(execution.sandbox_id) : undefined;
  if (current && current.status !== 'stopped') {
    const started = current.task_arn || current.status === 'ready';
    return started ? null : toStart(current);
  }
  if (config.warmSandboxes > 0) {
    const warm = await claimWarmSandbox(execution);
    if (warm) {
      await Promise.all([
        assignSandbox(execution.execution_id, warm.sandbox_id, execution.sandbox_id),
        wakeSandbox(warm.sandbox_id),
      ]);
      measure('WarmHit', 1);
      await publish(execution.execution_id, { type: 'sandbox.ready', isolation: warm.isolation ?? {} });
      return wantedWarmSandboxes() > 0 ? planSandbox() : null;
    }
  }
  const own = await planSandbox(execution.execution_id);
  await assignSandbox(execution.execution_id, own.sandbox_id, execution.sandbox_id);
  measure('WarmHit', 0);
  return own;
}

async function claimWarmSandbox(execution: ExecutionRecord): Promise<SandboxRecord | null> {
  for (const { sandbox_id, status, expires_at } of await listWarmSandboxes()) {
    if (status !== 'ready' || isTooOld(expires_at)) continue;
    try {
      return await claimSandbox(sandbox_id, execution.execution_id);
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
    }
  }
  return null;
}

/** Stops a warm sandbox, unless an execution has claimed it meanwhile. */
export async function retireWarmSandbox(sandboxId: string, reason: string): Promise<void> {
  try {
    const { task_arn } = await setSandboxStopped(sandboxId, { unclaimed: true });
    if (task_arn) await stopTask(task_arn, reason);
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
  }
}

/** Whether a warm sandbox has too little of its life left to be given to an execution. */
export const isTooOld = (expiresAt: string) => Date.parse(expiresAt) - Date.now() < LIFE_FOR_EXECUTION * 1000;

/** Records a new sandbox and makes its mailbox; without an execution it will be a warm one. */
export async function planSandbox(executionId?: string): Promise<SandboxToStart> {
  const now = Date.now();
  const record: SandboxRecord = {
    sandbox_id: `sandbox-${randomBytes(10).toString('hex')}`,
    status: 'starting',
    created_at: new Date(now).toISOString(),
    expires_at: new Date(now + SANDBOX_LIFETIME * 1000).toISOString(),
    execution_id: executionId,
    // A run that is lost with its sandbox is done again. A warm one waits for long, and is to be there then.
    capacity_provider: executionId && config.sandboxSpot ? 'FARGATE_SPOT' : 'FARGATE',
    start_tries: 0,
  };
  await createSandbox(record);
  return toStart(record);
}

const toStart = async ({
  sandbox_id,
  expires_at,
  capacity_provider = 'FARGATE',
}: SandboxRecord): Promise<SandboxToStart> => ({
  sandbox_id,
  manifest_url: await createMailbox(sandbox_id, new Date(expires_at)),
  capacity_provider,
});

/**
 * Stops a sandbox: its record first, so that nothing is sent to it any more, then its task. ECS sends SIGTERM, on
 * which the sandbox ends everything at once. Stopping a stopped one does no harm.
 */
export async function stopSandbox(sandboxId: string, reason: string): Promise<void> {
  const sandbox = await markStopped(sandboxId);
  if (sandbox?.task_arn) await stopTask(sandbox.task_arn, reason);
}

async function markStopped(sandboxId: string, withdrawn = false): Promise<SandboxRecord | undefined> {
  try {
    return await setSandboxStopped(sandboxId, { withdrawn });
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
    return getSandbox(sandboxId);
  }
}

export async function stopTask(taskArn: string, reason: string): Promise<void> {
  try {
    await ecs.send(new StopTaskCommand({ cluster: config.sandboxCluster, task: taskArn, reason }));
  } catch (error) {
    // ECS forgets a task about an hour after its end.
    if (error instanceof Error && error.name === 'InvalidParameterException') {
      logger.info('task is gone', { task_arn: taskArn });
    } else throw error;
  }
}

/**
 * A sandbox's task has ended: fails the run that waits for it, so that the same attempt is run again elsewhere. `withdrawn`:
 * not by itself, nor by what ran in it.
 */
export async function loseSandbox(sandboxId: string, reason: string, withdrawn = false): Promise<void> {
  const sandbox = await markStopped(sandboxId, withdrawn);
  const execution = sandbox?.execution_id ? await getExecution(sandbox.execution_id) : undefined;
  if (!execution || execution.sandbox_id !== sandboxId || execution.attempts === 0) return;
  const attempt = await getAttempt(execution.execution_id, execution.attempts);
  if (!attempt?.task_token || attempt.sandbox_id !== sandboxId) return;
  if (attempt.status !== 'waiting' && attempt.status !== 'running') return;
  await loseTask(attempt.task_token, reason);
}
