import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  ListStateMachinesCommand,
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { afterEach, describe, expect, test } from 'vitest';
import { openDataFolder } from '../../local/aws/data-folder.ts';
import type { Endpoint } from '../../local/aws/endpoint.ts';
import { startEndpoint } from '../../local/aws/endpoint.ts';
import type { ExecutionStatusChangeEvent } from '../../local/aws/step-functions.ts';
import {
  Inbox,
  REGION,
  STATE_MACHINE_ARN,
  startTestEndpoint,
  temporaryFolder,
  testOptions,
} from './support.ts';

interface Call {
  name: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the payload of its own state machine.
  payload: any;
}

const INVOKE = 'arn:aws:states:::lambda:invoke';
const WAIT = `${INVOKE}.waitForTaskToken`;
const functionArn = (name: string) => `arn:aws:lambda:${REGION}:000000000000:function:${name}`;
const task = (name: string, more: object = {}) => ({
  Type: 'Task',
  Resource: INVOKE,
  Parameters: { FunctionName: functionArn(name), 'Payload.$': '$' },
  OutputPath: '$.Payload',
  TimeoutSeconds: 30,
  End: true,
  ...more,
});
const waitingTask = (name: string, more: object = {}) => ({
  ...task(name),
  Resource: WAIT,
  OutputPath: '$',
  Parameters: { FunctionName: functionArn(name), Payload: { 'token.$': '$$.Task.Token', 'input.$': '$' } },
  ...more,
});
const named = (name: string, message = name) => Object.assign(new Error(message), { name });

let endpoint: Endpoint;
let sfn: SFNClient;
let calls: Inbox<Call>;
let results: Record<string, (payload: Call['payload']) => unknown>;
let failures: Inbox<ExecutionStatusChangeEvent>;

async function invoke(arn: string, payload: unknown): Promise<unknown> {
  const name = arn.split(':').at(-1) ?? '';
  const answer = results[name];
  calls.put({ name, payload });
  return answer?.(payload);
}

/** Starts an endpoint with a state machine; `answers` are its functions. */
async function machine(
  States: object,
  answers: typeof results = {},
  dataDir = temporaryFolder(),
  top: object = {},
  executionsAtOnce?: number,
) {
  results = answers;
  calls = new Inbox();
  failures = new Inbox();
  // Through JSON, as it comes from a file: members that a test has set to undefined are gone then.
  const definition = JSON.parse(JSON.stringify({ StartAt: Object.keys(States)[0], States, ...top }));
  endpoint = await startTestEndpoint({
    dataDir,
    stateMachine: { arn: STATE_MACHINE_ARN, definition, executionsAtOnce },
    invoke,
    onWorkflowFailure: async (event) => failures.put(event),
  });
  sfn = new SFNClient();
  return dataDir;
}
afterEach(() => endpoint.close());

async function start(input: unknown = {}, name?: string) {
  const command = new StartExecutionCommand({
    stateMachineArn: STATE_MACHINE_ARN,
    input: JSON.stringify(input),
    name,
  });
  return (await sfn.send(command)).executionArn ?? '';
}
const describeExecution = (executionArn: string) => sfn.send(new DescribeExecutionCommand({ executionArn }));
async function end(executionArn: string): Promise<DescribeExecutionCommandOutput> {
  for (;;) {
    const execution = await describeExecution(executionArn);
    if (execution.status !== 'RUNNING') return execution;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const run = async (input: unknown = {}) => end(await start(input));
const succeed = (taskToken: string, output: unknown = {}) =>
  sfn.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify(output) }));
const nameCall = (name: string) => calls.next((call) => call.name === name);
const namesOfCalls = () => calls.items.map(({ name }) => name);

