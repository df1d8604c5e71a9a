/**
 * ECS: the protocol, and the life of tasks. Of each task there is one sandbox, which a launcher starts.
 *
 *   PROVISIONING ─► RUNNING ─► STOPPED
 *         └────────────────────▲
 *
 * PROVISIONING  RunTask has answered; lasts as long as `startDelay` says, then the sandbox is launched.
 * RUNNING       the sandbox runs. Told by an event.
 * STOPPED       the sandbox has ended, by itself or by StopTask (which asks it and kills it two seconds later), or could
 *               not be started. Told by an event.
 *
 * No task outlives the runtime. The tasks that have not been told STOPPED are in the database, so that `resume()` tells it
 * of those that an earlier life left, whether it was closed or killed.
 */
import '../polyfill.ts';
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Ending, LaunchedSandbox, Launcher } from '../launchers/launcher.ts';
import type { Database, Documents } from './database.ts';
import type { Delivery } from './delivery.ts';
import { AwsError } from './http.ts';
import { type JsonService, operation } from './json-protocol.ts';
import type { Log } from './log.ts';
import type { StorageHealth } from './storage-health.ts';

export interface EcsOptions {
  /** What starts the sandbox of a task. */
  launcher: Launcher;
  /** The one cluster and the family of the one task definition that RunTask knows. */
  cluster: string;
  taskDefinition: string;
  /** Of a program, as the task definition says it. default: the sandbox program's */
  memoryMb?: number;
  /** Milliseconds from RunTask to the start of the sandbox, to model Fargate. default: none */
  startDelay?(): number;
}

/** EventBridge's `ECS Task State Change`. */
export interface TaskStateChangeEvent {
  version: '0';
  id: string;
  'detail-type': 'ECS Task State Change';
  source: 'aws.ecs';
  account: string;
  /** Times are ISO 8601, here and in `detail`. */
  time: string;
  region: string;
  resources: string[];
  detail: Omit<Task, 'createdAt' | 'startedAt' | 'stoppedAt'> & {
    createdAt: string;
    startedAt?: string;
    stoppedAt?: string;
    updatedAt: string;
  };
}

type TaskStatus = 'PROVISIONING' | 'RUNNING' | 'STOPPED';

/** As DescribeTasks gives it; dates in seconds since the epoch. */
interface Task {
  taskArn: string;
  clusterArn: string;
  taskDefinitionArn: string;
  launchType: 'FARGATE';
  capacityProviderName?: string;
  lastStatus: TaskStatus;
  desiredStatus: 'RUNNING' | 'STOPPED';
  createdAt: number;
  startedAt?: number;
  stoppedAt?: number;
  stopCode?: 'TaskFailedToStart' | 'EssentialContainerExited' | 'UserInitiated' | 'TerminationNotice';
  stoppedReason?: string;
  containers: { name: string; taskArn: string; lastStatus: TaskStatus; exitCode?: number; reason?: string }[];
  group?: string;
  startedBy?: string;
  overrides: Overrides;
  tags: { key: string; value: string }[];
  version: number;
}

const overridesSchema = z.object({
  containerOverrides: z
    .array(
      z.object({
        name: z.string(),
        environment: z.array(z.object({ name: z.string(), value: z.string() })).default([]),
      }),
    )
    .max(1)
    .default([]),
});
type Overrides = z.infer<typeof overridesSchema>;

const runTaskSchema = z.object({
  cluster: z.string().default('default'),
  taskDefinition: z.string(),
  count: z.int().min(1).max(10).default(1),
  clientToken: z.string().max(64).optional(),
  capacityProviderStrategy: z
    .array(z.object({ capacityProvider: z.enum(['FARGATE', 'FARGATE_SPOT']) }))
    .max(1)
    .default([]),
  launchType: z.literal('FARGATE').optional(),
  group: z.string().optional(),
  startedBy: z.string().max(128).optional(),
  overrides: overridesSchema.prefault({}),
  tags: z
    .array(z.object({ key: z.string(), value: z.string() }))
    .max(50)
    .default([]),
});
type RunTaskInput = z.infer<typeof runTaskSchema>;

interface Running {
  task: Task;
  /** Once it is launched. */
  sandbox?: LaunchedSandbox;
  start?: NodeJS.Timeout;
  ended: PromiseWithResolvers<void>;
}

const MAX_OVERRIDES = 8192;
const KILL_AFTER_MS = 2000;
/** Tasks that ListTasks gives and DescribeTasks takes at once. */
const MAX_PAGE = 100;
/** ECS remembers a stopped task for about an hour; here the latest are remembered. */
const REMEMBERED_STOPPED_TASKS = 500;
const REMEMBERED_CLIENT_TOKENS = 1000;

