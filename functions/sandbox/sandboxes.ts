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
import { isFinal, LIMITS } from '../execution/execution.ts';
import { getAttempt, getExecution, sandboxAssignment, type Work } from '../execution/records.ts';
import { loseTask } from '../execution/workflow.ts';
import { ecs } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { SandboxNotStarted, SandboxUnavailable } from '../service/errors.ts';
import { writeTogether } from '../service/items.ts';
import { logger } from '../service/logger.ts';
import { measure } from '../service/metrics.ts';
import { createMailbox, SANDBOX_LIFETIME, wakeSandbox } from './mailbox.ts';
import { OWN_STOP } from './own-stops.ts';
import {
  type CapacityProvider,
  countSandboxStart,
  createSandbox,
  getSandbox,
  listWarmSandboxes,
  newSandbox,
  type SandboxRecord,
  sandboxClaim,
  setSandboxStopped,
  setSandboxTask,
} from './records.ts';
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
 * own, or the one that replaces the warm one it took; null if it has one that needs no start, or has ended meanwhile.
 */
export async function acquireSandbox(work: Work): Promise<SandboxToStart | null> {
  const { execution } = work;
  const current = execution.sandbox_id ? await getSandbox(execution.sandbox_id) : undefined;
  if (current && current.status !== 'stopped') {
    const started = current.task_arn || current.status === 'ready';
    return started ? null : toStart(current);
  }
  if (config.warmSandboxes > 0 && (await claimWarmSandbox(work))) {
    measure('WarmHit', 1);
    return wantedWarmSandboxes() > 0 ? planSandbox() : null;
  }
  const own = newRecord(execution.execution_id);
  const assigned = sandboxAssignment(execution, own.sandbox_id);
  const unmet = await writeTogether([newSandbox(own), assigned]);
  // It has ended, or another invocation has seen to it.
  if (unmet.size > 0) return null;
  measure('WarmHit', 0);
  return toStart(own);
}

/** Gives an execution a ready, never-used sandbox and tells of it. Gives false if there is none. */
async function claimWarmSandbox({ execution, feed }: Work): Promise<boolean> {
  for (const { sandbox_id, status, expires_at, isolation = {} } of await listWarmSandboxes()) {
    if (status !== 'ready' || isTooOld(expires_at)) continue;
    const claim = sandboxClaim(sandbox_id, execution.execution_id);
    const unmet = await feed.publish(
      [{ type: 'sandbox.ready', isolation }],
      [claim, sandboxAssignment(execution, sandbox_id)],
      { ready_sandbox: sandbox_id },
    );
    if (unmet.size === 0) {
      await wakeSandbox(sandbox_id);
      return true;
    }
    // Not another's claim: the execution needs none any more.
    if (!unmet.has(claim)) return false;
  }
  return false;
}

/** Notes the task that was started for a sandbox. */
export async function recordTask(sandboxId: string, taskArn: string): Promise<void> {
  const { ours } = await setSandboxTask(sandboxId, taskArn);
  // The execution was cancelled, and its sandbox stopped, before its task was known.
  if (!ours) await stopTask(taskArn, 'no longer wanted');
}

/**
 * RunTask can answer well and yet have started nothing: then the execution's own sandbox is tried again, and one that was to
 * replace a warm one is given up, for the execution has its sandbox; the upkeep fills the pool.
 * @throws SandboxNotStarted to try again, SandboxUnavailable after the last try
 */
export async function recordNoTask(sandboxId: string, reason: string): Promise<void> {
  const { record } = await countSandboxStart(sandboxId);
  if (!record?.execution_id) {
    logger.warn('no replacement for a warm sandbox', { reason });
    return retireWarmSandbox(sandboxId, 'its task was not started');
  }
  if (record.start_tries < LIMITS.sandboxStarts) throw new SandboxNotStarted(reason);
  throw new SandboxUnavailable(`No sandbox could be started: ${reason}`);
}

/** Stops a warm sandbox, unless an execution has claimed it meanwhile. */
export async function retireWarmSandbox(sandboxId: string, reason: string): Promise<void> {
  const { ours, record } = await setSandboxStopped(sandboxId, { unclaimed: true });
  if (ours && record.task_arn) await stopTask(record.task_arn, reason);
}

/** Whether a warm sandbox has too little of its life left to be given to an execution. */
export const isTooOld = (expiresAt: string) => Date.parse(expiresAt) - Date.now() < LIFE_FOR_EXECUTION * 1000;

/** Records a new sandbox and makes its mailbox; without an execution it will be a warm one. */
export async function planSandbox(executionId?: string): Promise<SandboxToStart> {
  const record = newRecord(executionId);
  await createSandbox(record);
  return toStart(record);
}

function newRecord(executionId?: string): SandboxRecord {
  const now = Date.now();
  return {
    sandbox_id: `sandbox-${randomBytes(10).toString('hex')}`,
    status: 'starting',
    created_at: new Date(now).toISOString(),
    expires_at: new Date(now + SANDBOX_LIFETIME * 1000).toISOString(),
    execution_id: executionId,
    // A run that is lost with its sandbox is done again. A warm one waits for long, and is to be there then.
    capacity_provider: executionId && config.sandboxSpot ? 'FARGATE_SPOT' : 'FARGATE',
    start_tries: 0,
  };
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
  const { record } = await setSandboxStopped(sandboxId);
  if (record?.task_arn) await stopTask(record.task_arn, reason);
}

export async function stopTask(taskArn: string, reason: string): Promise<void> {
  try {
    await ecs.send(
      new StopTaskCommand({
        cluster: config.sandboxCluster,
        task: taskArn,
        reason: `${OWN_STOP}${reason}`,
      }),
    );
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
  const { record: sandbox } = await setSandboxStopped(sandboxId, { withdrawn });
  const execution = sandbox?.execution_id ? await getExecution(sandbox.execution_id) : undefined;
  if (!execution || isFinal(execution.status) || execution.sandbox_id !== sandboxId) return;
  const attempt = await getAttempt(execution.execution_id, execution.attempts);
  if (!attempt?.task_token || attempt.sandbox_id !== sandboxId) return;
  if (attempt.status !== 'waiting' && attempt.status !== 'running') return;
  await loseTask(attempt.task_token, reason);
}