describe('an execution', () => {
  test('hands data from function to function', async () => {
    await machine(
      {
        First: { ...task('first'), End: undefined, Next: 'Choose' },
        Choose: {
          Type: 'Choice',
          Choices: [{ Variable: '$.count', NumericGreaterThan: 1, Next: 'Second' }],
          Default: 'Nothing',
        },
        Nothing: { Type: 'Fail', Error: 'Nothing' },
        Second: task('second', { ResultPath: '$.result', OutputPath: '$' }),
      },
      { first: ({ count }) => ({ count: count + 1, left: undefined }), second: () => 'done' },
    );
    const { status, output, input, startDate, stopDate, name } = await run({ count: 1 });
    expect([status, input, name?.length]).toEqual(['SUCCEEDED', '{"count":1}', 36]);
    expect(JSON.parse(output ?? '')).toEqual({
      count: 2,
      result: { ExecutedVersion: '$LATEST', Payload: 'done', StatusCode: 200 },
    });
    expect(stopDate?.getTime()).toBeGreaterThanOrEqual(startDate?.getTime() ?? Number.POSITIVE_INFINITY);
  });

  test('has one name, for one input', async () => {
    await machine({ Wait: waitingTask('wait') });
    const arn = await start({ a: 1 }, 'mine');
    expect(arn).toBe(`arn:aws:states:${REGION}:000000000000:execution:test:mine`);
    expect(await start({ a: 1 }, 'mine')).toBe(arn);
    const call = await nameCall('wait');
    expect(call.payload.input).toEqual({ a: 1 });
    await expect(start({ a: 2 }, 'mine')).rejects.toMatchObject({ name: 'ExecutionAlreadyExists' });
    await succeed(call.payload.token);
    expect((await end(arn)).status).toBe('SUCCEEDED');
    await expect(start({ a: 1 }, 'mine')).rejects.toMatchObject({ name: 'ExecutionAlreadyExists' });
    expect(namesOfCalls()).toEqual(['wait']);
  });

  test('knows its name and id', async () => {
    const Payload = { 'name.$': '$$.Execution.Name', 'id.$': '$$.Execution.Id' };
    await machine({ Task: task('task', { Parameters: { FunctionName: functionArn('task'), Payload } }) });
    const arn = await start({}, 'me');
    await end(arn);
    expect(calls.items[0]?.payload).toEqual({ name: 'me', id: arn });
  });

  test('that was never there, a name and an input that cannot be', async () => {
    await machine({ Done: { Type: 'Succeed' } });
    await expect(describeExecution(`${STATE_MACHINE_ARN}:x`)).rejects.toMatchObject({
      name: 'ExecutionDoesNotExist',
    });
    await expect(start({}, '../up')).rejects.toMatchObject({ name: 'InvalidName' });
    const broken = new StartExecutionCommand({ stateMachineArn: STATE_MACHINE_ARN, input: '{' });
    await expect(sfn.send(broken)).rejects.toMatchObject({ name: 'InvalidExecutionInput' });
    const other = new StartExecutionCommand({ stateMachineArn: `${STATE_MACHINE_ARN}2` });
    await expect(sfn.send(other)).rejects.toMatchObject({ name: 'StateMachineDoesNotExist' });
    await expect(sfn.send(new ListStateMachinesCommand())).rejects.toMatchObject({
      name: 'UnknownOperationException',
      message: expect.stringContaining('StartExecution'),
    });
  });
});

describe('a failure', () => {
  test('is caught by its name, with the cause as Lambda gives it', async () => {
    await machine(
      {
        Task: task('task', {
          Catch: [
            { ErrorEquals: ['Other'], Next: 'Wrong' },
            { ErrorEquals: ['Expected'], ResultPath: '$.failure', Next: 'Right' },
          ],
        }),
        Right: { Type: 'Succeed' },
        Wrong: { Type: 'Fail' },
      },
      { task: () => Promise.reject(named('Expected', 'for a reason')) },
    );
    const { status, output } = await run({ kept: 1 });
    expect(status).toBe('SUCCEEDED');
    const { kept, failure } = JSON.parse(output ?? '');
    expect([kept, failure.Error]).toEqual([1, 'Expected']);
    expect(JSON.parse(failure.Cause)).toMatchObject({ errorType: 'Expected', errorMessage: 'for a reason' });
  });

  test('that nothing catches ends the execution under its name', async () => {
    await machine({ Task: task('task') }, { task: () => Promise.reject(named('Unexpected')) });
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'Unexpected' });
    const { source, resources, detail } = await failures.next(() => true);
    expect({ source, resources }).toEqual({ source: 'aws.states', resources: [detail.executionArn] });
    expect(detail).toMatchObject({ status: 'FAILED', error: 'Unexpected', input: '{}' });
    expect(detail.stopDate).toBeGreaterThan(Date.UTC(2020));
  });

  test('is retried as often as the state says', async () => {
    let failures = 0;
    const Retry = [{ ErrorEquals: ['Busy'], IntervalSeconds: 1, MaxAttempts: 2, MaxDelaySeconds: 0.01 }];
    await machine(
      { Task: task('task', { Retry }) },
      {
        task: () => (failures++ < 2 ? Promise.reject(named('Busy')) : 'at last'),
      },
    );
    expect(JSON.parse((await run()).output ?? '')).toBe('at last');
    failures = -10;
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'Busy' });
    expect(calls.items).toHaveLength(6);
  });

  test('comes of a result that is too large for Step Functions, and is not caught', async () => {
    const Catch = [{ ErrorEquals: ['States.ALL'], Next: 'Caught' }];
    await machine(
      { Task: task('task', { Catch }), Caught: { Type: 'Succeed' } },
      { task: () => 'x'.repeat(262_144) },
    );
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'States.DataLimitExceeded' });
  });

  test('comes of time running out, for the state by a path or a number, and for the whole', async () => {
    const timeout = { Catch: [{ ErrorEquals: ['States.Timeout'], Next: 'Late', ResultPath: '$.failure' }] };
    await machine(
      {
        Choose: {
          Type: 'Choice',
          Choices: [{ Variable: '$.by', StringEquals: 'path', Next: 'ByPath' }],
          Default: 'ByNumber',
        },
        ByPath: waitingTask('path', {
          TimeoutSeconds: undefined,
          TimeoutSecondsPath: '$.seconds',
          ...timeout,
        }),
        ByNumber: task('number', { TimeoutSeconds: 1, ...timeout }),
        Late: { Type: 'Succeed' },
      },
      { number: () => new Promise(() => {}) },
    );
    const [path, number] = await Promise.all([run({ by: 'path', seconds: 1 }), run({ by: 'number' })]);
    expect(JSON.parse(path.output ?? '').failure.Error).toBe('States.Timeout');
    expect(JSON.parse(number.output ?? '').failure.Error).toBe('States.Timeout');
    expect(calls.items.find(({ name }) => name === 'path')?.payload.input).toEqual({
      by: 'path',
      seconds: 1,
    });
    await endpoint.close();

    await machine({ Task: waitingTask('task') }, {}, temporaryFolder(), { TimeoutSeconds: 1 });
    const whole = await run();
    expect(whole).toMatchObject({ status: 'TIMED_OUT', error: 'States.Timeout' });
    await expect(succeed(calls.items[0]?.payload.token)).rejects.toMatchObject({ name: 'TaskTimedOut' });
  });
});