export class Ecs {
  readonly service: JsonService = {
    target: 'AmazonEC2ContainerServiceV20141113',
    version: '1.1',
    operations: {
      RunTask: (input) => this.runTask(input),
      StopTask: operation(
        z.object({ cluster: z.string().default('default'), task: z.string(), reason: z.string().optional() }),
        (input) => this.#stopTask(input),
      ),
      DescribeTasks: operation(
        z.object({ cluster: z.string().default('default'), tasks: z.array(z.string()) }),
        ({ cluster, tasks }) => {
          if (tasks.length > MAX_PAGE) {
            const message = `Tasks cannot have more than ${MAX_PAGE} elements`;
            throw new AwsError('InvalidParameterException', message);
          }
          this.#checkCluster(cluster);
          const known = tasks.map((name) => this.#find(name));
          return {
            tasks: known.filter((task) => task !== undefined),
            failures: tasks
              .filter((_, i) => !known[i])
              .map((name) => ({ arn: this.#taskArn(name), reason: 'MISSING' })),
          };
        },
      ),
      ListTasks: operation(
        z.object({
          cluster: z.string().default('default'),
          startedBy: z.string().optional(),
          desiredStatus: z.enum(['RUNNING', 'PENDING', 'STOPPED']).default('RUNNING'),
          maxResults: z.int().min(1).max(MAX_PAGE).default(MAX_PAGE),
          nextToken: z.string().optional(),
        }),
        (input) => this.#listTasks(input),
      ),
    },
  };

  readonly #options: EcsOptions;
  readonly #account: string;
  readonly #region: string;
  readonly #events: Delivery<TaskStateChangeEvent>;
  readonly #log: Log;
  readonly #storage: StorageHealth;
  readonly #running = new Map<string, Running>();
  readonly #stopped = new Map<string, Task>();
  /** The tasks that have not been told STOPPED, of this life and earlier ones. */
  readonly #untold: Documents<Task>;
  readonly #leftOver: Task[];
  readonly #clientTokens = new Map<string, { input: string; tasks: Task[] }>();
  #closing = false;

  constructor(
    options: EcsOptions,
    context: {
      database: Database;
      storage: StorageHealth;
      account: string;
      region: string;
      events: Delivery<TaskStateChangeEvent>;
      log: Log;
    },
  ) {
    this.#options = options;
    this.#account = context.account;
    this.#region = context.region;
    this.#events = context.events;
    this.#log = context.log;
    this.#storage = context.storage;
    this.#untold = context.database.documents('tasks');
    this.#leftOver = this.#untold.all();
  }

  /** Tells STOPPED of the tasks of an earlier life; resolves when that is delivered. */
  async resume(): Promise<void> {
    await Promise.all(
      this.#leftOver.splice(0).map(async (task) => {
        await this.#cleanUp(task);
        await this.#end(task, 'TerminationNotice', 'The local runtime that ran this task has ended.');
      }),
    );
  }

  /** Stops all tasks; resolves when their sandboxes have ended. The next life tells STOPPED of them. */
  async close(): Promise<void> {
    this.#closing = true;
    const running = [...this.#running.values()];
    for (const entry of running) this.#terminate(entry);
    await Promise.all(running.map(({ ended }) => ended.promise));
  }

  /** The operation RunTask. */
  runTask(input: unknown): object {
    const checked = runTaskSchema.safeParse(input);
    if (!checked.success) throw new AwsError('InvalidParameterException', z.prettifyError(checked.error));
    if (this.#closing) throw new AwsError('ServerException', 'The local runtime is about to end.', 503);
    const { clientToken, ...request } = checked.data;
    this.#checkCluster(request.cluster);
    if (nameOf(request.taskDefinition).replace(/:\d+$/, '') !== this.#options.taskDefinition) {
      throw new AwsError('ClientException', 'TaskDefinition not found.');
    }
    if (JSON.stringify(request.overrides).length > MAX_OVERRIDES) {
      throw new AwsError('InvalidParameterException', 'Container Overrides length must be at most 8192');
    }
    if (request.launchType && request.capacityProviderStrategy.length > 0) {
      throw new AwsError(
        'InvalidParameterException',
        'Specifying both a launch type and capacity provider strategy is not supported.',
      );
    }
    const text = JSON.stringify(request);
    const known = clientToken && this.#clientTokens.get(clientToken);
    if (known && known.input !== text) {
      throw new AwsError('ConflictException', 'The client token was used with other parameters.');
    }
    if (known) return { tasks: known.tasks, failures: [] };
    const tasks = Array.from({ length: request.count }, () => this.#startTask(request));
    if (clientToken) {
      remember(this.#clientTokens, clientToken, { input: text, tasks }, REMEMBERED_CLIENT_TOKENS);
    }
    return { tasks, failures: [] };
  }

  #startTask({ overrides, group, startedBy, tags, capacityProviderStrategy }: RunTaskInput): Task {
    const { cluster, taskDefinition, startDelay } = this.#options;
    const delay = startDelay?.() ?? 0;
    const arn = (resource: string) => `arn:aws:ecs:${this.#region}:${this.#account}:${resource}`;
    const taskArn = arn(`task/${cluster}/${randomUUID().replaceAll('-', '')}`);
    const name = overrides.containerOverrides[0]?.name ?? 'sandbox';
    const task: Task = {
      taskArn,
      clusterArn: arn(`cluster/${cluster}`),
      taskDefinitionArn: arn(`task-definition/${taskDefinition}:1`),
      launchType: 'FARGATE',
      capacityProviderName: capacityProviderStrategy[0]?.capacityProvider,
      lastStatus: 'PROVISIONING',
      desiredStatus: 'RUNNING',
      createdAt: now(),
      containers: [{ name, taskArn, lastStatus: 'PROVISIONING' }],
      group: group ?? `family:${taskDefinition}`,
      startedBy,
      overrides,
      tags,
      version: 1,
    };
    const entry: Running = { task, ended: Promise.withResolvers() };
    this.#untold.put(taskArn, task);
    this.#running.set(taskArn, entry);
    if (delay > 0) entry.start = setTimeout(() => this.#launch(entry), delay);
    else this.#launch(entry);
    return task;
  }

  #launch(entry: Running): void {
    const { launcher, memoryMb } = this.#options;
    const { task } = entry;
    const given = task.overrides.containerOverrides[0]?.environment ?? [];
    const environment: Record<string, string> = {
      ...Object.fromEntries(given.map(({ name, value }) => [name, value])),
      ...(memoryMb && { SANDBOX_MEMORY_MB: String(memoryMb) }),
    };
    entry.sandbox = launcher.launch(nameOf(task.taskArn), environment, {
      started: () => {
        task.startedAt = now();
        setStatus(task, 'RUNNING');
        void this.#tell(task);
      },
      logged: (line) => this.#logLine(task, line),
      ended: (ending) => void this.#sandboxEnded(entry, ending),
    });
  }

  async #sandboxEnded(entry: Running, ending: Ending): Promise<void> {
    await this.#cleanUp(entry.task);
    if ('notStarted' in ending) {
      this.#ended(entry, 'TaskFailedToStart', `CannotStartContainerError: ${ending.notStarted}`);
      return;
    }
    const container = entry.task.containers[0];
    if (container && ending.exitCode !== null) container.exitCode = ending.exitCode;
    this.#ended(entry, 'EssentialContainerExited', 'Essential container in task exited');
  }

  async #cleanUp({ taskArn }: Task): Promise<void> {
    try {
      await this.#options.launcher.cleanUp(nameOf(taskArn));
    } catch (error) {
      this.#log('warn', 'something is left of a sandbox', { task: taskArn, error: String(error) });
    }
  }

  #stopTask({ cluster, task: name, reason }: { cluster: string; task: string; reason?: string }): object {
    this.#checkCluster(cluster);
    const task = this.#find(name);
    if (!task) throw new AwsError('InvalidParameterException', 'The referenced task was not found.');
    const entry = this.#running.get(task.taskArn);
    if (entry && task.desiredStatus !== 'STOPPED') {
      task.desiredStatus = 'STOPPED';
      task.stopCode = 'UserInitiated';
      task.stoppedReason = reason ?? 'Task stopped by user';
      this.#terminate(entry);
    }
    return { task };
  }

  #terminate(entry: Running): void {
    const { sandbox, start, ended } = entry;
    if (!sandbox) {
      clearTimeout(start);
      this.#ended(entry, 'UserInitiated', 'Stopped before it was started');
      return;
    }
    sandbox.stop();
    const kill = setTimeout(() => sandbox.kill(), KILL_AFTER_MS);
    void ended.promise.then(() => clearTimeout(kill));
  }

  #ended(entry: Running, stopCode: NonNullable<Task['stopCode']>, reason: string): void {
    if (!this.#running.delete(entry.task.taskArn)) return;
    entry.ended.resolve();
    // At the end of the runtime nobody is left to be told; the file keeps the task for the next life.
    if (!this.#closing) void this.#end(entry.task, stopCode, reason);
  }

  async #end(task: Task, stopCode: NonNullable<Task['stopCode']>, reason: string): Promise<void> {
    task.desiredStatus = 'STOPPED';
    task.stopCode ??= stopCode;
    task.stoppedReason ??= reason;
    task.stoppedAt = now();
    setStatus(task, 'STOPPED');
    remember(this.#stopped, task.taskArn, task, REMEMBERED_STOPPED_TASKS);
    await this.#tell(task);
    // What waits is dropped at the end of the runtime; it is told in the next life.
    if (this.#closing) return;
    await this.#storage.write(() => this.#untold.delete(task.taskArn));
  }

  #tell(task: Task): Promise<boolean> {
    const time = new Date().toISOString();
    return this.#events.send(task.taskArn, {
      version: '0',
      id: randomUUID(),
      'detail-type': 'ECS Task State Change',
      source: 'aws.ecs',
      account: this.#account,
      time,
      region: this.#region,
      resources: [task.taskArn],
      detail: {
        ...structuredClone(task),
        createdAt: isoTime(task.createdAt),
        startedAt: task.startedAt === undefined ? undefined : isoTime(task.startedAt),
        stoppedAt: task.stoppedAt === undefined ? undefined : isoTime(task.stoppedAt),
        updatedAt: time,
      },
    });
  }

