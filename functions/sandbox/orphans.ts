/**
 * Orphans: sandbox tasks that run though nobody will use them any more, because the function that was to stop them
 * died before it did. They would end by themselves with their URLs, but cost money until then.
 */
import { DescribeTasksCommand, paginateListTasks } from '@aws-sdk/client-ecs';
import { isFinal } from '../execution/execution.ts';
import { getExecution } from '../execution/records.ts';
import { ecs } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { doAll } from '../service/do-all.ts';
import { logger } from '../service/logger.ts';
import { getSandbox } from './records.ts';
import { stopTask } from './sandboxes.ts';

export async function stopOrphans(): Promise<void> {
  const cluster = config.sandboxCluster;
  const pages: string[][] = [];
  // A page has as many as DescribeTasks takes. All are read first: what is stopped leaves the list.
  for await (const { taskArns = [] } of paginateListTasks(
    { client: ecs },
    { cluster, desiredStatus: 'RUNNING', maxResults: 100 },
  )) {
    if (taskArns.length > 0) pages.push(taskArns);
  }
  await doAll(pages, async (page) => {
    const { tasks = [] } = await ecs.send(new DescribeTasksCommand({ cluster, tasks: page }));
    await doAll(tasks, async ({ taskArn, group = '' }) => {
      if (!taskArn || (await isWanted(group))) return;
      logger.warn('orphan stopped', { sandbox_id: group, task_arn: taskArn });
      await stopTask(taskArn, 'orphan');
    });
  });
}

/** Whether the sandbox is warm, or serves an execution that goes on. */
async function isWanted(sandboxId: string): Promise<boolean> {
  const sandbox = await getSandbox(sandboxId);
  if (!sandbox || sandbox.status === 'stopped') return false;
  if (!sandbox.execution_id) return true;
  const execution = await getExecution(sandbox.execution_id);
  return execution !== undefined && !isFinal(execution.status);
}
