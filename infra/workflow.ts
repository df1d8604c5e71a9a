/**
 * The workflow of an execution: what Step Functions runs on AWS, and the local runtime on a laptop. `infra/workflow.asl.json`
 * shows it in the States Language, written out; test/workflow/definition.test.ts holds that file to this one
 * (`npx vitest run test/workflow -u` writes it).
 */
import { runTaskRequest } from '../functions/sandbox/run-task.ts';
import { capitalized, from, machine, type Retrier, type TaskState, template } from './states-language.ts';

/** What only the place knows where it runs: infra/constructs/workflow.ts fills it in on AWS, local/runtime.ts here. */
const filledIn = (name: string) => `\${${name}}`;

const LAMBDA = 'arn:aws:states:::lambda:invoke';

/** After what errors a state is tried again, and how patiently. */
const retry = {
  /** The function, or the account, runs as often at once as it may. Nothing has happened yet, and within minutes it passes. */
  throttled: {
    ErrorEquals: ['Lambda.TooManyRequestsException'],
    IntervalSeconds: 2,
    MaxAttempts: 12,
    BackoffRate: 2,
    MaxDelaySeconds: 60,
    JitterStrategy: 'FULL',
  },
  /** Lambda itself has failed. */
  lambdaFailed: {
    ErrorEquals: [
      'Lambda.ClientExecutionTimeoutException',
      'Lambda.ServiceException',
      'Lambda.AWSLambdaException',
      'Lambda.SdkClientException',
    ],
    IntervalSeconds: 1,
    MaxAttempts: 5,
    BackoffRate: 2,
    JitterStrategy: 'FULL',
  },
  /** The function has failed; every one may be called twice. */
  functionFailed: {
    ErrorEquals: ['States.TaskFailed'],
    IntervalSeconds: 1,
    MaxAttempts: 2,
    BackoffRate: 2,
    JitterStrategy: 'FULL',
  },
  /** The other branch has not got to it yet, or one that nobody used is gone, which starting over mends. */
  sandboxMissing: {
    ErrorEquals: ['SandboxMissing'],
    IntervalSeconds: 1,
    MaxAttempts: 2,
    BackoffRate: 2,
    JitterStrategy: 'NONE',
  },
  /** ECS has failed. InvalidParameterException is what it says where its own look-ups of the subnets are throttled. */
  ecsFailed: {
    ErrorEquals: [
      'ECS.ThrottlingException',
      'ECS.ServerException',
      'ECS.AmazonECSException',
      'ECS.InvalidParameterException',
      'ECS.SdkClientException',
    ],
    IntervalSeconds: 2,
    MaxAttempts: 3,
    BackoffRate: 2,
    JitterStrategy: 'FULL',
  },
  /** Whatever it was: for the state that nothing catches. */
  anything: {
    ErrorEquals: ['States.ALL'],
    IntervalSeconds: 1,
    MaxAttempts: 6,
    BackoffRate: 2,
    JitterStrategy: 'FULL',
  },
} as const satisfies Record<string, Retrier>;

/** Errors by which a function tells what is next: trying again would be of no use. */
const told = (...errors: string[]): Retrier => ({ ErrorEquals: errors, MaxAttempts: 0 });

/** What a state that calls a function begins with; the function is the one of the state's name. */
const call = (name: string, payload: object, answers: Retrier[] = []) =>
  ({
    Type: 'Task',
    Resource: LAMBDA,
    Parameters: template({ FunctionName: filledIn(`${name}FunctionArn`), Payload: payload }),
    TimeoutSeconds: 60,
    Retry: [retry.throttled, retry.lambdaFailed, ...answers, retry.functionFailed],
  }) satisfies Partial<TaskState>;

/** The function's answer becomes the state's output. */
const ANSWER = { OutputPath: '$.Payload' } as const;

const execution_id = from('$.execution_id');

