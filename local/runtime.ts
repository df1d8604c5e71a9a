/**
 * The local runtime: everything that AWS is in the cloud, in one process.
 *
 *   start    the demo model if no other is set ─► the local AWS endpoint ─► the SDK is pointed at it by its own
 *            environment variables ─► table and bucket ─► the front (HTTP, WebSocket, the page) ─► executions that
 *            an earlier life left unfinished go on ─► the upkeep (warm sandboxes) runs, then once a minute
 *   close    the front ─► the endpoint, which stops every sandbox ─► the functions' processes ─► the demo model
 *
 * The functions are the very handlers that are deployed. They find everything through the environment, as on AWS, so
 * one process can hold one runtime.
 */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InvokeStore, InvokeStoreBase } from '@aws/lambda-invoke-store';
import type { APIGatewayProxyResultV2, Handler } from 'aws-lambda';
import { type Route, routes } from '../functions/api/routes.ts';
import { isOwnStop } from '../functions/sandbox/own-stops.ts';
import { UPLOAD_EVENTS } from '../functions/sandbox/upload-events.ts';
import { config, DEMO_MODEL } from '../functions/service/config.ts';
import { ConfigurationError } from '../functions/service/errors.ts';
import '../infra/quiet-sdk.ts';
import { mostUsedFirst } from '../infra/sandbox-image.ts';
import { workflow } from '../infra/workflow.ts';
import { startEndpoint } from './aws/endpoint.ts';
import { callHandler } from './aws/lambda.ts';
import { type Log, logToStderr } from './aws/log.ts';
import { startDemoModel } from './demo-model.ts';
import { type HttpHandler, startFront } from './front.ts';
import { connectInProcess } from './in-process.ts';
import { DockerLauncher } from './launchers/docker.ts';
import type { Launcher, SandboxDescription } from './launchers/launcher.ts';
import { NurseryLauncher } from './launchers/nursery.ts';
import { removeFolder } from './launchers/remove-folder.ts';
import { findPython } from './python.ts';
import { PythonFunction } from './python-function.ts';
import { type Settings, sandboxKind } from './settings.ts';
import { createStorage } from './storage.ts';
import { connectsUnlessFull, tellsHealth, tellsOfDisk } from './storage-guard.ts';

export interface Runtime {
  /** Of the page and the API. */
  url: string;
  /** Of the local AWS endpoint. */
  awsUrl: string;
  model: { name: string; url: string; demo: boolean };
  /** What a sandbox is here. */
  sandbox: SandboxDescription;
  /** What was found in the data folder that could not be used, a sentence each. */
  notices: string[];
  close(): Promise<void>;
}

// On a terminal only what went wrong is of interest. Set before a handler is loaded, and with it the logger.
process.env.POWERTOOLS_LOG_LEVEL ??= 'ERROR';
process.env.POWERTOOLS_SERVICE_NAME = 'recursive-ai-executor-local';
process.env.POWERTOOLS_METRICS_DISABLED ??= 'true';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SANDBOX_IMAGE = path.join(ROOT, 'sandbox-image');
const WEB_DIST = path.join(ROOT, 'web/dist');

const ACCOUNT = '000000000000';
const REGION = 'us-east-1';
const STATE_MACHINE_ARN = `arn:aws:states:${REGION}:${ACCOUNT}:stateMachine:executor`;
const TABLE = 'executor';
const BUCKET = 'executor';
const CLUSTER = 'executor';
const TASK_DEFINITION = 'sandbox';

const UPKEEP_INTERVAL = 60_000;

/** What only tests and benches ask for. */
export interface RuntimeOptions {
  /** Milliseconds from RunTask to the start of a sandbox, as on Fargate. default: none */
  sandboxStartDelay?(): number;
  /** Milliseconds from an upload to the event that tells of it, as of S3. default: none */
  uploadEventDelay?(): number;
  /** How the functions reach the AWS endpoint. default: in-process */
  transport?: 'in-process' | 'http';
  /** Is told what a function answered to the workflow or an event. */
  onAnswer?(functionName: string, answer: unknown): void;
}

/**
 * Starts the runtime.
 * @throws ConfigurationError that says what to do if a port is taken, the folder is in use, Python is missing, or
 *   sandboxes cannot be confined here.
 */
