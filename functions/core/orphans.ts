/**
 * Orphans: sandbox tasks that run though nobody will use them any more, because the function that was to stop them
 * died before it did. They would end by themselves with their URLs, but cost money until then.
 */
import { DescribeTasksCommand, paginateListTasks } from '@aws-sdk/client-ecs';
import { ecs } from './aws.ts';
import { config } from './config.ts';
import { isFinal } from './execution.ts';
import { logger } from './logger.ts';
import { stopTask } from './sandboxes.ts';
import { getExecution, getSandbox } from './store.ts';

export async function stopOrphans(): Promise<void> {
  const cluster = config.sandboxCluster;
  for await (const { taskArns = [] } of paginateListTasks(
    { client: ecs },
    { cluster, desiredStatus: 'RUNNING' },
  )) {
    if (taskArns.length === 0) continue;
    const { tasks = [] } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: taskArns }));
    for (const { taskArn, group = '' } of tasks) {
      if (!taskArn || (await isWanted(group))) continue;
      logger.warn('orphan stopped', { sandbox_id: group, task_arn: taskArn });
      await stopTask(taskArn, 'orphan');
    }
  }
}

/** Whether the sandbox is warm, or serves an execution that goes on. */
async function isWanted(sandboxId: string): Promise<boolean> {
  const sandbox = await getSandbox(sandboxId);
  if (!sandbox || sandbox.status === 'stopped') return false;
  if (!sandbox.execution_id) return true;
  const execution = await getExecution(sandbox.execution_id);
  return execution !== undefined && !isFinal(execution.status);
}