describe('a task token', () => {
  test('is waited for, and fresh for each entry of the state', async () => {
    await machine({
      Wait: waitingTask('wait', { Catch: [{ ErrorEquals: ['Again'], Next: 'Wait' }] }),
    });
    const arn = await start();
    const first = (await nameCall('wait')).payload.token;
    await sfn.send(new SendTaskFailureCommand({ taskToken: first, error: 'Again', cause: 'once more' }));
    const second = (await calls.next(({ payload }) => payload.token !== first)).payload;
    expect(second.input).toEqual({ Error: 'Again', Cause: 'once more' });
    await succeed(second.token, { answer: 42 });
    expect(JSON.parse((await end(arn)).output ?? '')).toEqual({ answer: 42 });
  });

  test('may be answered while the function is still running', async () => {
    await machine({ Wait: waitingTask('wait') }, { wait: ({ token }) => succeed(token, 'early') });
    expect(JSON.parse((await run()).output ?? '')).toBe('early');
  });

  test('fails with the function', async () => {
    await machine({ Wait: waitingTask('wait') }, { wait: () => Promise.reject(named('Broken')) });
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'Broken' });
    await expect(succeed(calls.items[0]?.payload.token)).rejects.toMatchObject({ name: 'TaskTimedOut' });
  });

  test('cannot be answered twice, late or when made up', async () => {
    await machine({
      Wait: waitingTask('wait', {
        TimeoutSeconds: 1,
        Catch: [{ ErrorEquals: ['States.Timeout'], Next: 'Done' }],
      }),
      Done: { Type: 'Succeed' },
    });
    const arn = await start();
    const late = (await nameCall('wait')).payload.token;
    await end(arn);
    await expect(succeed(late)).rejects.toMatchObject({ name: 'TaskTimedOut' });

    await start();
    const { token } = (await calls.next(({ payload }) => payload.token !== late)).payload;
    await succeed(token);
    await expect(succeed(token)).rejects.toMatchObject({ name: 'TaskTimedOut' });
    await expect(succeed(`${token}x`)).rejects.toMatchObject({ name: 'InvalidToken' });
    await expect(succeed('made-up')).rejects.toMatchObject({ name: 'InvalidToken' });
    const broken = new SendTaskSuccessCommand({ taskToken: token, output: '{' });
    await expect(sfn.send(broken)).rejects.toMatchObject({ name: 'InvalidOutput' });
  });
});

