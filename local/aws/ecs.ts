/**
 * ECS: a task is the sandbox program as a child process, or a container of the sandbox image.
 *
 *   PROVISIONING ─► RUNNING ─► STOPPED
 *         └────────────────────▲
 *
 * PROVISIONING  RunTask has answered; lasts as long as `startDelay` says, then the process is started.
 * RUNNING       the process is there. Told by an event.
 * STOPPED       the process has ended, by itself or by StopTask (SIGTERM, two seconds later SIGKILL), or could not be
 *               started. Told by an event.
 *
 * No task outlives the runtime. The tasks that have not been told STOPPED are in the database, so that `resume()` tells it
 * of those that an earlier life left, whether it was closed or killed.
 */
import '../polyfill.ts';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { z } from 'zod';
import { ConfigurationError } from '../../functions/service/errors.ts';
import type { Database, Documents } from './database.ts';
import type { Delivery } from './delivery.ts';
import { AwsError } from './http.ts';
import { type JsonService, operation } from './json-protocol.ts';
import type { Log } from './log.ts';
import type { StorageHealth } from './storage-health.ts';

/** How a task is started. */
export type SandboxLauncher =
  | {
      kind: 'process';
      /** default: `python3` */
      command?: string;
      /** default: `-m sandbox` */
      args?: string[];
      /** The folder of the Python package `sandbox`. */
      cwd: string;
      confinement: 'required' | 'unconfined';
      /** The folder for the working folders of attempts. default: the sandbox program's choice */
      workDir?: string;
    }
  | {
      kind: 'docker';
      /** default: `recursive-ai-executor-sandbox` */
      image?: string;
    };

export interface EcsOptions {
  launcher: SandboxLauncher;
  /** The one cluster and the family of the one task definition that RunTask knows. */
  cluster: string;
  taskDefinition: string;
  /** Of a program, as the task definition says it. default: the sandbox program's */
  memoryMb?: number;
  /** Milliseconds from RunTask to the start of the process, to model Fargate. default: none */
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
  /** The process, once it is started. */
  child?: ChildProcess;
  /** The name of its container. */
  container?: string;
  start?: NodeJS.Timeout;
  ended: PromiseWithResolvers<void>;
}

const DOCKER_IMAGE = 'recursive-ai-executor-sandbox';
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
    const { launcher } = this.#options;
    await Promise.all(
      this.#leftOver.splice(0).map(async (task) => {
        // Processes end with the runtime that started them; containers do not.
        if (launcher.kind === 'docker') this.#docker('rm', '--force', containerName(task));
        await this.#end(task, 'TerminationNotice', 'The local runtime that ran this task has ended.');
      }),
    );
  }

  /** Stops all tasks; resolves when their processes have ended. The next life tells STOPPED of them. */
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
    if (delay > 0) entry.start = setTimeout(() => this.#startProcess(entry), delay);
    else this.#startProcess(entry);
    return task;
  }

  #startProcess(entry: Running): void {
    const { task } = entry;
    const { command, args, cwd, env } = this.#commandOf(task);
    if (this.#options.launcher.kind === 'docker') entry.container = containerName(task);
    // A process group of its own: Ctrl-C in the terminal is for the runtime, which then stops its tasks in order.
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    entry.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#logLine(task, line));
    }
    child.once('spawn', () => {
      task.startedAt = now();
      setStatus(task, 'RUNNING');
      void this.#tell(task);
    });
    child.once('error', (error) => {
      this.#ended(entry, 'TaskFailedToStart', `CannotStartContainerError: ${command}: ${error.message}`);
    });
    child.once('exit', (code, signal) => {
      const container = task.containers[0];
      if (container) container.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
      // What it left of its process group ends with it.
      this.#signal(entry, 'SIGKILL', true);
      this.#ended(entry, 'EssentialContainerExited', 'Essential container in task exited');
    });
  }

  #commandOf(task: Task): { command: string; args: string[]; cwd?: string; env: Record<string, string> } {
    const { launcher, memoryMb } = this.#options;
    const given = (task.overrides.containerOverrides[0]?.environment ?? []).map(({ name, value }) => [
      name,
      value,
    ]);
    const overrides: Record<string, string> = Object.fromEntries(given);
    if (memoryMb) overrides.SANDBOX_MEMORY_MB = String(memoryMb);
    const path = process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin';
    if (launcher.kind === 'process') {
      const { command = 'python3', args = ['-m', 'sandbox'], cwd, confinement, workDir } = launcher;
      return {
        command,
        args,
        cwd,
        env: {
          PATH: path,
          LANG: 'C.UTF-8',
          ...overrides,
          SANDBOX_EXIT_WITH_PARENT: '1',
          SANDBOX_CONFINEMENT: confinement,
          ...(workDir && { SANDBOX_WORK_DIR: workDir }),
        },
      };
    }
    return dockerCommand(containerName(task), launcher.image, overrides, memoryMb);
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
    if (!entry.child) {
      clearTimeout(entry.start);
      this.#ended(entry, 'UserInitiated', 'Stopped before it was started');
      return;
    }
    this.#signal(entry, 'SIGTERM', false);
    const kill = setTimeout(() => {
      if (entry.container) this.#docker('kill', entry.container);
      this.#signal(entry, 'SIGKILL', true);
    }, KILL_AFTER_MS);
    void entry.ended.promise.then(() => clearTimeout(kill));
  }

  /** The container may be gone already, so the outcome is of no interest. */
  #docker(...args: string[]): void {
    const child = spawn('docker', args, { stdio: 'ignore' });
    child.on('error', (error) => this.#log('error', 'docker failed', { args, error: error.message }));
  }

  #signal({ child }: Running, signal: NodeJS.Signals, wholeGroup: boolean): void {
    if (!child?.pid) return;
    try {
      process.kill(wholeGroup ? -child.pid : child.pid, signal);
    } catch (error) {
      // It has ended already; macOS says so with EPERM.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ESRCH' && code !== 'EPERM') throw error;
    }
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

