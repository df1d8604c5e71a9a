/** The sandboxes of an environment, as whoever removes it has to know of them. */
import { ECSClient, paginateListTasks, StopTaskCommand } from '@aws-sdk/client-ecs';

/** The environment's ECS cluster has a name of its own, by which it is found from outside of the stack. */
export const clusterName = (environment: string) => `recursive-ai-executor-${environment}`;

/** Stops all tasks of a cluster; gives how many there were. None if there is no such cluster. */
export async function stopTasks(cluster: string): Promise<number> {
  const client = new ECSClient();
  let stopped = 0;
  try {
    for await (const { taskArns = [] } of paginateListTasks({ client }, { cluster })) {
      for (const task of taskArns) {
        await client.send(new StopTaskCommand({ cluster, task, reason: 'the environment is removed' }));
      }
      stopped += taskArns.length;
    }
  } catch (error) {
    if (!(error instanceof Error && error.name === 'ClusterNotFoundException')) throw error;
  }
  return stopped;
}