  /** The sandbox program logs JSON lines; anything else it prints is passed on as text. */
  #logLine(task: Task, line: string): void {
    const record = parseRecord(line);
    const { level = 'info', message = line, ...details } = record;
    const known = level === 'warn' || level === 'error' ? level : 'info';
    this.#log(known, String(message), { ...details, task: task.taskArn });
  }

  /** One page, in the order of the ARNs. The next one begins after the last of this one, which may be gone by then. */
  #listTasks(input: {
    cluster: string;
    startedBy?: string;
    desiredStatus: 'RUNNING' | 'PENDING' | 'STOPPED';
    maxResults: number;
    nextToken?: string;
  }): object {
    const { cluster, startedBy, desiredStatus, maxResults, nextToken } = input;
    this.#checkCluster(cluster);
    const after = nextToken === undefined ? '' : Buffer.from(nextToken, 'base64url').toString();
    if (nextToken !== undefined && !after.startsWith(this.#taskArn(''))) {
      throw new AwsError('InvalidParameterException', 'Invalid token.');
    }
    const tasks = [...[...this.#running.values()].map(({ task }) => task), ...this.#stopped.values()];
    const listed = tasks
      .filter((task) => task.desiredStatus === desiredStatus && (!startedBy || task.startedBy === startedBy))
      .map(({ taskArn }) => taskArn)
      .filter((taskArn) => taskArn > after)
      .sort();
    const taskArns = listed.slice(0, maxResults);
    const more = listed.length > maxResults;
    return { taskArns, ...(more && { nextToken: Buffer.from(taskArns.at(-1) ?? '').toString('base64url') }) };
  }

  #checkCluster(cluster: string): void {
    if (nameOf(cluster) !== this.#options.cluster) {
      throw new AwsError('ClusterNotFoundException', 'Cluster not found.');
    }
  }

  #taskArn(name: string): string {
    if (name.startsWith('arn:')) return name;
    return `arn:aws:ecs:${this.#region}:${this.#account}:task/${this.#options.cluster}/${name}`;
  }

  #find(name: string): Task | undefined {
    const arn = this.#taskArn(name);
    return this.#running.get(arn)?.task ?? this.#stopped.get(arn);
  }
}

function setStatus(task: Task, status: TaskStatus): void {
  task.lastStatus = status;
  task.version++;
  for (const container of task.containers) container.lastStatus = status;
}

/** The last part of an ARN, or the name itself. */
const nameOf = (nameOrArn: string) => nameOrArn.slice(nameOrArn.lastIndexOf('/') + 1);
const now = () => Date.now() / 1000;
const isoTime = (seconds: number) => new Date(seconds * 1000).toISOString();

/** Adds to a map that forgets its oldest entries. */
function remember<K, V>(map: Map<K, V>, key: K, value: V, limit: number): void {
  map.set(key, value);
  if (map.size <= limit) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    break;
  }
}

function parseRecord(line: string): Record<string, unknown> {
  if (!line.startsWith('{')) return {};
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}