describe('Parallel', () => {
  const parallel = (states: object[], more: object = {}) => ({
    Type: 'Parallel',
    Branches: states.map((States) => ({ StartAt: Object.keys(States)[0], States })),
    End: true,
    ...more,
  });

  test('runs its branches side by side and collects their results in order', async () => {
    const other = Promise.withResolvers<void>();
    await machine(
      { Both: parallel([{ A: task('a') }, { B: task('b') }]) },
      {
        a: async () => {
          await other.promise;
          return 'a';
        },
        b: () => {
          other.resolve();
          return 'b';
        },
      },
    );
    expect(JSON.parse((await run()).output ?? '')).toEqual(['a', 'b']);
  });

  test('is retried as a whole, and caught by the name of the error inside', async () => {
    let failures = 0;
    const Retry = [{ ErrorEquals: ['Busy'], MaxAttempts: 1, MaxDelaySeconds: 0.01 }];
    const Catch = [{ ErrorEquals: ['Broken'], ResultPath: '$.failure', Next: 'Caught' }];
    await machine(
      { Both: parallel([{ A: task('a') }, { B: task('b') }], { Retry, Catch }), Caught: { Type: 'Succeed' } },
      { a: () => 'a', b: () => Promise.reject(named(failures++ === 0 ? 'Busy' : 'Broken')) },
    );
    const { output } = await run({ kept: 1 });
    expect(JSON.parse(output ?? '')).toMatchObject({ kept: 1, failure: { Error: 'Broken' } });
    expect(namesOfCalls().filter((name) => name === 'a')).toHaveLength(2);
  });

  test('enters no further state in a branch whose sibling has failed', async () => {
    const slow = Promise.withResolvers<void>();
    const Retry = [{ ErrorEquals: ['States.ALL'], MaxAttempts: 5, MaxDelaySeconds: 0.01 }];
    await machine(
      {
        Both: parallel([
          { Slow: task('slow', { Retry, End: undefined, Next: 'After' }), After: task('after') },
          { Broken: task('broken') },
        ]),
      },
      { slow: () => slow.promise, broken: () => Promise.reject(named('Broken')) },
    );
    expect(await run()).toMatchObject({ status: 'FAILED', error: 'Broken' });
    slow.reject(named('AlsoBroken'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(namesOfCalls().sort()).toEqual(['broken', 'slow']);
  });
});

describe('a stop', () => {
  test('ends the execution, enters no further state and leaves the token unanswerable', async () => {
    const Retry = [{ ErrorEquals: ['States.ALL'], MaxAttempts: 5 }];
    const Catch = [{ ErrorEquals: ['States.ALL'], Next: 'After' }];
    await machine({ Wait: waitingTask('wait', { Retry, Catch }), After: task('after') });
    const executionArn = await start();
    const { token } = (await nameCall('wait')).payload;
    const stop = new StopExecutionCommand({ executionArn, error: 'Cancelled', cause: 'by the user' });
    const { stopDate } = await sfn.send(stop);
    expect(await describeExecution(executionArn)).toMatchObject({
      status: 'ABORTED',
      error: 'Cancelled',
      cause: 'by the user',
      stopDate,
    });
    await expect(succeed(token)).rejects.toMatchObject({ name: 'TaskTimedOut' });
    expect((await sfn.send(stop)).stopDate).toEqual(stopDate);
    expect(namesOfCalls()).toEqual(['wait']);
  });

  test('while a function runs lets nothing follow its end', async () => {
    const running = Promise.withResolvers<void>();
    await machine(
      { Task: { ...task('task'), End: undefined, Next: 'After' }, After: task('after') },
      { task: () => running.promise },
    );
    const executionArn = await start();
    await nameCall('task');
    await sfn.send(new StopExecutionCommand({ executionArn }));
    running.resolve();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(namesOfCalls()).toEqual(['task']);
    const unknown = new StopExecutionCommand({ executionArn: `${executionArn}x` });
    await expect(sfn.send(unknown)).rejects.toMatchObject({ name: 'ExecutionDoesNotExist' });
  });
});

describe('a new life on the same folder', () => {
  const states = { First: { ...task('first'), End: undefined, Next: 'Wait' }, Wait: waitingTask('wait') };

  test('runs unfinished executions again from the beginning, and only those', async () => {
    const dataDir = await machine(states, { first: () => 1 });
    const finished = await start({}, 'finished');
    await succeed((await nameCall('wait')).payload.token, 'done');
    await end(finished);
    const unfinished = await start({ n: 1 }, 'unfinished');
    const stale = (
      await calls.next(
        ({ name, payload }) => name === 'wait' && payload.token !== calls.items[1]?.payload.token,
      )
    ).payload.token;
    await endpoint.close();

    await machine(states, { first: ({ n }) => n + 1 }, dataDir);
    expect((await describeExecution(unfinished)).status).toBe('RUNNING');
    expect(calls.items).toEqual([]);
    await endpoint.resume();
    const { token, input } = (await nameCall('wait')).payload;
    expect([input, namesOfCalls()]).toEqual([2, ['first', 'wait']]);
    await expect(succeed(stale)).rejects.toMatchObject({ name: 'TaskTimedOut' });
    await succeed(token, 'again');
    expect(await end(unfinished)).toMatchObject({ status: 'SUCCEEDED', output: '"again"' });
    expect(await describeExecution(finished)).toMatchObject({ status: 'SUCCEEDED', output: '"done"' });
  });

  test('runs as many as may at once, the others one after the other, in their order', async () => {
    const names = ['h', 'a', 'g', 'b', 'f', 'c'];
    const one = { Work: waitingTask('work') };
    const dataDir = await machine(one, {}, temporaryFolder(), {}, 2);
    const arns: string[] = [];
    for (const name of names) arns.push(await start({ name }, name));
    const worked = () => calls.items.map(({ payload }) => payload.input.name);
    await calls.next(({ payload }) => payload.input.name === 'a');
    expect(worked()).toEqual(['h', 'a']);
    expect(await describeExecution(arns[5] ?? '')).toMatchObject({ status: 'RUNNING' });
    await sfn.send(new StopExecutionCommand({ executionArn: arns[2] ?? '' }));
    expect(await describeExecution(arns[2] ?? '')).toMatchObject({ status: 'ABORTED' });
    await endpoint.close();

    await machine(one, {}, dataDir, {}, 2);
    await endpoint.resume();
    const late = await start({ name: 'late' }, 'late');
    const order = ['h', 'a', 'b', 'f', 'c', 'late'];
    for (const [index, name] of order.entries()) {
      const { payload } = await calls.next((call) => call.payload.input.name === name);
      if (index === 0) await calls.next((call) => call.payload.input.name === order[1]);
      // One more runs beside it; the next begins only when this one has ended.
      expect(worked()).toEqual(order.slice(0, index + 2));
      await succeed(payload.token, name);
      await end(name === 'late' ? late : (arns[names.indexOf(name)] ?? ''));
      const following = order[index + 2];
      if (following) await calls.next((call) => call.payload.input.name === following);
    }
  });

  /** As a kill leaves it between the end of an execution and the word of it. */
  const unfinish = (dataDir: string, name: string) => {
    const { database } = openDataFolder(dataDir);
    database.documents<string>('unfinished-workflow-executions').put(name, name);
    database.close();
  };

  test('after a kill between the two steps of finishing does not run it again', async () => {
    const dataDir = await machine(states, { first: () => 1 });
    await start({}, 'ended');
    await succeed((await nameCall('wait')).payload.token, 'done');
    await end(`arn:aws:states:${REGION}:000000000000:execution:test:ended`);
    await endpoint.close();
    unfinish(dataDir, 'ended');
    await machine(states, {}, dataDir);
    await endpoint.resume();
    expect([calls.items, failures.items]).toEqual([[], []]);
  });

  test('after a kill before a failure was heard of tells of it', async () => {
    const states = { Task: task('task') };
    const dataDir = await machine(states, { task: () => Promise.reject(named('Unexpected')) });
    await start({}, 'ended');
    await failures.next(() => true);
    await endpoint.close();
    unfinish(dataDir, 'ended');
    await machine(states, {}, dataDir);
    await endpoint.resume();
    const { detail } = await failures.next(() => true);
    expect([detail.name, detail.status, calls.items]).toEqual(['ended', 'FAILED', []]);
  });
});

test.each([
  [
    'that needs Map',
    { M: { Type: 'Map', ItemProcessor: { StartAt: 'P', States: { P: { Type: 'Succeed' } } }, End: true } },
    /Map is not supported/,
  ],
  [
    'that needs another service',
    { A: { Type: 'Task', Resource: 'arn:aws:states:::sns:publish', End: true } },
    /sns:publish is not supported/,
  ],
  ['that needs heartbeats', { A: waitingTask('a', { HeartbeatSeconds: 5 }) }, /heartbeats are not supported/],
])('a definition %s is refused at the start', async (_name, States, message) => {
  await machine({ Done: { Type: 'Succeed' } });
  const definition = { StartAt: Object.keys(States)[0], States };
  const options = testOptions({ stateMachine: { arn: STATE_MACHINE_ARN, definition } });
  await expect(startEndpoint(options)).rejects.toThrow(message);
});
