import fs from 'node:fs';
import path from 'node:path';
import {
  DescribeTasksCommand,
  ECSClient,
  ListClustersCommand,
  ListTasksCommand,
  type ListTasksCommandInput,
  paginateListTasks,
  RunTaskCommand,
  type RunTaskCommandInput,
  StopTaskCommand,
} from '@aws-sdk/client-ecs';
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { afterEach, describe, expect, test } from 'vitest';
import type { EcsOptions, TaskStateChangeEvent } from '../../local/aws/ecs.ts';
import type { Endpoint } from '../../local/aws/endpoint.ts';
import { DockerLauncher } from '../../local/launchers/docker.ts';
import { ProcessLauncher } from '../../local/launchers/process.ts';
import { Inbox, STATE_MACHINE_ARN, startTestEndpoint, temporaryFolder } from './support.ts';

const CLUSTER = 'sandboxes';
const SLEEP = 'import time; time.sleep(60)';
const command = (name: string, ...args: string[]) =>
  new ProcessLauncher({ command: name, args, cwd: temporaryFolder(), confinement: 'required' });

let endpoint: Endpoint;
let ecs: ECSClient;
let events: Inbox<TaskStateChangeEvent>;
let logged: Inbox<{ level: string; message: string; details?: Record<string, unknown> }>;

async function start(
  code: string,
  options: Partial<EcsOptions> = {},
  dataDir = temporaryFolder(),
  definition?: object,
) {
  events = new Inbox();
  logged = new Inbox();
  endpoint = await startTestEndpoint({
    dataDir,
    ecs: {
      cluster: CLUSTER,
      taskDefinition: 'sandbox',
      launcher: command('python3', '-c', code),
      ...options,
    },
    onTaskStateChange: async (event) => events.put(event),
    log: (level, message, details) => logged.put({ level, message, details }),
    ...(definition && { stateMachine: { arn: STATE_MACHINE_ARN, definition } }),
  });
  ecs = new ECSClient();
  return dataDir;
}
afterEach(() => endpoint.close());

async function runTask(options: Partial<RunTaskCommandInput> = {}) {
  const { tasks = [] } = await ecs.send(
    new RunTaskCommand({ cluster: CLUSTER, taskDefinition: 'sandbox', ...options }),
  );
  return tasks.map(({ taskArn }) => taskArn ?? '');
}
const told = (taskArn: string | undefined, status: string) =>
  events.next(({ detail }) => detail.taskArn === taskArn && detail.lastStatus === status);
const withEnvironment = (environment: Record<string, string>) => ({
  overrides: {
    containerOverrides: [
      { name: 'sandbox', environment: Object.entries(environment).map(([name, value]) => ({ name, value })) },
    ],
  },
});

