/**
 * The deployed product on a second implementation of AWS: `cdk bootstrap`, `npm run deploy`, executions through the
 * deployed API, `npm run destroy`, all by the ordinary commands.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { ECSClient, ListTasksCommand, StopTaskCommand } from '@aws-sdk/client-ecs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { root } from '../../infra/bundle.ts';
import { type ModelServer, python, startModelServer } from '../support/model-server.ts';
import { followExecution, type ProblemBody } from '../support/product.ts';
import { ACCOUNT, type Emulator, REGION, startEmulator } from './emulator.ts';
import { type Front, startFront } from './front.ts';

const CLUSTER = 'recursive-ai-executor-dev';
const MINUTES = 60_000;

let folder: string;
let emulator: Emulator;
let model: ModelServer;
let front: Front;
let environment: NodeJS.ProcessEnv;
let key: string;

interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command in the project's folder, with `input` on its standard input. */
function run(command: string, args: string[], input = ''): Promise<Finished> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      args,
      { cwd: root, env: environment, maxBuffer: 1e8 },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    );
    child.stdin?.end(input);
  });
}

const npm = (script: string, args: string[], input?: string) =>
  run('npm', ['run', '-s', script, '--', ...args], input);

async function call<T>(method: string, route: string, body?: object, headers: Record<string, string> = {}) {
  const response = await fetch(`${front.url}/api${route}`, {
    method,
    headers: { 'x-api-key': key, 'content-type': 'application/json', ...headers },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as T };
}

const get = async (id: string) => (await call<Execution>('GET', `/executions/${id}`)).body;

async function start(request: object): Promise<Execution> {
  const { status, body } = await call<Execution>('POST', '/execute', request, { prefer: 'respond-async' });
  expect(status).toBe(202);
  return body;
}

/** To the end, by WebSocket. */
async function execute(request: object): Promise<Execution> {
  const execution = await start(request);
  const follower = followExecution(front.url, execution);
  await follower.ended;
  follower.close();
  return get(execution.execution_id);
}

const tasks = async () =>
  (await new ECSClient().send(new ListTasksCommand({ cluster: CLUSTER }))).taskArns ?? [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'deploy-test-'));
  emulator = await startEmulator(root, folder);
  // Of the clients in this process.
  Object.assign(process.env, emulator.environment);
  [model, front] = await Promise.all([startModelServer(), startFront(emulator.url, 'dev')]);
  // The emulator's registry says of every image that it is there, so Docker is asked what it is and nothing more.
  const docker = path.join(folder, 'docker');
  await writeFile(docker, '#!/bin/sh\necho aarch64\n');
  await chmod(docker, 0o755);
  environment = {
    ...process.env,
    CDK_APP: 'tsx test/deploy/app.ts',
    CDK_OUTPUT: path.join(folder, 'cdk.out'),
    CDK_DOCKER: docker,
    TEST_MODEL_URL: model.url,
    TEST_FRONT_URL: front.url,
  };
}, 15 * MINUTES);

afterAll(async () => {
  await front?.close();
  await model?.close();
  await emulator?.close();
  await rm(folder, { recursive: true, force: true });
});

test(
  'an account that is not prepared is told so before anything is built',
  async () => {
    const { code, stderr } = await npm('deploy', ['dev', '--yes']);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `✗ The account is not prepared for ${REGION}: run npx cdk bootstrap aws://${ACCOUNT}/${REGION} once.`,
    );
    expect(stderr).toContain('Nothing was deployed.');
  },
  5 * MINUTES,
);

test(
  'deploys, puts the model key in and tries itself out',
  async () => {
    const target = `aws://${ACCOUNT}/${REGION}`;
    const bootstrap = await run('npx', ['cdk', 'bootstrap', target, '--app', '']);
    expect(bootstrap, bootstrap.stderr).toMatchObject({ code: 0 });
    const plot = 'import matplotlib.pyplot as plt\nplt.plot([0, 1], [0, 1])\nplt.savefig("parabola.png")';
    model.replyTo('parabola', python(`${plot}\nprint("smoke test passed")`));
    const { code, stdout, stderr } = await npm(
      'deploy',
      ['dev', '--yes', '--model-key-stdin'],
      'sk-of-the-test\n',
    );
    expect(code, stdout + stderr).toBe(0);
    expect(stderr).toContain("! The account's quotas cannot be looked at");
    expect(stdout).toContain(`${front.url} works: `);
    expect(stdout).toMatch(/Isolation in force: .*seccomp on/);
    expect(model.requests.at(-1)?.headers.authorization).toBe('Bearer sk-of-the-test');
    expect(stdout + stderr).not.toContain('sk-of-the-test');
  },
  15 * MINUTES,
);