export async function startRuntime(settings: Settings, options: RuntimeOptions = {}): Promise<Runtime> {
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const python = await findPython(settings.dataDir);
    const launcher = chooseLauncher(settings, python);
    closers.push(() => launcher.close());
    const [sandbox, { setIsolation }] = await Promise.all([
      launcher.describe(),
      // Not before the settings above are in force, which the SDK's clients and the logger read once.
      import('../functions/sandbox/isolation.ts'),
    ]);

    if (!settings.hasModel) {
      const demo = await startDemoModel();
      closers.push(() => demo.close());
      process.env.OPENAI_BASE_URL = demo.url;
      process.env.OPENAI_MODEL = DEMO_MODEL;
    }

    const checkCode = new PythonFunction({
      python,
      folder: SANDBOX_IMAGE,
      handler: 'policy.check_code.handler',
    });
    closers.push(() => checkCode.close());
    const invoke = async (name: string, payload: unknown): Promise<unknown> => {
      const file = name.slice(functionArn('').length);
      const answer =
        file === 'check-code' ? await checkCode.invoke(payload) : await callFunction(file, payload);
      options.onAnswer?.(file, answer);
      return answer;
    };

    const endpoint = await startEndpoint({
      dataDir: settings.dataDir,
      port: settings.awsPort,
      accountId: ACCOUNT,
      region: REGION,
      stateMachine: {
        arn: STATE_MACHINE_ARN,
        definition: loadWorkflow(),
        executionsAtOnce: settings.executionsAtOnce,
      },
      invoke,
      onObjectCreated: async (event) => {
        const key = event.Records[0]?.s3.object.key ?? '';
        const { prefix, suffix } = UPLOAD_EVENTS;
        if (!key.startsWith(prefix) || !key.endsWith(suffix)) return;
        if (options.uploadEventDelay) await sleep(options.uploadEventDelay());
        await invoke(functionArn('collect-result'), event);
      },
      onTaskStateChange: async (event) => {
        if (isOwnStop(event.detail.stoppedReason)) return;
        await invoke(functionArn('sandbox-state-change'), event);
      },
      onWorkflowFailure: async (event) => {
        await invoke(functionArn('workflow-ended'), event);
      },
      ecs: {
        launcher,
        cluster: CLUSTER,
        taskDefinition: TASK_DEFINITION,
        memoryMb: config.sandboxMemory,
        startDelay: options.sandboxStartDelay,
      },
      log,
    }).catch((error) => {
      throw explainStart(error, 'AWS_PORT', settings.awsPort);
    });
    closers.push(() => endpoint.close());
    // A runtime that was killed leaves the folders of its sandboxes. The endpoint has made sure that no other is using them.
    await removeFolder(workDirIn(settings));

    Object.assign(process.env, {
      AWS_ENDPOINT_URL: endpoint.url,
      AWS_REGION: endpoint.region,
      AWS_ACCESS_KEY_ID: endpoint.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: endpoint.credentials.secretAccessKey,
      AUTH: 'none',
      TABLE_NAME: TABLE,
      BUCKET_NAME: BUCKET,
      STATE_MACHINE_ARN,
      CHECK_CODE_FUNCTION: functionArn('check-code'),
      SANDBOX_PYTHON_VERSION: sandbox.python,
      SANDBOX_PACKAGES: packageList(sandbox.packages),
      SANDBOX_CLUSTER: CLUSTER,
      SANDBOX_TASK_DEFINITION: TASK_DEFINITION,
      SANDBOX_SUBNETS: 'local',
      SANDBOX_SECURITY_GROUPS: 'local',
      WARM_SANDBOXES: String(settings.warmSandboxes),
      MAX_OPEN_EXECUTIONS: String(settings.executionsAtOnce + settings.queuedExecutions),
      // Here a process has many invocations at once, and what the logger is told of one must not show in another.
      AWS_LAMBDA_MAX_CONCURRENCY: '1000',
    });
    if (options.transport !== 'http') await connectInProcess(endpoint.answer);
    await createStorage(TABLE, BUCKET);
    await setIsolation(sandbox.isolation);

    const front = await startFront({
      host: settings.host,
      port: settings.port,
      routes: routes satisfies readonly Route[],
      loadHandler: async (name) => {
        const handler: HttpHandler = await loadHandler('api', name);
        if (name === 'get-health') return tellsHealth(handler, endpoint.storage);
        const startsWork = routes.some((route) => route.handler === name && route.method === 'POST');
        return tellsOfDisk(handler, endpoint.storage, { startsWork });
      },
      filesUrl: `${endpoint.url}/${BUCKET}`,
      staticDir: WEB_DIST,
      webSocket: {
        api: endpoint.webSocket,
        handlers: {
          connect: connectsUnlessFull(await loadHandler('realtime', 'connect'), endpoint.storage),
          message: await loadHandler('realtime', 'message'),
          disconnect: await loadHandler('realtime', 'disconnect'),
        },
      },
      log,
    }).catch((error) => {
      throw explainStart(error, 'PORT', settings.port);
    });
    closers.push(() => front.close());

    await endpoint.resume();
    closers.push(await startUpkeep(invoke));
    // What functions still do then finds nothing to do it with, and is done at the next start: that is no news.
    const { logger } = await import('../functions/service/logger.ts');
    closers.push(async () => logger.setLogLevel('SILENT'));

    return {
      url: front.url,
      awsUrl: endpoint.url,
      model: {
        name: config.modelName,
        url: config.model.baseURL,
        demo: !settings.hasModel,
      },
      sandbox,
      notices: endpoint.notices,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The log of the runtime itself keeps to the level of the functions' logs. */
const log: Log = (level, message, details) => {
  const levels = ['debug', 'info', 'warn', 'error'];
  const threshold = levels.indexOf(process.env.POWERTOOLS_LOG_LEVEL?.toLowerCase() ?? '');
  if (threshold >= 0 && levels.indexOf(level) >= threshold) logToStderr(level, message, details);
};

const functionArn = (file: string) => `arn:aws:lambda:${REGION}:${ACCOUNT}:function:${file}`;

async function loadHandler<Event, Result = APIGatewayProxyResultV2>(
  folder: 'api' | 'states' | 'triggers' | 'realtime',
  file: string,
): Promise<Handler<Event, Result>> {
  const handler: Handler<Event, Result> = (await import(`../functions/${folder}/${file}.ts`)).handler;
  const invocations = await InvokeStore.getInstanceAsync();
  return (event, context, callback) =>
    invocations.run(
      { [InvokeStoreBase.PROTECTED_KEYS.REQUEST_ID]: context.awsRequestId, function: `${folder}/${file}` },
      () => handler(event, context, callback),
    );
}

/** The functions that AWS calls of itself; all others are states of the workflow. */
const TRIGGERS = ['collect-result', 'sandbox-state-change', 'workflow-ended', 'maintain'];

async function callFunction(file: string, payload: unknown): Promise<unknown> {
  const handler = await loadHandler<unknown>(TRIGGERS.includes(file) ? 'triggers' : 'states', file);
  return callHandler(handler, payload, { functionName: file, requestId: randomUUID(), timeoutSeconds: 900 });
}

/** The workflow with what `cdk deploy` would fill in. `GenerateCodeFunctionArn` becomes the ARN of generate-code. */
function loadWorkflow(): unknown {
  const substitutions: Record<string, string> = {
    SandboxClusterArn: CLUSTER,
    SandboxTaskDefinition: TASK_DEFINITION,
    SandboxSubnets: 'local',
    SandboxSecurityGroups: 'local',
    SandboxAssignPublicIp: 'DISABLED',
  };
  const filled = JSON.stringify(workflow).replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
    const state = /^(\w+)FunctionArn$/.exec(name)?.[1];
    if (state) return functionArn(state.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase());
    const value = substitutions[name];
    if (value === undefined) throw new Error(`The workflow: nothing is known to fill in for ${name}`);
    return value;
  });
  return JSON.parse(filled);
}