/** Rejects, saying what to do, unless docker runs and has the image. */
export async function checkDocker(image = DOCKER_IMAGE): Promise<void> {
  try {
    await promisify(execFile)('docker', ['image', 'inspect', '--format', '{{.Id}}', image]);
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT')
      throw new ConfigurationError('SANDBOX=docker needs docker, which is not installed.');
    if (/no such image/i.test(stderr)) {
      throw new ConfigurationError(
        `The image ${image} is missing. Build it: docker build -t ${image} sandbox-image`,
      );
    }
    throw new ConfigurationError(`SANDBOX=docker: docker does not answer: ${stderr.trim()}`);
  }
}

/**
 * As little as the program needs: the supervisor is root in the container, to give each attempt a user id of its own.
 * It shares the host's network, as the endpoint listens on the host's loopback interface; attempts have no network.
 */
export function dockerCommand(
  name: string,
  image = DOCKER_IMAGE,
  variables: Record<string, string>,
  memoryMb = 1024,
): { command: string; args: string[]; env: Record<string, string> } {
  const capabilities = ['SETUID', 'SETGID', 'CHOWN', 'KILL', 'DAC_OVERRIDE', 'FOWNER'];
  const args = [
    'run',
    '--rm',
    '--init',
    `--name=${name}`,
    '--network=host',
    '--read-only',
    // As large as a task of Fargate's has it: where nothing can be mounted, that bounds what attempts write.
    '--tmpfs=/tmp:size=512m,nr_inodes=20000',
    '--cap-drop=ALL',
    ...capabilities.map((capability) => `--cap-add=${capability}`),
    '--security-opt=no-new-privileges',
    // As in a task: beside a program there are its files, the supervisor and the preloaded interpreter.
    `--memory=${memoryMb + 1024}m`,
    '--pids-limit=512',
    // Names of variables in the arguments, values in the environment: arguments can be read by everyone.
    ...Object.keys(variables).map((name) => `--env=${name}`),
    image,
  ];
  const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/' } = process.env;
  return { command: 'docker', args, env: { PATH, HOME, ...dockerEnvironment(), ...variables } };
}

const containerName = ({ taskArn }: Pick<Task, 'taskArn'>) => `sandbox-${nameOf(taskArn)}`;

/** What tells the docker command where its daemon is. */
function dockerEnvironment(): Record<string, string> {
  const names = [
    'DOCKER_HOST',
    'DOCKER_CONTEXT',
    'DOCKER_CONFIG',
    'DOCKER_CERT_PATH',
    'DOCKER_TLS_VERIFY',
    'XDG_RUNTIME_DIR',
  ];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
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
