/** What the tests of the local endpoint share: an endpoint on a free port and a folder of its own, and the SDK's clients. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Endpoint, type EndpointOptions, startEndpoint } from '../../local/aws/endpoint.ts';
import { ProcessLauncher } from '../../local/launchers/process.ts';

export const ACCOUNT = '000000000000';
export const REGION = 'us-east-1';
export const STATE_MACHINE_ARN = `arn:aws:states:${REGION}:${ACCOUNT}:stateMachine:test`;

export const temporaryFolder = () => fs.mkdtempSync(path.join(os.tmpdir(), 'local-aws-'));

/** An endpoint of which only what a test gives is of interest. */
export function testOptions(options: Partial<EndpointOptions> = {}): EndpointOptions {
  return {
    dataDir: temporaryFolder(),
    stateMachine: {
      arn: STATE_MACHINE_ARN,
      definition: { StartAt: 'Done', States: { Done: { Type: 'Succeed' } } },
    },
    invoke: () => Promise.reject(new Error('no function expected')),
    onObjectCreated: async () => {},
    onTaskStateChange: async () => {},
    onWorkflowFailure: async () => {},
    ecs: {
      cluster: 'sandboxes',
      taskDefinition: 'sandbox',
      launcher: new ProcessLauncher({ cwd: os.tmpdir(), confinement: 'required' }),
    },
    log: () => {},
    ...options,
  };
}

/** Starts an endpoint and points the SDK of this process at it, as the runtime does. */
export async function startTestEndpoint(options: Partial<EndpointOptions> = {}): Promise<Endpoint> {
  const endpoint = await startEndpoint(testOptions(options));
  process.env.AWS_ENDPOINT_URL = endpoint.url;
  process.env.AWS_REGION = endpoint.region;
  process.env.AWS_ACCESS_KEY_ID = endpoint.credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = endpoint.credentials.secretAccessKey;
  return endpoint;
}

/** Collects values and lets a test wait for one that fits, however early or late it comes. */
export class Inbox<T> {
  readonly items: T[] = [];
  readonly #waiting: { fits(item: T): boolean; resolve(item: T): void }[] = [];

  put(item: T): void {
    this.items.push(item);
    for (const waiting of this.#waiting.filter(({ fits }) => fits(item))) {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      waiting.resolve(item);
    }
  }

  async next(fits: (item: T) => boolean = () => true): Promise<T> {
    const known = this.items.find(fits);
    if (known !== undefined) return known;
    return new Promise((resolve) => this.#waiting.push({ fits, resolve }));
  }
}