const workDirIn = ({ dataDir }: Pick<Settings, 'dataDir'>) => path.join(dataDir, 'sandboxes');

function chooseLauncher(settings: Settings, python: string): Launcher {
  const kind = sandboxKind(settings);
  if (kind === 'docker') return new DockerLauncher();
  return new NurseryLauncher({
    python,
    cwd: SANDBOX_IMAGE,
    confinement: kind === 'unconfined' ? 'unconfined' : 'required',
    workDir: workDirIn(settings),
    log,
  });
}

/** As config reads it. */
const packageList = (packages: Record<string, string>) =>
  mostUsedFirst(Object.entries(packages).map((pin) => pin.join('=='))).join(',');

/** Runs the upkeep now and once a minute. Gives what stops it. */
async function startUpkeep(invoke: (name: string, payload: unknown) => Promise<unknown>) {
  const run = () =>
    invoke(functionArn('maintain'), {}).catch((error) => {
      log('error', 'upkeep failed', { error: String(error) });
    });
  await run();
  const timer = setInterval(run, UPKEEP_INTERVAL);
  return async () => clearInterval(timer);
}

function explainStart(error: unknown, variable: string, port: number): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') {
    return new ConfigurationError(
      `Port ${port} is taken by another program. Stop that, or set ${variable} to a free port.`,
    );
  }
  if (code === 'EACCES') {
    return new ConfigurationError(`Port ${port} may not be used. Set ${variable} to one above 1023.`);
  }
  return error;
}
