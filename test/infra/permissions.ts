/**
 * Holds the AWS calls that functions make against the IAM policies that they are deployed with.
 *
 * A call as it is recorded, one JSON object a line:
 *
 *   {"function": "states/run-code", "service": "DynamoDB", "operation": "GetItem", "resource": "EXECUTION#1234"}
 *
 * `resource` is what tells calls of one operation apart:
 *
 *   DynamoDB                   the partition key, or `index/{name}/{its partition key}` for a query of an index
 *   S3                         the key; empty for operations on the bucket
 *   SFN                        empty, or for StopExecution the name of the execution
 *   ECS                        empty for RunTask and ListTasks, else the id of the task
 *   ApiGatewayManagementApi    the id of the connection
 *   Lambda                     empty
 *   Secrets Manager            empty
 */
import { functionsOf, ofType, type Synthesized } from './synthesize.ts';
import { ACCOUNT, arnOf, REGION, resolve } from './values.ts';

export interface Call {
  function: string;
  service: string;
  operation: string;
  resource: string;
}

export interface Statement {
  Effect: 'Allow' | 'Deny';
  Action: string | string[];
  Resource: string | string[];
  Condition?: Record<string, Record<string, string | string[]>>;
}

/** What IAM is asked: may this be done to that, the request being like this. */
interface Request {
  action: string;
  resource: string;
  context: Record<string, string[]>;
}

export const parseCalls = (lines: string): Call[] =>
  lines
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Call);

/** The statements of the role of each function, by handler. */
export function policiesOf(synthesized: Synthesized): Map<string, Statement[]> {
  const { service } = synthesized;
  const byRole = new Map<string, Statement[]>();
  for (const [, { Properties }] of ofType(service, 'AWS::IAM::Policy')) {
    const { Statement } = Properties.PolicyDocument as { Statement: unknown };
    for (const { Ref } of Properties.Roles as { Ref: string }[]) {
      byRole.set(Ref, [...(byRole.get(Ref) ?? []), ...(resolve(Statement, service) as Statement[])]);
    }
  }
  return new Map(
    [...functionsOf(synthesized)].map(([handler, { Properties }]) => {
      const [role = ''] = (Properties.Role as { 'Fn::GetAtt': string[] })['Fn::GetAtt'];
      return [handler, byRole.get(role) ?? []];
    }),
  );
}

