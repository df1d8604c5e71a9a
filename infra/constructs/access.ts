/**
 * What a function may reach. One description gives both its environment variables and its permissions, so that a
 * function has the ones exactly where it has the others.
 */
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import { OPENAI_URL } from '../../functions/service/config.ts';
import type { Environment } from '../environments.ts';
import { imagePackages, imagePython } from '../sandbox-image.ts';
import { acknowledgePatterns } from './acknowledge.ts';
import type { Sandbox } from './sandbox.ts';
import type { Storage } from './storage.ts';

/** Partition keys of the table by what they begin with: see functions/service/items.ts. */
const itemKeys = {
  EXECUTION: 'EXECUTION#*',
  CONNECTION: 'CONNECTION#*',
  IDEMPOTENCY: 'IDEMPOTENCY#*',
  SANDBOX: 'SANDBOX#*',
  SERVICE: 'SERVICE',
  KEY: 'KEY#*',
  QUOTA: 'QUOTA#*',
} as const;
type Item = keyof typeof itemKeys;
type ItemAction = 'GetItem' | 'PutItem' | 'UpdateItem' | 'DeleteItem' | 'ConditionCheckItem' | 'Query';

export interface Access {
  /** Actions on items of the table, by the beginning of their partition key. */
  items?: { readonly [I in Item]?: readonly ItemAction[] };
  /** Queries of the index `history` (any owner), or of `work` (executions that queue, warm sandboxes). */
  index?: 'history' | 'work';
  /** Patterns of the keys of files that it reads or writes, itself or by whoever has a URL that it presigned. */
  readsFiles?: readonly string[];
  writesFiles?: readonly string[];
  /** It looks for files that may not be there: S3 says so to those only who may list, and refuses all others. */
  looksForFiles?: true;
  sendsToWebSockets?: true;
  /** Publishes events: stores them and sends them to the WebSockets that follow. */
  publishes?: true;
  /** It has the function CheckCode read tests. */
  checksTests?: true;
  workflow?: readonly ('StartExecution' | 'StopExecution' | 'SendTaskSuccess' | 'SendTaskFailure')[];
  sandboxTasks?: readonly ('RunTask' | 'StopTask' | 'ListTasks' | 'DescribeTasks')[];
  /** It reads the model's key, or only looks whether there is one. */
  modelKey?: 'reads' | 'looks';
  settings?: readonly (keyof ReturnType<typeof settingVariables>)[];
}

export interface Resources {
  environment: Environment;
  storage: Storage;
  sandbox: Sandbox;
  stateMachineArn: string;
  checkCode: lambda.IFunction;
  /** The WebSockets' management: `https://…/ws`, and the ARN of what may be posted to. */
  connections: { endpoint: string; arn: string };
  modelKey: secrets.ISecret;
  /** What CloudFront sends along to prove that a request came through it. */
  originSecret: secrets.ISecret;
}

function settingVariables({ environment, originSecret }: Resources) {
  const { auth, limits, model, retentionDays, sandbox } = environment;
  return {
    RETENTION_DAYS: String(retentionDays),
    MAX_RETRIES: String(limits.maxRetries),
    EXECUTION_TIMEOUT: String(limits.executionTimeout),
    SANDBOX_MEMORY_MB: String(limits.sandboxMemoryMb),
    POLICY: limits.policy,
    AUTH: auth.type,
    MAX_OPEN_EXECUTIONS: String(limits.openExecutions),
    QUOTA_REQUESTS_PER_MINUTE: String(limits.quotas.requestsPerMinute),
    QUOTA_EXECUTIONS_AT_ONCE: String(limits.quotas.executionsAtOnce),
    QUOTA_EXECUTIONS_PER_DAY: String(limits.quotas.executionsPerDay),
    QUOTA_TOKENS_PER_DAY: String(limits.quotas.tokensPerDay),
    OPENAI_MODEL: model.name,
    OPENAI_BASE_URL: model.baseUrl ?? OPENAI_URL,
    WARM_SANDBOXES: String(sandbox.warm),
    WARM_HOURS: sandbox.warmHours ?? '',
    SANDBOX_SPOT: sandbox.spot ? 'on' : 'off',
    SANDBOX_CPU: String(sandbox.cpu),
    SANDBOX_MEMORY_MIB: String(sandbox.memoryMiB),
    SANDBOX_ARCHITECTURE: sandbox.architecture,
    SANDBOX_PYTHON_VERSION: imagePython(),
    SANDBOX_PACKAGES: imagePackages().join(','),
    // A reference that CloudFormation resolves: the value is in no template.
    ORIGIN_SECRET: originSecret.secretValue.unsafeUnwrap(),
  };
}

/** Lets `fn` reach what `access` says. */
export function allow(fn: lambda.Function, access: Access, resources: Resources): void {
  for (const [name, value] of Object.entries(variables(access, resources))) fn.addEnvironment(name, value);
  for (const statement of statements(access, resources)) {
    fn.addToRolePolicy(statement);
    acknowledgePatterns(fn.role as iam.IRole, {
      resources: statement.resources.filter((resource) => resource.endsWith('*')),
      reason:
        'Files, tasks, workflows and WebSockets come and go: the pattern names those of this service alone.',
    });
  }
}

