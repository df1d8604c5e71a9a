/** The rules that AWS has for state machines: the workflow keeps them, and each is seen to fail. */
import { describe, expect, test } from 'vitest';
import { brokenRules, type Facts, rules } from '../../infra/state-machine-rules.ts';
import type { Machine } from '../../infra/states-language.ts';
import { workflow } from '../../infra/workflow.ts';
import { facts } from '../../infra/workflow-facts.ts';

const LAMBDA = 'arn:aws:states:::lambda:invoke';
const RUN_TASK = 'arn:aws:states:::ecs:runTask';

const call = (more: object = {}) => ({
  Type: 'Task',
  Resource: LAMBDA,
  Parameters: { FunctionName: 'f', Payload: { 'id.$': '$.id' } },
  TimeoutSeconds: 10,
  End: true,
  ...more,
});
const runTask = (parameters: object) => ({
  ...call(),
  Resource: RUN_TASK,
  Parameters: { TaskDefinition: 't', ...parameters },
});
/** Of plain objects, as from a file: what is tested here is what types do not let one write. */
const machine = (States: object, top: object = {}) =>
  ({ StartAt: Object.keys(States)[0], States, ...top }) as unknown as Machine;

const known: Facts = {
  input: { id: '1', seconds: 5 },
  results: { A: [{ answer: 1 }], B: [{ answer: 1 }] },
  longest: { '$.id': 1 },
  entered: {},
};
/** The names of the rules that are broken. */
const broken = (of: Machine, more: Partial<Facts> = {}) => [
  ...new Set(brokenRules(of, { ...known, ...more }).map((line) => line.slice(0, line.indexOf(':')))),
];
const retrying = (...Retry: object[]) => machine({ A: call({ Retry }) });
const SUCCEED = { Type: 'Succeed' };

/** For each rule machines that break it. */
const breaking: Record<keyof typeof rules, Machine[]> = {
  targets: [
    machine({ A: call({ End: undefined, Next: 'B' }) }),
    machine({ A: call({ Catch: [{ ErrorEquals: ['States.ALL'], Next: 'B' }] }) }),
  ],
  reachable: [
    machine({ A: call(), B: SUCCEED }),
    machine({ A: call(), B: call({ End: undefined, Next: 'B' }) }),
  ],
  transitions: [machine({ A: call({ End: undefined }) }), machine({ A: call({ Next: 'B' }), B: SUCCEED })],
  names: [
    machine({ ['A'.repeat(81)]: SUCCEED }),
    machine({
      A: { Type: 'Parallel', Branches: [machine({ B: SUCCEED }), machine({ B: SUCCEED })], End: true },
    }),
  ],
  retryAllLast: [
    retrying({ ErrorEquals: ['States.ALL'] }, { ErrorEquals: ['Busy'] }),
    retrying({ ErrorEquals: ['States.ALL', 'Busy'] }),
  ],
  catchAllLast: [
    machine({
      A: call({
        Catch: [
          { ErrorEquals: ['States.ALL'], Next: 'B' },
          { ErrorEquals: ['Busy'], Next: 'B' },
        ],
      }),
      B: SUCCEED,
    }),
  ],
  oneRetrierEach: [
    retrying({ ErrorEquals: ['Busy'] }, { ErrorEquals: ['Late', 'Busy'] }),
    retrying({ ErrorEquals: ['States.TaskFailed'] }, { ErrorEquals: ['Busy'] }),
  ],
  retriers: [
    retrying({ ErrorEquals: [] }),
    retrying({ ErrorEquals: ['Busy'], IntervalSeconds: 0 }),
    retrying({ ErrorEquals: ['Busy'], IntervalSeconds: 1.5 }),
    retrying({ ErrorEquals: ['Busy'], MaxAttempts: -1 }),
    retrying({ ErrorEquals: ['Busy'], BackoffRate: 0.5 }),
    retrying({ ErrorEquals: ['Busy'], IntervalSeconds: 5, MaxDelaySeconds: 5 }),
    retrying({ ErrorEquals: ['Busy'], MaxDelaySeconds: 31_622_400 }),
    retrying({ ErrorEquals: ['Busy'], JitterStrategy: 'SOME' }),
  ],
  errorNames: [retrying({ ErrorEquals: ['States.Busy'] })],
  runtimeErrors: [retrying({ ErrorEquals: ['States.Runtime'] })],
  timeouts: [
    machine({ A: call({ TimeoutSeconds: 0 }) }),
    machine({ A: call({ TimeoutSeconds: 100_000_000 }) }),
    machine({ A: call({ HeartbeatSeconds: 10 }) }),
    machine({ A: call({ TimeoutSecondsPath: '$.seconds' }) }),
    machine({ A: call() }, { TimeoutSeconds: 0.5 }),
  ],
  integrations: [
    machine({ A: call({ Resource: `${LAMBDA}.sync` }) }),
    machine({ A: call({ Parameters: { Payload: {} } }) }),
    machine({ A: runTask({ taskDefinition: 't' }) }),
  ],
  taskTokens: [
    machine({ A: call({ Resource: `${LAMBDA}.waitForTaskToken` }) }),
    machine({ A: call({ Parameters: { FunctionName: 'f', Payload: { 'token.$': '$$.Task.Token' } } }) }),
  ],
  capacity: [
    machine({
      A: runTask({ LaunchType: 'FARGATE', CapacityProviderStrategy: [{ CapacityProvider: 'FARGATE' }] }),
    }),
  ],
  overrides: [
    machine({ A: runTask({ Overrides: { ContainerOverrides: [{ Name: 'n'.repeat(8_192) }] } }) }),
    machine({ A: runTask({ Overrides: { ContainerOverrides: [{ 'Name.$': '$.seconds' }] } }) }),
  ],
  templates: [
    machine({ A: call({ Parameters: { FunctionName: 'f', Payload: { id: '$.id' } } }) }),
    machine({ A: call({ Parameters: { FunctionName: 'f', Payload: { id: '1', 'id.$': '$.id' } } }) }),
    machine({ A: call({ ResultSelector: { id: 'States.UUID()' } }) }),
  ],
  intrinsicFunctions: [
    machine({ A: call({ ResultSelector: { 'id.$': 'States.Uuid()' } }) }),
    machine({ A: call({ ResultSelector: { 'id.$': "States.StringSplit('a,b')" } }) }),
    machine({ A: call({ ResultSelector: { 'id.$': "States.Format('{} {}', $.StatusCode)" } }) }),
    machine({
      A: call({ ResultSelector: { 'id.$': `${'States.ArrayLength('.repeat(11)}$${')'.repeat(11)}` } }),
    }),
  ],
  plainPaths: [
    machine({ A: call({ ResultPath: '$$.Execution' }) }),
    machine({ A: call({ OutputPath: 'States.UUID()' }) }),
  ],
  context: [
    machine({ A: call({ Parameters: { FunctionName: 'f', Payload: { 'n.$': '$$.Execution.name' } } }) }),
  ],
  data: [
    machine({ A: call({ Parameters: { FunctionName: 'f', Payload: { 'x.$': '$.x' } } }) }),
    machine({ A: call({ TimeoutSeconds: undefined, TimeoutSecondsPath: '$.id' }) }),
    machine({ A: call({ ResultSelector: { 'x.$': '$.Payload.x' } }) }),
    // The result took the place of the input.
    machine({ A: call({ OutputPath: '$.Payload', End: undefined, Next: 'B' }), B: call() }),
    // Caught, there is no result.
    machine({
      A: call({
        ResultPath: '$.a',
        Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'B' }],
        End: undefined,
        Next: 'B',
      }),
      B: call({ Parameters: { FunctionName: 'f', Payload: { 'a.$': '$.a.Payload.answer' } } }),
    }),
    machine({
      A: { Type: 'Choice', Choices: [{ Variable: '$.x', StringEquals: 'y', Next: 'B' }], Default: 'B' },
      B: SUCCEED,
    }),
    // A branch gives its output in an array.
    machine({
      A: {
        Type: 'Parallel',
        Branches: [machine({ C: SUCCEED })],
        ResultSelector: { 'id.$': '$.id' },
        End: true,
      },
    }),
  ],
  definitionSize: [machine({ A: call() }, { Comment: 'x'.repeat(1024 * 1024) })],
  history: [retrying({ ErrorEquals: ['Busy'], MaxAttempts: 9_000 })],
};

