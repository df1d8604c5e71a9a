/** The request that starts the task of a sandbox: spelled once, for the pool's upkeep and for the workflow's StartSandbox. */
import type { RunTaskCommandInput } from '@aws-sdk/client-ecs';
import type { SandboxToStart } from './sandboxes.ts';

/** Where the tasks of sandboxes run, and as what. */
export interface SandboxPlace {
  cluster: string;
  taskDefinition: string;
  subnets: string[];
  securityGroups: string[];
  assignPublicIp: 'ENABLED' | 'DISABLED';
}

export const runTaskRequest = (
  place: SandboxPlace,
  { sandbox_id, manifest_url, capacity_provider }: SandboxToStart,
) =>
  ({
    cluster: place.cluster,
    taskDefinition: place.taskDefinition,
    capacityProviderStrategy: [{ capacityProvider: capacity_provider }],
    // A request that is made again because its answer was lost starts no second task.
    clientToken: sandbox_id,
    // By it SandboxStateChange knows the sandbox of a task that has stopped.
    group: sandbox_id,
    propagateTags: 'TASK_DEFINITION',
    networkConfiguration: {
      awsvpcConfiguration: {
        subnets: place.subnets,
        securityGroups: place.securityGroups,
        assignPublicIp: place.assignPublicIp,
      },
    },
    overrides: {
      containerOverrides: [{ name: 'sandbox', environment: [{ name: 'MANIFEST_URL', value: manifest_url }] }],
    },
  }) satisfies RunTaskCommandInput;