const startSandbox = runTaskRequest(
  {
    cluster: filledIn('SandboxClusterArn'),
    taskDefinition: filledIn('SandboxTaskDefinition'),
    subnets: from(`States.StringSplit('${filledIn('SandboxSubnets')}', ',')`),
    securityGroups: from(`States.StringSplit('${filledIn('SandboxSecurityGroups')}', ',')`),
    assignPublicIp: filledIn('SandboxAssignPublicIp') as 'ENABLED',
  },
  {
    sandbox_id: from('$.start.sandbox_id'),
    manifest_url: from('$.start.manifest_url'),
    capacity_provider: from('$.start.capacity_provider'),
  },
);

/** Sees to it that the execution has a sandbox. */
const sandboxBranch = machine({
  StartAt: 'AcquireSandbox',
  States: {
    AcquireSandbox: {
      Comment:
        "Keeps the execution's sandbox, or claims a warm one, or plans a new one. `start` is the one to start, if any.",
      ...call('AcquireSandbox', { execution_id }),
      ...ANSWER,
      Next: 'SandboxToStart',
    },
    SandboxToStart: {
      Type: 'Choice',
      Choices: [{ Variable: '$.start', IsPresent: true, Next: 'StartSandbox' }],
      Default: 'SandboxAcquired',
    },
    StartSandbox: {
      Comment: 'RunTask returns when the task is accepted; it starts while the model writes.',
      Type: 'Task',
      Resource: 'arn:aws:states:::ecs:runTask',
      Parameters: template(startSandbox, capitalized),
      TimeoutSeconds: 60,
      ResultSelector: template({ Tasks: from('$.Tasks'), Failures: from('$.Failures') }),
      ResultPath: '$.run_task',
      Retry: [retry.ecsFailed],
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.refused', Next: 'StartRefused' }],
      Next: 'RecordSandbox',
    },
    StartRefused: {
      Comment: 'As if RunTask had answered without a task: RecordSandbox decides what that means.',
      Type: 'Pass',
      Parameters: template({ Tasks: [], Failures: [{ Reason: from('$.refused.Error') }] }),
      ResultPath: '$.run_task',
      Next: 'RecordSandbox',
    },
    RecordSandbox: {
      Comment: 'Notes the task, so that it can be stopped. RunTask can answer well and have started nothing.',
      ...call(
        'RecordSandbox',
        { execution_id, sandbox_id: from('$.start.sandbox_id'), run_task: from('$.run_task') },
        [told('SandboxNotStarted', 'SandboxUnavailable')],
      ),
      ResultPath: null,
      Catch: [{ ErrorEquals: ['SandboxNotStarted'], ResultPath: '$.not_started', Next: 'TakeOnDemand' }],
      End: true,
    },
    TakeOnDemand: {
      Comment: 'Spot may have nothing to give for hours.',
      Type: 'Pass',
      Result: 'FARGATE',
      ResultPath: '$.start.capacity_provider',
      Next: 'WaitForCapacity',
    },
    WaitForCapacity: { Type: 'Wait', Seconds: 5, Next: 'StartSandbox' },
    SandboxAcquired: { Type: 'Succeed' },
  },
});