test('the workflow keeps all of them', () => {
  expect(brokenRules(workflow, facts)).toEqual([]);
});

test('a plain machine keeps them, with all that they allow', () => {
  const full = machine({
    A: call({
      Resource: `${LAMBDA}.waitForTaskToken`,
      Parameters: {
        FunctionName: 'f',
        Payload: { 'token.$': '$$.Task.Token', 'all.$': '$', 'text.$': "States.Format('it\\'s {}', $.id)" },
      },
      TimeoutSeconds: undefined,
      TimeoutSecondsPath: '$.seconds',
      ResultPath: '$.a',
      Retry: [
        { ErrorEquals: ['Busy'], MaxAttempts: 0 },
        { ErrorEquals: ['States.TaskFailed'] },
        { ErrorEquals: ['States.Timeout'] },
        { ErrorEquals: ['States.ALL'], MaxDelaySeconds: 60, JitterStrategy: 'FULL' },
      ],
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'C' }],
      End: undefined,
      Next: 'C',
    }),
    C: {
      Type: 'Choice',
      Choices: [{ Variable: '$.error', IsPresent: true, Next: 'D' }],
      Default: 'B',
    },
    D: { Type: 'Pass', Parameters: { 'error.$': '$.error.Error', 'id.$': '$.id' }, Next: 'B' },
    B: call(),
  });
  expect(broken(full)).toEqual([]);
});

describe.each(Object.entries(breaking))('%s', (rule, machines) => {
  test.each(machines.map((one, at) => [at, one] as const))('is seen to be broken: %i', (_, one) => {
    expect(broken(one)).toContain(rule);
  });
});

test.each(Object.entries(rules))('%s says what AWS says, and where', (_, { says, source }) => {
  expect(says.length).toBeGreaterThan(20);
  expect(new URL(source).protocol).toBe('https:');
});
