/** The functions: what each is given and what it may reach. */
import { join } from 'node:path';
import { Duration, Validations } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { SqsDestination } from 'aws-cdk-lib/aws-lambda-destinations';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { routes } from '../../functions/api/routes.ts';
import { bundle, root } from '../bundle.ts';
import type { Environment } from '../environments.ts';
import { type Access, allow, type Resources } from './access.ts';
import { ServiceFunction } from './service-function.ts';

/** Python of the policy check. The sandbox image has the same, for both must take the same programs for valid. */
const PYTHON = lambda.Runtime.PYTHON_3_13;

interface Definition extends Access {
  /** Seconds. */
  timeout: number;
  /** MiB; the CPU that a function gets goes by it. @default 512 */
  memory?: number;
  /** Nobody waits for its answer: what it cannot deal with goes to the dead letters. */
  asynchronous?: true;
  /** Which of the environment's limits of concurrency holds for it. */
  concurrency?: keyof NonNullable<Environment['limits']['concurrency']>;
}

type ApiHandler = `api/${(typeof routes)[number]['handler']}`;
type RealtimeHandler = `realtime/${'connect' | 'message' | 'disconnect'}`;
type StateHandler = `states/${
  | 'acquire-sandbox'
  | 'record-sandbox'
  | 'generate-code'
  | 'reject-code'
  | 'run-code'
  | 'recover-run'
  | 'finish-execution'}`;
type TriggerHandler = `triggers/${'workflow-ended' | 'collect-result' | 'sandbox-state-change' | 'maintain'}`;
export type Handler = ApiHandler | RealtimeHandler | StateHandler | TriggerHandler | 'api/authorizer';

/** Looking an execution up with its attempts and its long texts. */
const READS_EXECUTION = {
  items: { EXECUTION: ['Query'] },
  readsFiles: ['executions/*'],
} as const satisfies Access;

/** A sandbox's record and its task. */
const STOPS_SANDBOX = {
  SANDBOX: ['GetItem', 'UpdateItem'],
} as const satisfies Access['items'];

/** What a sandbox's cost is estimated by. */
const BILLED_SIZE = ['SANDBOX_CPU', 'SANDBOX_MEMORY_MIB', 'SANDBOX_ARCHITECTURE'] as const;

/** The final status, the counters, the end of the sandbox, the last events. */
const ENDS_EXECUTION = {
  items: {
    EXECUTION: ['Query', 'UpdateItem'],
    ...STOPS_SANDBOX,
    SERVICE: ['UpdateItem'],
  },
  publishes: true,
  sandboxTasks: ['StopTask'],
  settings: ['RETENTION_DAYS', ...BILLED_SIZE],
} as const satisfies Access;

/** A mailbox's manifest, and the presigned URLs in it. */
const PLANS_SANDBOX = {
  readsFiles: ['manifests/*', 'jobs/*'],
  writesFiles: ['manifests/*', 'mailbox/*'],
} as const satisfies Access;

/** A result in the mailbox becomes an attempt's outcome. */
const TAKES_RESULT = {
  readsFiles: ['mailbox/*'],
  looksForFiles: true,
} as const satisfies Access;

/** An execution's end and its files, put together as one file. */
const TAKES_ALONG = {
  timeout: 29,
  items: { EXECUTION: ['GetItem', 'Query'] },
  readsFiles: ['executions/*', 'mailbox/*/artifacts/*'],
  writesFiles: ['executions/*'],
} as const satisfies Omit<Definition, 'settings'>;

const EVERY_API = { timeout: 15, settings: ['ORIGIN_SECRET'] } as const satisfies Definition;