/** The requests that a call makes of IAM. @throws for a call that nothing here knows. */
export function requestsOf({ service, operation, resource }: Call, synthesized: Synthesized): Request[] {
  const arn = (type: string, id = '') => {
    const found = ofType(synthesized.service, type).find(([logicalId]) => logicalId.startsWith(id));
    if (!found) throw new Error(`The template has no ${type} ${id}.`);
    return arnOf(found[0], type);
  };
  const one = (action: string, of: string, context: Request['context'] = {}) => [
    { action, resource: of, context },
  ];
  const workflow = `recursive-ai-executor-${synthesized.environment.name}`;
  const cluster = { 'ecs:cluster': [arn('AWS::ECS::Cluster')] };
  switch (service) {
    case 'DynamoDB': {
      const table = arn('AWS::DynamoDB::Table');
      const [, index, indexKey] = /^index\/(\w+)\/(.*)$/s.exec(resource) ?? [];
      return one(`dynamodb:${operation}`, index ? `${table}/index/${index}` : table, {
        'dynamodb:LeadingKeys': [indexKey ?? resource],
      });
    }
    case 'S3': {
      const bucket = arn('AWS::S3::Bucket', 'StorageFiles');
      if (operation === 'ListObjectsV2') return one('s3:ListBucket', bucket);
      const action = { GetObject: 'GetObject', HeadObject: 'GetObject', PutObject: 'PutObject' }[operation];
      return one(`s3:${action ?? operation}`, `${bucket}/${resource}`);
    }
    case 'SFN':
      return operation === 'StopExecution'
        ? one('states:StopExecution', `arn:aws:states:${REGION}:${ACCOUNT}:execution:${workflow}:${resource}`)
        : one(`states:${operation}`, `arn:aws:states:${REGION}:${ACCOUNT}:stateMachine:${workflow}`);
    case 'ECS': {
      const [[clusterId = ''] = []] = ofType(synthesized.service, 'AWS::ECS::Cluster');
      const taskArn = (id: string) => `arn:aws:ecs:${REGION}:${ACCOUNT}:task/${clusterId}/${id}`;
      if (operation === 'RunTask') {
        return [
          ...one(
            'ecs:RunTask',
            `arn:aws:ecs:${REGION}:${ACCOUNT}:task-definition/${workflow}-sandbox:1`,
            cluster,
          ),
          ...one('ecs:TagResource', taskArn('a1b2c3'), { 'ecs:CreateAction': ['RunTask'] }),
          ...one('iam:PassRole', arn('AWS::IAM::Role', 'SandboxExecutionRole'), {
            'iam:PassedToService': ['ecs-tasks.amazonaws.com'],
          }),
        ];
      }
      if (operation === 'ListTasks') return one('ecs:ListTasks', '*', cluster);
      return one(`ecs:${operation}`, taskArn(resource), cluster);
    }
    case 'ApiGatewayManagementApi': {
      const api = ofType(synthesized.service, 'AWS::ApiGatewayV2::Api').find(
        ([, { Properties }]) => Properties.ProtocolType === 'WEBSOCKET',
      );
      const method = { PostToConnection: 'POST', GetConnection: 'GET', DeleteConnection: 'DELETE' }[
        operation
      ];
      return one(
        'execute-api:ManageConnections',
        `arn:aws:execute-api:${REGION}:${ACCOUNT}:${api?.[0]}/ws/${method}/@connections/${resource}`,
      );
    }
    case 'Lambda':
      return one(`lambda:${operation}Function`, arn('AWS::Lambda::Function', 'FunctionsStatesCheckCode'));
    case 'Secrets Manager':
      return one(`secretsmanager:${operation}`, arn('AWS::SecretsManager::Secret', 'ModelKey'));
    default:
      throw new Error(`No function of ours is known to call ${service} ${operation}.`);
  }
}

const list = (value: string | string[]) => [value].flat();

/** Whether `text` is what `pattern` says, in which `*` is anything and `?` any one character. */
function matches(pattern: string, text: string): boolean {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${escaped}$`, 's').test(text);
}

function meets(condition: Statement['Condition'], context: Request['context']): boolean {
  return Object.entries(condition ?? {}).every(([operator, keys]) =>
    Object.entries(keys).every(([key, allowed]) => {
      const values = context[key] ?? [];
      const fits = (value: string) =>
        list(allowed).some((one) => (operator === 'StringEquals' ? one === value : matches(one, value)));
      if (operator === 'ForAllValues:StringLike') return values.every(fits);
      if (operator === 'StringEquals' || operator === 'ArnEquals') return values.some(fits);
      throw new Error(`The operator ${operator} is not known here.`);
    }),
  );
}

function allows(statement: Statement, { action, resource, context }: Request): boolean {
  if (statement.Effect !== 'Allow') throw new Error('A statement that denies is not known here.');
  return (
    list(statement.Action).includes(action) &&
    list(statement.Resource).some((pattern) => matches(pattern, resource)) &&
    meets(statement.Condition, context)
  );
}

export interface Findings {
  /** Calls that would be refused, as `states/run-code may not s3:PutObject arn:…`. */
  refused: string[];
  /** Grants that no call needed, as `states/run-code s3:PutObject arn:…/jobs/*`. */
  unused: string[];
}