describe('deployed', () => {
  test(
    'a key of npm run keys lets in, another does not, and that of the smoke test no longer',
    async () => {
      const { code, stdout } = await npm('keys', ['create', '--env', 'dev', '--owner', 'me']);
      expect(code).toBe(0);
      key = stdout.trim();
      expect((await call('GET', '/executions')).status).toBe(200);
      const wrong = `${key.slice(0, -4)}AAAA`;
      expect((await call('GET', '/executions', undefined, { 'x-api-key': wrong })).status).toBe(403);
      const { stdout: listed } = await npm('keys', ['list', '--env', 'dev']);
      expect(listed).toMatch(/smoke-test .* revoked /);
    },
    MINUTES,
  );

  test('a program that fails is repaired', async () => {
    model.replyTo('divide', python('print(1 / 0)'), python('print("repaired")'));
    const execution = await execute({ prompt: 'divide' });
    expect(execution).toMatchObject({ status: 'succeeded', attempts: 2 });
    expect(execution.results.map(({ error_category }) => error_category)).toEqual(['exception', null]);
    expect(execution.final_result?.output).toBe('repaired\n');
  });

  test('what the policy forbids is not run', async () => {
    model.replyTo('shell', python('import subprocess\nsubprocess.run(["ls"])'));
    const execution = await execute({ prompt: 'shell', max_retries: 1 });
    expect(execution).toMatchObject({ status: 'failed', error_category: 'policy_violation' });
    expect(execution.results[0]?.run_started_at).toBeNull();
  });

  test('a file that the code leaves is fetched', async () => {
    model.replyTo('file', python('from pathlib import Path\nPath("table.csv").write_text("a,b\\n1,2\\n")'));
    const execution = await execute({ prompt: 'file' });
    expect(execution.final_result?.artifacts).toMatchObject([{ name: 'table.csv', size: 8 }]);
    const url = `${front.url}/api/executions/${execution.execution_id}/artifacts/table.csv`;
    const file = await fetch(url, { headers: { 'x-api-key': key } });
    expect(await file.text()).toBe('a,b\n1,2\n');
    expect(file.headers.get('content-disposition')).toMatch(/^attachment/);
  });

  test('an execution is cancelled, and its sandbox stopped', async () => {
    model.replyTo('forever', python('while True:\n    pass'));
    const execution = await start({ prompt: 'forever', timeout: 60 });
    const follower = followExecution(front.url, execution);
    await follower.seen(({ type }) => type === 'run.started');
    expect((await call('DELETE', `/executions/${execution.execution_id}`)).status).toBe(200);
    await follower.ended;
    follower.close();
    expect(await get(execution.execution_id)).toMatchObject({ status: 'cancelled' });
    await expect.poll(tasks).toEqual([]);
  });

  test('a program that takes too long is ended', async () => {
    model.replyTo('slow', python('while True:\n    pass'));
    const execution = await execute({ prompt: 'slow', max_retries: 1, timeout: 1 });
    expect(execution).toMatchObject({ status: 'failed', error_category: 'timeout' });
  });

  test('a run whose sandbox is lost goes on in another', async () => {
    model.replyTo('lost', python('import time\ntime.sleep(3)\nprint("after all")'));
    const execution = await start({ prompt: 'lost' });
    const follower = followExecution(front.url, execution);
    await follower.seen(({ type }) => type === 'run.started');
    const [task] = await tasks();
    await new ECSClient().send(new StopTaskCommand({ cluster: CLUSTER, task, reason: 'lost for the test' }));
    await follower.ended;
    follower.close();
    expect(follower.events.filter(({ type }) => type === 'run.started')).toHaveLength(2);
    const ended = await get(execution.execution_id);
    expect(ended).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(ended.final_result?.output).toBe('after all\n');
  });

  test('bad input is told as locally', async () => {
    const { status, body } = await call<ProblemBody>('POST', '/execute', { prompt: '' });
    expect(status).toBe(400);
    expect(body).toMatchObject({ title: 'Invalid request', errors: [{ pointer: '/prompt' }] });
  });

  test('no sandbox is left', async () => {
    await expect.poll(tasks).toEqual([]);
  });
});

test(
  'is removed',
  async () => {
    const { code, stdout, stderr } = await npm('destroy', ['dev', '--confirm', 'dev']);
    expect(code, stdout + stderr).toBe(0);
    const { Stacks = [] } = await new CloudFormationClient().send(new DescribeStacksCommand({}));
    expect(Stacks.map(({ StackName, StackStatus }) => [StackName, StackStatus])).toEqual([
      ['CDKToolkit', 'CREATE_COMPLETE'],
    ]);
  },
  15 * MINUTES,
);