export const definitions: Record<Handler, Definition> = {
  'api/execute': {
    // It may wait 25 seconds for the end; the API gives up after 30.
    timeout: 29,
    concurrency: 'execute',
    ...READS_EXECUTION,
    items: {
      EXECUTION: ['GetItem', 'Query', 'PutItem'],
      IDEMPOTENCY: ['PutItem'],
      QUOTA: ['GetItem', 'PutItem', 'UpdateItem'],
      SERVICE: ['UpdateItem', 'Query'],
    },
    index: 'work',
    workflow: ['StartExecution'],
    checksTests: true,
    modelKey: 'looks',
    settings: [
      'RETENTION_DAYS',
      'MAX_RETRIES',
      'EXECUTION_TIMEOUT',
      'POLICY',
      'SANDBOX_PACKAGES',
      'OPENAI_MODEL',
      'OPENAI_BASE_URL',
      'MAX_OPEN_EXECUTIONS',
      'QUOTA_REQUESTS_PER_MINUTE',
      'QUOTA_EXECUTIONS_AT_ONCE',
      'QUOTA_EXECUTIONS_PER_DAY',
      'QUOTA_TOKENS_PER_DAY',
      'ORIGIN_SECRET',
    ],
  },
  'api/get-execution': { ...EVERY_API, ...READS_EXECUTION, index: 'work' },
  'api/list-executions': { ...EVERY_API, index: 'history' },
  'api/cancel-execution': {
    ...EVERY_API,
    timeout: 29,
    ...READS_EXECUTION,
    items: {
      EXECUTION: ['GetItem', 'Query', 'UpdateItem'],
      ...STOPS_SANDBOX,
      SERVICE: ['UpdateItem'],
    },
    publishes: true,
    workflow: ['StopExecution'],
    sandboxTasks: ['StopTask'],
    settings: ['RETENTION_DAYS', 'ORIGIN_SECRET', ...BILLED_SIZE],
  },
  'api/list-events': { ...EVERY_API, items: { EXECUTION: ['GetItem', 'Query'] } },
  'api/get-artifact': {
    ...EVERY_API,
    items: { EXECUTION: ['GetItem', 'Query'] },
    readsFiles: ['mailbox/*/artifacts/*'],
  },
  'api/get-notebook': { ...EVERY_API, ...TAKES_ALONG },
  'api/get-archive': { ...EVERY_API, ...TAKES_ALONG },
  'api/get-health': {
    ...EVERY_API,
    items: { SERVICE: ['GetItem'] },
    modelKey: 'looks',
    settings: [
      'MAX_RETRIES',
      'EXECUTION_TIMEOUT',
      'POLICY',
      'OPENAI_MODEL',
      'SANDBOX_PYTHON_VERSION',
      'SANDBOX_PACKAGES',
      'OPENAI_BASE_URL',
      'ORIGIN_SECRET',
    ],
  },
  'api/get-metrics': { ...EVERY_API, items: { SERVICE: ['Query'] } },
  'api/get-openapi': { ...EVERY_API, settings: ['AUTH', 'ORIGIN_SECRET'] },

  'api/authorizer': { timeout: 5, items: { KEY: ['GetItem'] } },

  'realtime/connect': {
    timeout: 10,
    items: { EXECUTION: ['GetItem'], CONNECTION: ['PutItem'] },
    settings: ['RETENTION_DAYS', 'ORIGIN_SECRET'],
  },
  'realtime/message': {
    timeout: 15,
    items: { EXECUTION: ['Query', 'PutItem', 'UpdateItem'], CONNECTION: ['GetItem'] },
    sendsToWebSockets: true,
    settings: ['RETENTION_DAYS'],
  },
  'realtime/disconnect': {
    timeout: 10,
    items: { EXECUTION: ['UpdateItem'], CONNECTION: ['DeleteItem'] },
  },

  'states/acquire-sandbox': {
    timeout: 30,
    items: { EXECUTION: ['Query', 'UpdateItem'], SANDBOX: ['GetItem', 'PutItem', 'UpdateItem'] },
    index: 'work',
    ...PLANS_SANDBOX,
    writesFiles: [...PLANS_SANDBOX.writesFiles, 'jobs/*'],
    publishes: true,
    settings: ['RETENTION_DAYS', 'WARM_SANDBOXES', 'WARM_HOURS', 'SANDBOX_SPOT'],
  },
  'states/record-sandbox': {
    timeout: 30,
    items: { SANDBOX: ['UpdateItem'] },
    sandboxTasks: ['StopTask'],
  },
  'states/generate-code': {
    // The longest that a function may take: a model may think for long.
    timeout: 900,
    concurrency: 'generateCode',
    items: {
      EXECUTION: ['GetItem', 'Query', 'PutItem', 'UpdateItem'],
      QUOTA: ['GetItem', 'PutItem', 'UpdateItem'],
    },
    readsFiles: ['executions/*'],
    writesFiles: ['executions/*'],
    publishes: true,
    modelKey: 'reads',
    settings: [
      'RETENTION_DAYS',
      'OPENAI_MODEL',
      'OPENAI_BASE_URL',
      'SANDBOX_PYTHON_VERSION',
      'SANDBOX_PACKAGES',
      'SANDBOX_MEMORY_MB',
      'QUOTA_TOKENS_PER_DAY',
    ],
  },
  'states/reject-code': {
    timeout: 30,
    items: { EXECUTION: ['GetItem', 'Query', 'UpdateItem'] },
    publishes: true,
    settings: ['RETENTION_DAYS'],
  },
  'states/run-code': {
    timeout: 30,
    items: { EXECUTION: ['GetItem', 'Query', 'UpdateItem'], SANDBOX: ['GetItem', 'ConditionCheckItem'] },
    ...TAKES_RESULT,
    readsFiles: [...TAKES_RESULT.readsFiles, 'executions/*'],
    writesFiles: ['jobs/*', 'executions/*'],
    publishes: true,
    workflow: ['SendTaskSuccess'],
    settings: ['RETENTION_DAYS'],
  },
  'states/recover-run': {
    timeout: 30,
    items: { EXECUTION: ['GetItem', 'Query', 'UpdateItem'], ...STOPS_SANDBOX },
    ...TAKES_RESULT,
    writesFiles: ['executions/*'],
    publishes: true,
    sandboxTasks: ['StopTask'],
    settings: ['RETENTION_DAYS'],
  },
  'states/finish-execution': { timeout: 60, ...ENDS_EXECUTION },
  'triggers/workflow-ended': {
    timeout: 60,
    asynchronous: true,
    ...ENDS_EXECUTION,
    items: { ...ENDS_EXECUTION.items, EXECUTION: ['GetItem', ...ENDS_EXECUTION.items.EXECUTION] },
  },
  'triggers/collect-result': {
    timeout: 60,
    asynchronous: true,
    concurrency: 'collectResult',
    items: {
      EXECUTION: ['GetItem', 'Query', 'UpdateItem'],
      SANDBOX: ['GetItem', 'UpdateItem'],
      SERVICE: ['UpdateItem'],
    },
    ...TAKES_RESULT,
    writesFiles: ['executions/*'],
    publishes: true,
    workflow: ['SendTaskSuccess', 'SendTaskFailure'],
    settings: ['RETENTION_DAYS'],
  },
  'triggers/sandbox-state-change': {
    timeout: 30,
    asynchronous: true,
    items: { SANDBOX: ['UpdateItem'], EXECUTION: ['GetItem'] },
    workflow: ['SendTaskFailure'],
  },
  'triggers/maintain': {
    timeout: 55,
    asynchronous: true,
    items: { EXECUTION: ['GetItem'], SANDBOX: ['GetItem', 'PutItem', 'UpdateItem'] },
    index: 'work',
    ...PLANS_SANDBOX,
    workflow: ['StartExecution'],
    sandboxTasks: ['RunTask', 'StopTask', 'ListTasks', 'DescribeTasks'],
    settings: ['RETENTION_DAYS', 'WARM_SANDBOXES', 'WARM_HOURS', 'SANDBOX_SPOT'],
  },
};