/** Holds `calls` against `policies`. */
export function evaluate(
  calls: readonly Call[],
  policies: ReadonlyMap<string, Statement[]>,
  synthesized: Synthesized,
): Findings {
  const refused = new Set<string>();
  const used = new Set<string>();
  for (const call of calls) {
    const statements = policies.get(call.function);
    if (!statements) throw new Error(`There is no function ${call.function}.`);
    for (const request of requestsOf(call, synthesized)) {
      const allowing = statements.filter((statement) => allows(statement, request));
      if (allowing.length === 0)
        refused.add(`${call.function} may not ${request.action} ${request.resource}`);
      for (const statement of allowing) {
        const by = list(statement.Resource).filter((pattern) => matches(pattern, request.resource));
        for (const pattern of by) used.add(grant(call.function, request.action, pattern, statement));
      }
    }
  }
  const granted = [...policies].flatMap(([handler, statements]) =>
    statements.flatMap((statement) =>
      list(statement.Action).flatMap((action) =>
        list(statement.Resource).map((pattern) => grant(handler, action, pattern, statement)),
      ),
    ),
  );
  return { refused: [...refused].sort(), unused: granted.filter((one) => !used.has(one)).sort() };
}

/** A grant in a line; of the table, with the keys that it is limited to. */
function grant(handler: string, action: string, pattern: string, { Condition }: Statement): string {
  const keys = Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'];
  return [handler, action, pattern, ...(keys ? list(keys) : [])].join(' ');
}

/** Actions that are granted by a pattern, which none may be. */
export function wildcardActions(policies: ReadonlyMap<string, Statement[]>): string[] {
  return [...policies].flatMap(([handler, statements]) =>
    statements.flatMap(({ Action }) =>
      list(Action)
        .filter((action) => action.includes('*'))
        .map((action) => `${handler} ${action}`),
    ),
  );
}

/** Requests that functions make of AWS, or have it ask IAM, where no client of the SDK is to be seen doing it. */
export const UNSEEN: Call[] = [
  // The local runtime has no Secrets Manager; test/auth calls the real client.
  {
    function: 'states/generate-code',
    service: 'Secrets Manager',
    operation: 'GetSecretValue',
    resource: '',
  },
  ...['api/execute', 'api/get-health'].map((name) => ({
    function: name,
    service: 'Secrets Manager',
    operation: 'DescribeSecret',
    resource: '',
  })),
  // A presigned form may do what who signed it may.
  ...['states/acquire-sandbox', 'triggers/maintain'].map((name) => ({
    function: name,
    service: 'S3',
    operation: 'PutObject',
    resource: 'mailbox/sandbox-1/ready.json',
  })),
  // Without the right to list, S3 refuses a file that is not there, instead of saying so.
  ...['triggers/collect-result', 'states/run-code', 'states/recover-run'].map((name) => ({
    function: name,
    service: 'S3',
    operation: 'ListObjectsV2',
    resource: '',
  })),
];

/** Grants that no recorded call can use, by the beginning of what follows the function's name, and why. */
const UNRECORDED: [pattern: RegExp, reason: string][] = [
  [/ logs:(CreateLogStream|PutLogEvents) /, 'Lambda writes the log itself.'],
  [/ xray:Put(TraceSegments|TelemetryRecords) /, 'Lambda sends the traces itself.'],
  [
    / sqs:(SendMessage|GetQueueAttributes|GetQueueUrl) /,
    'Lambda itself puts what was given up into the dead letters.',
  ],
  [
    / s3:GetObject .*\/executions\/\*$/,
    'Only texts too long for an item are read, wherever an attempt is told of.',
  ],
  [
    /^states\/(run-code|acquire-sandbox) execute-api:ManageConnections /,
    'Whoever follows is told; nobody does when a test calls it, or so early.',
  ],
  [
    /^(api\/cancel-execution|triggers\/workflow-ended|states\/finish-execution) dynamodb:GetItem .* SANDBOX#\*$/,
    'A sandbox is looked up where its cost is to be estimated: nothing is billed here.',
  ],
  [
    /^states\/generate-code dynamodb:PutItem .* QUOTA#\*$/,
    'A caller has a record since the execution was let in, unless quotas were set only then.',
  ],
  [
    /^realtime\/message dynamodb:PutItem .* EXECUTION#\*$/,
    'Only the feed of an execution that an earlier version stored has no head yet.',
  ],
  [/ dynamodb:DeleteItem .* CONNECTION#\*$/, 'Followers who are gone are met by chance only.'],
];

/** Those of `unused` for which there is no reason. */
export const unjustified = (unused: readonly string[]) =>
  unused.filter((one) => !UNRECORDED.some(([pattern]) => pattern.test(one)));