function variables(access: Access, resources: Resources): Record<string, string> {
  const { storage, sandbox, stateMachineArn, checkCode, connections, modelKey } = resources;
  const { items, index, readsFiles, writesFiles, publishes, workflow = [], sandboxTasks = [] } = access;
  const known = settingVariables(resources);
  return {
    ...((items || index || publishes) && { TABLE_NAME: storage.table.tableName }),
    ...((readsFiles || writesFiles) && { BUCKET_NAME: storage.files.bucketName }),
    // Where the SDK's client of the WebSockets' management goes; of the other services it knows itself.
    ...(sends(access) && { AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI: connections.endpoint }),
    ...(workflow.some((action) => action.endsWith('Execution')) && { STATE_MACHINE_ARN: stateMachineArn }),
    ...(access.checksTests && { CHECK_CODE_FUNCTION: checkCode.functionName }),
    ...(sandboxTasks.length > 0 && { SANDBOX_CLUSTER: sandbox.cluster.clusterArn }),
    ...(sandboxTasks.includes('RunTask') && {
      SANDBOX_TASK_DEFINITION: sandbox.taskFamily,
      SANDBOX_SUBNETS: sandbox.network.subnets.map(({ subnetId }) => subnetId).join(','),
      SANDBOX_SECURITY_GROUPS: sandbox.network.securityGroup.securityGroupId,
      SANDBOX_ASSIGN_PUBLIC_IP: sandbox.network.assignPublicIp,
    }),
    ...(access.modelKey && { OPENAI_API_KEY_SECRET_ARN: modelKey.secretArn }),
    ...Object.fromEntries((access.settings ?? []).map((name) => [name, known[name]])),
  };
}

function statements(access: Access, resources: Resources): iam.PolicyStatement[] {
  const { storage, sandbox, stateMachineArn, connections, modelKey } = resources;
  const { items = {}, index, readsFiles, writesFiles, workflow, sandboxTasks = [] } = access;
  const allowed: iam.PolicyStatement[] = [];
  const add = (actions: string[], resource: string | string[], conditions?: iam.Conditions) =>
    allowed.push(new iam.PolicyStatement({ actions, resources: [resource].flat(), conditions }));

  const actions = access.publishes ? withPublishing(items) : items;
  for (const [item, those] of Object.entries(actions) as [Item, readonly ItemAction[]][]) {
    add(
      those.map((action) => `dynamodb:${action}`),
      storage.table.tableArn,
      leadingKeys(itemKeys[item]),
    );
  }
  if (index) {
    const keys = index === 'work' ? leadingKeys('queued', 'warm') : undefined;
    add(['dynamodb:Query'], `${storage.table.tableArn}/index/${index}`, keys);
  }
  const files = (patterns: readonly string[]) => patterns.map((key) => storage.files.arnForObjects(key));
  if (readsFiles) add(['s3:GetObject'], files(readsFiles));
  if (writesFiles) add(['s3:PutObject'], files(writesFiles));
  if (access.looksForFiles) add(['s3:ListBucket'], storage.files.bucketArn);
  if (sends(access)) add(['execute-api:ManageConnections'], connections.arn);
  for (const action of workflow ?? []) {
    const ofAnExecution = action === 'StopExecution';
    add([`states:${action}`], ofAnExecution ? executionsOf(stateMachineArn) : stateMachineArn);
  }
  if (access.checksTests) add(['lambda:InvokeFunction'], resources.checkCode.functionArn);
  const inOurCluster = { ArnEquals: { 'ecs:cluster': sandbox.cluster.clusterArn } };
  const ofTasks = sandboxTasks.filter((action) => action === 'StopTask' || action === 'DescribeTasks');
  if (ofTasks.length > 0) {
    add(
      ofTasks.map((action) => `ecs:${action}`),
      sandbox.taskArns,
      inOurCluster,
    );
  }
  if (sandboxTasks.includes('ListTasks')) add(['ecs:ListTasks'], '*', inOurCluster);
  if (sandboxTasks.includes('RunTask')) allowed.push(...sandbox.runTaskStatements());
  if (access.modelKey) {
    const action = access.modelKey === 'reads' ? 'GetSecretValue' : 'DescribeSecret';
    add([`secretsmanager:${action}`], modelKey.secretArn);
  }
  return allowed;
}

const sends = (access: Access) => access.sendsToWebSockets || access.publishes;

/** To publish is to store an event and to change the head of the feed, and to forget followers who are gone. */
function withPublishing(items: NonNullable<Access['items']>): NonNullable<Access['items']> {
  const join = (item: Item, more: ItemAction[]) => [...new Set([...(items[item] ?? []), ...more])];
  return {
    ...items,
    EXECUTION: join('EXECUTION', ['Query', 'PutItem', 'UpdateItem']),
    CONNECTION: join('CONNECTION', ['DeleteItem']),
  };
}

const leadingKeys = (...keys: string[]) => ({
  'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': keys },
});

const executionsOf = (stateMachineArn: string) =>
  `${stateMachineArn.replace(':stateMachine:', ':execution:')}:*`;