describe('a task', () => {
  test('gets its environment and nothing else, tells of its life and logs', async () => {
    process.env.A_SECRET_OF_THE_RUNTIME = 'x';
    // In Node, as python3 may be a script that adds variables of its own.
    const code = `
      console.log(JSON.stringify({ level: 'warn', message: 'environment', env: process.env }));
      console.error('plain');`;
    await start('', { launcher: command(process.execPath, '-e', code) });
    const [taskArn] = await runTask({
      ...withEnvironment({ MANIFEST_URL: 'http://manifest', SANDBOX_CONFINEMENT: 'unconfined' }),
      group: 'sandbox-1',
      startedBy: 'tests',
      tags: [{ key: 'execution', value: 'e1' }],
    });
    const { details, level } = await logged.next(({ message }) => message === 'environment');
    expect([level, details?.task, details?.env]).toEqual([
      'warn',
      taskArn,
      {
        PATH: process.env.PATH,
        LANG: 'C.UTF-8',
        MANIFEST_URL: 'http://manifest',
        SANDBOX_EXIT_WITH_PARENT: '1',
        SANDBOX_CONFINEMENT: 'required',
      },
    ]);
    await logged.next(({ message }) => message === 'plain');
    const running = await told(taskArn, 'RUNNING');
    expect(running).toMatchObject({
      'detail-type': 'ECS Task State Change',
      source: 'aws.ecs',
      resources: [taskArn],
      detail: { desiredStatus: 'RUNNING', group: 'sandbox-1', startedBy: 'tests' },
    });
    const { detail } = await told(taskArn, 'STOPPED');
    expect(detail).toMatchObject({
      desiredStatus: 'STOPPED',
      stopCode: 'EssentialContainerExited',
      stoppedReason: 'Essential container in task exited',
      containers: [{ name: 'sandbox', exitCode: 0 }],
      overrides: { containerOverrides: [{ environment: [{ name: 'MANIFEST_URL' }, {}] }] },
    });
    expect(Date.parse(detail.stoppedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(detail.createdAt));
    const described = await ecs.send(
      new DescribeTasksCommand({ cluster: CLUSTER, tasks: [taskArn ?? '', 'unknown'] }),
    );
    expect(described.tasks).toMatchObject([
      { taskArn, lastStatus: 'STOPPED', tags: [{ key: 'execution', value: 'e1' }] },
    ]);
    expect(described.failures).toMatchObject([{ reason: 'MISSING' }]);
  });

  test('that dies tells its exit code', async () => {
    await start('import os, signal; os.kill(os.getpid(), signal.SIGKILL)');
    const [killed] = await runTask();
    expect((await told(killed, 'STOPPED')).detail.containers[0]?.exitCode).toBe(137);
  });

  test('that cannot be started stops at once and says why', async () => {
    await start('', { launcher: command('/does/not/exist') });
    const [taskArn] = await runTask();
    const { detail } = await told(taskArn, 'STOPPED');
    expect([detail.stopCode, detail.stoppedReason]).toEqual([
      'TaskFailedToStart',
      expect.stringContaining('/does/not/exist'),
    ]);
    expect(events.items).toHaveLength(1);
  });

  test('starts after the delay that models Fargate, unless it is stopped before', async () => {
    let delay = 50;
    await start(SLEEP, { startDelay: () => delay });
    const asked = Date.now();
    const [late] = await runTask();
    await told(late, 'RUNNING');
    expect(Date.now() - asked).toBeGreaterThanOrEqual(49);
    delay = 60_000;
    const [never] = await runTask();
    await ecs.send(new StopTaskCommand({ cluster: CLUSTER, task: never }));
    expect((await told(never, 'STOPPED')).detail.stopCode).toBe('UserInitiated');
    expect(
      events.items.some(({ detail }) => detail.taskArn === never && detail.lastStatus === 'RUNNING'),
    ).toBe(false);
  });
});

describe('StopTask', () => {
  test('asks first: SIGTERM', async () => {
    await start(
      'import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print("ready", flush=True); time.sleep(60)',
    );
    const [taskArn = ''] = await runTask();
    await logged.next(({ message }) => message === 'ready');
    const taskId = taskArn.split('/').at(-1);
    const { task } = await ecs.send(
      new StopTaskCommand({ cluster: CLUSTER, task: taskId, reason: 'cancelled' }),
    );
    expect(task?.desiredStatus).toBe('STOPPED');
    const { detail } = await told(taskArn, 'STOPPED');
    expect(detail).toMatchObject({
      stopCode: 'UserInitiated',
      stoppedReason: 'cancelled',
      containers: [{ exitCode: 7 }],
    });
    await expect(ecs.send(new StopTaskCommand({ cluster: CLUSTER, task: 'unknown' }))).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
  });

  test('then kills, with all of the process group', async () => {
    await start(
      'import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]); print(child.pid, flush=True); time.sleep(60)',
    );
    const [taskArn] = await runTask();
    const { message } = await logged.next(({ message }) => /^\d+$/.test(message));
    await ecs.send(new StopTaskCommand({ cluster: CLUSTER, task: taskArn }));
    expect((await told(taskArn, 'STOPPED')).detail.containers[0]?.exitCode).toBe(137);
    await expect.poll(() => isAlive(Number(message))).toBe(false);
  });
});

/** Whether a process exists that is more than an entry waiting to be reaped. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('RunTask', () => {
  test('starts as many as asked, once for a client token', async () => {
    await start(SLEEP);
    const first = await runTask({ count: 2, clientToken: 'one', startedBy: 'me' });
    expect(new Set(first).size).toBe(2);
    expect(await runTask({ count: 2, clientToken: 'one', startedBy: 'me' })).toEqual(first);
    await expect(runTask({ count: 1, clientToken: 'one', startedBy: 'me' })).rejects.toMatchObject({
      name: 'ConflictException',
    });
    await runTask({ startedBy: 'another' });
    const listed = await ecs.send(new ListTasksCommand({ cluster: CLUSTER, startedBy: 'me' }));
    expect(listed.taskArns?.sort()).toEqual(first.sort());
  });

  test('lists them by pages of a hundred at most, from which none is missing when others end', async () => {
    // None is started, so that a hundred cost nothing.
    await start(SLEEP, { startDelay: () => 3_600_000 });
    const all = (await Promise.all(Array.from({ length: 11 }, () => runTask({ count: 10 })))).flat().sort();
    const list = (input: Partial<ListTasksCommandInput> = {}) =>
      ecs.send(new ListTasksCommand({ cluster: CLUSTER, ...input }));
    const first = await list();
    expect(first.taskArns).toEqual(all.slice(0, 100));
    await ecs.send(new StopTaskCommand({ cluster: CLUSTER, task: all[99] ?? '' }));
    const second = await list({ nextToken: first.nextToken });
    expect([second.taskArns, second.nextToken]).toEqual([all.slice(100), undefined]);
    const pages: number[] = [];
    for await (const { taskArns = [] } of paginateListTasks(
      { client: ecs, pageSize: 50 },
      { cluster: CLUSTER },
    )) {
      pages.push(taskArns.length);
    }
    expect(pages).toEqual([50, 50, 9]);
    await expect(list({ nextToken: 'nonsense' })).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
    const describe = new DescribeTasksCommand({ cluster: CLUSTER, tasks: all.slice(0, 101) });
    await expect(ecs.send(describe)).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test('takes names and ARNs, and refuses what it does not know', async () => {
    await start(SLEEP);
    const arn = (resource: string) => `arn:aws:ecs:us-east-1:000000000000:${resource}`;
    const [task] = await runTask({
      cluster: arn(`cluster/${CLUSTER}`),
      taskDefinition: arn('task-definition/sandbox:3'),
    });
    expect(task).toMatch(new RegExp(`^${arn(`task/${CLUSTER}/`)}[0-9a-f]{32}$`));
    await expect(runTask({ cluster: 'other' })).rejects.toMatchObject({ name: 'ClusterNotFoundException' });
    await expect(runTask({ taskDefinition: 'other' })).rejects.toMatchObject({ name: 'ClientException' });
    await expect(runTask({ count: 11 })).rejects.toMatchObject({ name: 'InvalidParameterException' });
    const tooMuch = withEnvironment({ MANIFEST_URL: 'x'.repeat(8192) });
    await expect(runTask(tooMuch)).rejects.toMatchObject({ name: 'InvalidParameterException' });
    await expect(ecs.send(new ListClustersCommand())).rejects.toMatchObject({
      name: 'UnknownOperationException',
      message: expect.stringContaining('RunTask'),
    });
  });

  test('by a state of the workflow has the names that Step Functions gives', async () => {
    const Parameters = {
      Cluster: CLUSTER,
      'TaskDefinition.$': '$.definition',
      LaunchType: 'FARGATE',
      'Group.$': '$$.Execution.Name',
      Overrides: {
        ContainerOverrides: [{ Name: 'sandbox', Environment: [{ Name: 'MANIFEST_URL', Value: 'http://m' }] }],
      },
    };
    const Catch = [{ ErrorEquals: ['ECS.ClientException'], ResultPath: '$.failure', Next: 'Done' }];
    await start(SLEEP, {}, undefined, {
      StartAt: 'Run',
      States: {
        Run: {
          Type: 'Task',
          Resource: 'arn:aws:states:::ecs:runTask',
          Parameters,
          TimeoutSeconds: 5,
          Catch,
          Next: 'Done',
        },
        Done: { Type: 'Succeed' },
      },
    });
    const sfn = new SFNClient();
    const run = async (definition: string) => {
      const input = JSON.stringify({ definition });
      const { executionArn } = await sfn.send(
        new StartExecutionCommand({ stateMachineArn: STATE_MACHINE_ARN, name: definition, input }),
      );
      let output: string | undefined;
      await expect
        .poll(
          async () => {
            output = (await sfn.send(new DescribeExecutionCommand({ executionArn }))).output;
            return output;
          },
          { interval: 10 },
        )
        .toBeDefined();
      return JSON.parse(output ?? '');
    };
    const { Tasks, Failures } = await run('sandbox');
    expect(Failures).toEqual([]);
    expect(Tasks).toMatchObject([
      { Group: 'sandbox', LastStatus: 'PROVISIONING', Containers: [{ Name: 'sandbox' }] },
    ]);
    const { detail } = await told(Tasks[0].TaskArn, 'RUNNING');
    expect(detail.overrides.containerOverrides[0]?.environment).toEqual([
      { name: 'MANIFEST_URL', value: 'http://m' },
    ]);
    expect((await run('unknown')).failure.Error).toBe('ECS.ClientException');
  });
});

describe('the end of the runtime', () => {
  test('stops the tasks; the next life tells it', async () => {
    const dataDir = await start(SLEEP);
    const [taskArn] = await runTask({ group: 'sandbox-1' });
    await told(taskArn, 'RUNNING');
    await endpoint.close();
    expect(events.items.map(({ detail }) => detail.lastStatus)).toEqual(['RUNNING']);

    await start(SLEEP, {}, dataDir);
    expect(events.items).toEqual([]);
    await endpoint.resume();
    expect(events.items).toMatchObject([
      { detail: { taskArn, group: 'sandbox-1', lastStatus: 'STOPPED', stopCode: 'TerminationNotice' } },
    ]);
    await endpoint.close();

    await start(SLEEP, {}, dataDir);
    await endpoint.resume();
    expect(events.items).toEqual([]);
  });
});

describe('docker', () => {
  test.each([
    ['not installed', undefined, /docker, which is not installed/],
    [
      'without the image',
      'echo "Error response from daemon: No such image: x" >&2; exit 1',
      /docker build -t recursive-ai-executor-sandbox sandbox-image/,
    ],
    [
      'not running',
      'echo "Cannot connect to the Docker daemon" >&2; exit 1',
      /docker does not answer: Cannot connect/,
    ],
  ])('%s: says what to do', async (_name, script, message) => {
    await start(SLEEP);
    await withCommand(script, async () => {
      await expect(new DockerLauncher().describe()).rejects.toThrow(message);
    });
  });

  test('gets a container without rights, its secrets by way of the environment', async () => {
    const script =
      '[ "$1" = image ] || { echo "$@"; echo "{\\"message\\": \\"environment\\", \\"url\\": \\"$MANIFEST_URL\\"}"; }';
    await withCommand(script, async () => {
      await start('', { launcher: new DockerLauncher() });
      const [taskArn] = await runTask(withEnvironment({ MANIFEST_URL: 'http://secret' }));
      const { message } = await logged.next(({ message }) => message.startsWith('run '));
      for (const option of [
        '--read-only',
        '--cap-drop=ALL',
        '--security-opt=no-new-privileges',
        '--network=host',
        '--env=MANIFEST_URL',
        `--name=sandbox-${taskArn?.split('/').at(-1)}`,
      ]) {
        expect(message.split(' ')).toContain(option);
      }
      expect(message).not.toContain('secret');
      const { details } = await logged.next(({ message }) => message === 'environment');
      expect(details?.url).toBe('http://secret');
    });
  });
});

/** Runs with a PATH on which `docker` is the given shell script, or is missing. */
async function withCommand(script: string | undefined, run: () => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  if (script) fs.writeFileSync(path.join(folder, 'docker'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const { PATH } = process.env;
  process.env.PATH = folder;
  try {
    await run();
  } finally {
    process.env.PATH = PATH;
  }
}
