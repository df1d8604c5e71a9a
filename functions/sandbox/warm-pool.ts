/**
 * The warm pool: WARM_SANDBOXES sandboxes that wait, started, for an execution to claim them. An execution that
 * takes one starts the one that replaces it, so this upkeep only makes good what was lost or has grown too old.
 */
import { RunTaskCommand } from '@aws-sdk/client-ecs';
import { ecs } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { doAll } from '../service/do-all.ts';
import { SandboxNotStarted } from '../service/errors.ts';
import { listWarmSandboxes, setSandboxTask } from './records.ts';
import { runTaskRequest } from './run-task.ts';
import { isTooOld, planSandbox, retireWarmSandbox, type SandboxToStart } from './sandboxes.ts';
import { wantedWarmSandboxes } from './warm-hours.ts';

/** Milliseconds that a warm sandbox may take to start. */
const START_TIMEOUT = 600_000;

export async function maintainWarmPool(): Promise<void> {
  const wanted = wantedWarmSandboxes();
  let alive = 0;
  const changes: (() => Promise<void>)[] = [];
  for (const { sandbox_id, status, created_at, expires_at } of await listWarmSandboxes()) {
    const neverStarted = status === 'starting' && Date.now() - Date.parse(created_at) > START_TIMEOUT;
    if (alive >= wanted || neverStarted || isTooOld(expires_at)) {
      changes.push(() => retireWarmSandbox(sandbox_id, 'retired from the warm pool'));
    } else {
      alive += 1;
    }
  }
  for (; alive < wanted; alive += 1) changes.push(startWarmSandbox);
  await doAll(changes, (change) => change());
}

async function startWarmSandbox(): Promise<void> {
  const planned = await planSandbox();
  try {
    await setSandboxTask(planned.sandbox_id, await startSandboxTask(planned));
  } catch (error) {
    // It must not count as one that is about to be ready.
    await retireWarmSandbox(planned.sandbox_id, 'its task was not started');
    throw error;
  }
}

/** Starts the task of a planned sandbox; gives its ARN. @throws SandboxNotStarted, and ECS's errors */
export async function startSandboxTask(planned: SandboxToStart): Promise<string> {
  const { tasks, failures = [] } = await ecs.send(
    new RunTaskCommand(
      runTaskRequest(
        {
          cluster: config.sandboxCluster,
          taskDefinition: config.sandboxTaskDefinition,
          subnets: config.sandboxSubnets,
          securityGroups: config.sandboxSecurityGroups,
          assignPublicIp: config.sandboxAssignPublicIp,
        },
        planned,
      ),
    ),
  );
  const taskArn = tasks?.[0]?.taskArn;
  if (taskArn) return taskArn;
  throw new SandboxNotStarted(failures.map(({ reason, detail }) => detail ?? reason).join('; '));
}