/** Seconds after which an event that a function keeps failing on goes to the dead letters. */
const MAX_EVENT_AGE = 3600;

export class Functions extends Construct {
  /** What no function could deal with: the event, and why. */
  readonly deadLetters: sqs.Queue;
  readonly checkCode: lambda.Function;
  private readonly byHandler: Record<Handler, lambda.Function>;

  constructor(scope: Construct, resources: Omit<Resources, 'checkCode'>) {
    super(scope, 'Functions');
    const { environment: settings } = resources;
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      enforceSSL: true,
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      retentionPeriod: Duration.days(14),
    });
    Validations.of(this.deadLetters).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'This queue is the one for dead letters.',
    });

    this.checkCode = new ServiceFunction(this, 'StatesCheckCode', {
      name: 'states/check-code',
      settings,
      runtime: PYTHON,
      code: lambda.Code.fromAsset(join(root, 'sandbox-image'), {
        exclude: ['*', '!policy', '!policy/**', '**/__pycache__', '**/*.pyc'],
      }),
      handler: 'policy.check_code.handler',
      timeout: Duration.seconds(30),
      memorySize: 512,
    });
    Validations.of(this.checkCode).acknowledge({
      id: 'AwsSolutions-L1',
      reason: 'It reads programs with the Python that runs them, which is the one of the sandbox image.',
    });

    const handlers = (Object.keys(definitions) as Handler[]).filter(
      (handler) => handler !== 'api/authorizer' || settings.auth.type === 'api-key',
    );
    const bundles = bundle(handlers);
    this.byHandler = Object.fromEntries(
      handlers.map((handler) => [
        handler,
        this.createFunction(handler, bundles[handler], { ...resources, checkCode: this.checkCode }),
      ]),
    ) as Record<Handler, lambda.Function>;
  }

  get(handler: Handler): lambda.Function {
    return this.byHandler[handler];
  }

  private createFunction(handler: Handler, folder: string, resources: Resources): lambda.Function {
    const { timeout, memory = 512, asynchronous, concurrency, ...access } = definitions[handler];
    const { environment: settings } = resources;
    const fn = new ServiceFunction(this, pascalCase(handler), {
      name: handler,
      settings,
      runtime: lambda.Runtime.NODEJS_24_X,
      code: lambda.Code.fromAsset(folder),
      handler: 'index.handler',
      timeout: Duration.seconds(timeout),
      memorySize: memory,
      environment: {
        NODE_OPTIONS: '--enable-source-maps',
        POWERTOOLS_SERVICE_NAME: `recursive-ai-executor-${settings.name}`,
        POWERTOOLS_LOG_LEVEL: 'INFO',
      },
      reservedConcurrentExecutions: concurrency && settings.limits.concurrency?.[concurrency],
    });
    if (asynchronous) {
      fn.configureAsyncInvoke({
        maxEventAge: Duration.seconds(MAX_EVENT_AGE),
        retryAttempts: 2,
        onFailure: new SqsDestination(this.deadLetters),
      });
    }
    allow(fn, access, resources);
    return fn;
  }
}

/** `api/list-events` → `ApiListEvents` */
export const pascalCase = (handler: string) =>
  handler.replace(/(^|[/-])(\w)/g, (_, _separator: string, letter: string) => letter.toUpperCase());
