import { beforeAll, describe, expect, it } from 'vitest';
import {
  type Call,
  evaluate,
  parseCalls,
  policiesOf,
  type Statement,
  UNSEEN,
  unjustified,
  wildcardActions,
} from './permissions.ts';
import { type Synthesized, synthesize } from './synthesize.ts';

/** The calls of one run of a function, as they are recorded. */
const RECORDED = `
{"function":"states/run-code","service":"DynamoDB","operation":"UpdateItem","resource":"EXECUTION#1"}
{"function":"states/run-code","service":"DynamoDB","operation":"GetItem","resource":"EXECUTION#1"}
{"function":"states/run-code","service":"DynamoDB","operation":"GetItem","resource":"SANDBOX#s"}
{"function":"states/run-code","service":"DynamoDB","operation":"Query","resource":"EXECUTION#1"}
{"function":"states/run-code","service":"DynamoDB","operation":"PutItem","resource":"EXECUTION#1"}
{"function":"states/run-code","service":"S3","operation":"GetObject","resource":"mailbox/s/results/1-1.json"}
{"function":"states/run-code","service":"S3","operation":"HeadObject","resource":"mailbox/s/artifacts/1-1/plot.png"}
{"function":"states/run-code","service":"S3","operation":"GetObject","resource":"executions/1/attempts/1/code.py"}
{"function":"states/run-code","service":"DynamoDB","operation":"ConditionCheckItem","resource":"SANDBOX#s"}
{"function":"states/run-code","service":"S3","operation":"PutObject","resource":"executions/1/attempts/1/output.txt"}
{"function":"states/run-code","service":"S3","operation":"PutObject","resource":"jobs/s.json"}
{"function":"states/run-code","service":"ApiGatewayManagementApi","operation":"PostToConnection","resource":"c1"}
{"function":"states/run-code","service":"SFN","operation":"SendTaskSuccess","resource":""}
`;

let synthesized: Synthesized;
let policies: Map<string, Statement[]>;
let calls: Call[];

beforeAll(() => {
  synthesized = synthesize('dev');
  policies = policiesOf(synthesized);
  calls = parseCalls(RECORDED);
});

/** The policies with other statements for `states/run-code`. */
const withStatements = (change: (statements: Statement[]) => Statement[]) =>
  new Map(policies).set('states/run-code', change(policies.get('states/run-code') ?? []));

const plus = (statement: Statement) => withStatements((statements) => [...statements, statement]);

const without = (action: string) =>
  withStatements((statements) =>
    statements.flatMap((statement) => {
      const Action = [statement.Action].flat().filter((one) => one !== action);
      return Action.length > 0 ? [{ ...statement, Action }] : [];
    }),
  );

describe('evaluate', () => {
  it('allows what a function is there for', () => {
    const { refused, unused } = evaluate([...calls, ...UNSEEN], policies, synthesized);
    expect(refused).toEqual([]);
    expect(unjustified(unused).filter((one) => one.startsWith('states/run-code'))).toEqual([]);
  });

  it.each([
    'dynamodb:UpdateItem',
    'dynamodb:GetItem',
    'dynamodb:Query',
    's3:GetObject',
    's3:PutObject',
    'execute-api:ManageConnections',
    'states:SendTaskSuccess',
  ])('finds that %s was taken away', (action) => {
    const { refused } = evaluate(calls, without(action), synthesized);
    expect(refused).not.toEqual([]);
    expect(refused.every((one) => one.includes(`may not ${action}`))).toBe(true);
  });

  it('finds what is granted and not used', () => {
    const more = plus({ Effect: 'Allow', Action: 'dynamodb:Scan', Resource: 'arn:aws:dynamodb:::table/t' });
    const { unused } = evaluate(calls, more, synthesized);
    expect(unjustified(unused)).toContain('states/run-code dynamodb:Scan arn:aws:dynamodb:::table/t');
  });

  it('holds calls to the keys that a statement names', () => {
    const call = (service: string, operation: string, resource: string): Call => ({
      function: 'states/run-code',
      service,
      operation,
      resource,
    });
    const { refused } = evaluate(
      [
        call('DynamoDB', 'GetItem', 'KEY#1'),
        call('S3', 'PutObject', 'mailbox/s/results/1-1.json'),
        call('SFN', 'StartExecution', ''),
        call('ECS', 'RunTask', ''),
      ],
      policies,
      synthesized,
    );
    expect(refused.map((one) => one.split(' ')[3])).toEqual([
      'dynamodb:GetItem',
      'ecs:RunTask',
      'ecs:TagResource',
      'iam:PassRole',
      's3:PutObject',
      'states:StartExecution',
    ]);
  });

  it('lets whoever keeps the pool of sandboxes start them', () => {
    const call: Call = { function: 'triggers/maintain', service: 'ECS', operation: 'RunTask', resource: '' };
    expect(evaluate([call], policies, synthesized).refused).toEqual([]);
  });

  it('refuses to guess about what it does not know', () => {
    const call: Call = { function: 'states/run-code', service: 'SNS', operation: 'Publish', resource: '' };
    expect(() => evaluate([call], policies, synthesized)).toThrow('SNS Publish');
    expect(() => evaluate([{ ...call, function: 'states/none' }], policies, synthesized)).toThrow(
      'states/none',
    );
  });
});

it('finds actions granted by a pattern', () => {
  const more = plus({ Effect: 'Allow', Action: 's3:Get*', Resource: '*' });
  expect(wildcardActions(more)).toEqual(['states/run-code s3:Get*']);
  expect(wildcardActions(policies)).toEqual([]);
});