/** Goes through the attempts, until the last one is over or needs another sandbox. */
const attemptsBranch = machine({
  StartAt: 'GenerateCode',
  States: {
    GenerateCode: {
      Comment: 'Has the model write the code of the next attempt, or says where the unfinished one stands.',
      ...call('GenerateCode', { execution_id }),
      TimeoutSeconds: 900,
      ...ANSWER,
      Next: 'AfterGenerate',
    },
    AfterGenerate: {
      Type: 'Choice',
      Choices: [
        { Variable: '$.next', StringEquals: 'check', Next: 'CheckCode' },
        { Variable: '$.next', StringEquals: 'run', Next: 'RunCode' },
        { Variable: '$.next', StringEquals: 'generate', Next: 'GenerateCode' },
      ],
      Default: 'AttemptsOver',
    },
    CheckCode: {
      Comment: 'Syntax and policy, in milliseconds, before a sandbox is needed.',
      ...call('CheckCode', { code_url: from('$.code_url'), policy: from('$.policy') }),
      ResultSelector: template({
        allowed: from('$.Payload.allowed'),
        error_category: from('$.Payload.error_category'),
        error: from('$.Payload.error'),
        error_line: from('$.Payload.error_line'),
        violations: from('$.Payload.violations'),
        standard_permits: from('$.Payload.standard_permits'),
      }),
      ResultPath: '$.check',
      Next: 'CodeAllowed',
    },
    CodeAllowed: {
      Type: 'Choice',
      Choices: [{ Variable: '$.check.allowed', BooleanEquals: true, Next: 'RunCode' }],
      Default: 'RejectCode',
    },
    RejectCode: {
      Comment: 'A failed attempt whose message goes back to the model.',
      ...call('RejectCode', { execution_id, attempt: from('$.attempt'), check: from('$.check') }),
      ...ANSWER,
      Next: 'AfterAttempt',
    },
    RunCode: {
      Comment:
        "Puts the job into the sandbox's mailbox. Answers the token itself if the result is there soon; else CollectResult does.",
      ...call('RunCode', { execution_id, attempt: from('$.attempt'), task_token: from('$$.Task.Token') }, [
        told('SandboxLost'),
        retry.sandboxMissing,
      ]),
      Resource: `${LAMBDA}.waitForTaskToken`,
      TimeoutSeconds: undefined,
      TimeoutSecondsPath: '$.run_timeout',
      Catch: [
        { ErrorEquals: ['SandboxLost', 'States.Timeout'], ResultPath: '$.failure', Next: 'RecoverRun' },
        { ErrorEquals: ['SandboxMissing'], ResultPath: '$.failure', Next: 'AttemptsOver' },
      ],
      Next: 'AfterAttempt',
    },
    RecoverRun: {
      Comment:
        'Takes a result that came late, or has the same attempt run again in a new sandbox, a few times at most.',
      ...call('RecoverRun', { execution_id, attempt: from('$.attempt'), failure: from('$.failure') }),
      ...ANSWER,
      Next: 'AfterAttempt',
    },
    AfterAttempt: {
      Type: 'Choice',
      Choices: [{ Variable: '$.next', StringEquals: 'generate', Next: 'GenerateCode' }],
      Default: 'AttemptsOver',
    },
    AttemptsOver: { Type: 'Succeed' },
  },
});

export const workflow = machine({
  Comment:
    'One execution: attempts are generated, checked and run until one succeeds or no more are allowed. The sandbox starts while the model writes. State is ids and verdicts; all else is in the store.',
  StartAt: 'MakeAttempts',
  TimeoutSeconds: 10_800,
  States: {
    MakeAttempts: {
      Comment:
        'Both branches look into the store first: a sandbox that is there is kept, code that is there is not written again.',
      Type: 'Parallel',
      Branches: [sandboxBranch, attemptsBranch],
      ResultSelector: template({ execution_id: from('$[1].execution_id'), next: from('$[1].next') }),
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.failure', Next: 'FinishExecution' }],
      Next: 'AfterAttempts',
    },
    AfterAttempts: {
      Comment: 'If it is not the end, the attempt needs another sandbox.',
      Type: 'Choice',
      Choices: [{ Variable: '$.next', StringEquals: 'finish', Next: 'FinishExecution' }],
      Default: 'MakeAttempts',
    },
    FinishExecution: {
      Comment: 'The final result, the counters, the end of the sandbox, the last event. Every way ends here.',
      ...call('FinishExecution', from<object>('$')),
      TimeoutSeconds: 120,
      Retry: [retry.throttled, retry.anything],
      ...ANSWER,
      End: true,
    },
  },
});
