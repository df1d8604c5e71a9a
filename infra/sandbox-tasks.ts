/** The sandboxes of an environment, as whoever removes it has to know of them. */
import { ECSClient, paginateListTasks, StopTaskCommand } from '@aws-sdk/client-ecs';
import { doAll } from '../functions/service/do-all.ts';

/** The environment's ECS cluster has a name of its own, by which it is found from outside of the stack. */
export const clusterName = (environment: string) => `recursive-ai-executor-${environment}`;

/** Stops all tasks of a cluster; gives how many there were. None if there is no such cluster. */
export async function stopTasks(cluster: string): Promise<number> {
  const client = new ECSClient();
  const tasks: string[] = [];
  try {
    // All are read first: what is stopped leaves the list.
    for await (const { taskArns = [] } of paginateListTasks({ client }, { cluster })) tasks.push(...taskArns);
  } catch (error) {
    if (!(error instanceof Error && error.name === 'ClusterNotFoundException')) throw error;
  }
  await doAll(tasks, (task) =>
    client.send(new StopTaskCommand({ cluster, task, reason: 'the environment is removed' })),
  );
  return tasks.length;
}
