/**
 * Step Functions: one state machine, run by aws-local-stepfunctions.
 *
 * An execution is written to the database before StartExecution answers, and so is its end. After a stop of the
 * process, whatever the reason, `resume()` starts those that are running again from the beginning with the same input:
 * the states are idempotent, and derive from the store what is left to do. It also tells again of those whose end may not
 * have been heard.
 *
 * So many run at once; the others wait in a line, first in, first out, as AWS starts no more than its quotas allow. Of one
 * that waits nothing runs, no state's clock either. A restart keeps the order.
 *
 * What the library does not have is added around it, by rewriting the definition once (see `prepare`):
 * - Task tokens. The library sees a placeholder in the context; each entry of a task gets a fresh token for it.
 * - Parallel. The library would go on retrying in branches that were given up, so each Parallel state becomes a task
 *   that runs its branches and can stop them.
 * - Stopping. A stopped task fails with an error that is neither retried nor caught, so no further state is entered.
 * - TimeoutSecondsPath is read from the state's input, as AWS does it, not from the task's parameters.
 */
import '../polyfill.ts';
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import {
  ExecutionError,
  ExecutionTimeoutError,
  StateMachine,
  type StateMachineDefinition,
} from 'aws-local-stepfunctions';
import { z } from 'zod';
import type { Database, Documents } from './database.ts';
import type { Delivery } from './delivery.ts';
import { AwsError } from './http.ts';
import { type JsonService, operation } from './json-protocol.ts';
import type { Log } from './log.ts';
import type { StorageHealth } from './storage-health.ts';

export interface StepFunctionsOptions {
  database: Database;
  storage: StorageHealth;
  stateMachineArn: string;
  /**
   * Amazon States Language, JSONPath, all substitutions made. Taken to be valid: the library's own check would cost a
   * third of a second at every start.
   */
  definition: unknown;
  /** Executions that run; more wait for their turn. default: any number */
  executionsAtOnce?: number;
  /** Calls a function. An error's `name` is what Retry and Catch match. */
  invoke(functionName: string, payload: unknown): Promise<unknown>;
  /** Does ECS RunTask with parameters and result as the API has them (camel case). */
  runTask(parameters: unknown): object | Promise<object>;
  /** Task tokens are signed with it, so that made-up ones are told from those that are no longer waited for. */
  secret: string;
  /** Hears of executions that end otherwise than SUCCEEDED. */
  events: Delivery<ExecutionStatusChangeEvent>;
  log: Log;
}

/** EventBridge's `Step Functions Execution Status Change`, as far as anybody here reads it. */
export interface ExecutionStatusChangeEvent {
  source: 'aws.states';
  'detail-type': 'Step Functions Execution Status Change';
  resources: string[];
  /** Dates in milliseconds since the epoch. */
  detail: Omit<ExecutionRecord, 'startDate' | 'stopDate'> & { startDate: number; stopDate: number };
}

type Status = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';

/** As DescribeExecution gives it; dates in seconds since the epoch. */
interface ExecutionRecord {
  executionArn: string;
  stateMachineArn: string;
  name: string;
  status: Status;
  startDate: number;
  stopDate?: number;
  input: string;
  output?: string;
  error?: string;
  cause?: string;
}

interface RunningExecution {
  record: ExecutionRecord;
  stop: AbortController;
}

type Json = Parameters<StateMachine['run']>[0];
type States = Record<string, State>;
interface State {
  Type: string;
  Resource?: string;
  Parameters?: Record<string, unknown>;
  Branches?: { States: States; StartAt: string }[];
  TimeoutSeconds?: number;
  TimeoutSecondsPath?: string;
  HeartbeatSeconds?: number;
  HeartbeatSecondsPath?: string;
}
type Task = (parameters: Json, execution: ExecutionRecord, stopped: AbortSignal) => Promise<unknown>;
interface PreparedMachine {
  machine: StateMachine;
  /** By the name of the state. */
  tasks: Map<string, Task>;
}

const TOKEN_PLACEHOLDER = `token-${randomUUID()}`;
const TIMEOUT_KEY = 'LocalTimeoutSeconds';
/** The longest a timer of Node can wait, in seconds; AWS's own default is three years. */
const NO_TIMEOUT = 2_147_483;
/** bytes of a state's input or result */
const MAX_DATA = 256 * 1024;
const NAME = /^[^\s<>{}[\]?*"#%\\^|~`$&,;:/\p{Cc}]{1,80}$/u;

export class StepFunctions {
  readonly service: JsonService = {
    target: 'AWSStepFunctions',
    version: '1.0',
    operations: {
      StartExecution: operation(
        z.object({
          stateMachineArn: z.string(),
          name: z.string().optional(),
          input: z.string().default('{}'),
        }),
        (input) => this.#startExecution(input),
      ),
      StopExecution: operation(
        z.object({ executionArn: z.string(), error: z.string().optional(), cause: z.string().optional() }),
        (input) => this.#stopExecution(input),
      ),
      DescribeExecution: operation(z.object({ executionArn: z.string() }), ({ executionArn }) =>
        this.#find(executionArn),
      ),
      SendTaskSuccess: operation(z.object({ taskToken: z.string(), output: z.string() }), (input) => {
        const output = parseJson(input.output, 'InvalidOutput');
        this.#waiting(input.taskToken).resolve(output);
        return {};
      }),
      SendTaskFailure: operation(
        z.object({ taskToken: z.string(), error: z.string().optional(), cause: z.string().optional() }),
        ({ taskToken, error = '', cause = '' }) => {
          this.#waiting(taskToken).reject(new TaskFailed(error, cause));
          return {};
        },
      ),
    },
  };

  readonly #options: StepFunctionsOptions;
  readonly #main: PreparedMachine;
  readonly #executionArnPrefix: string;
  readonly #records: Documents<ExecutionRecord>;
  /** Names of those that have not ended, or of whose end nobody has heard yet. */
  readonly #unfinished: Documents<string>;
  /** Those that have not ended, also those that wait for their turn. */
  readonly #running = new Map<string, RunningExecution>();
  readonly #line: RunningExecution[] = [];
  #underWay = 0;
  /** Milliseconds since the epoch. No two executions have the same start, as it is their place in line. */
  #lastStart = 0;
  readonly #tokens = new Map<string, PromiseWithResolvers<unknown>>();

  /** Throws if the definition needs what is not supported here. */
  constructor(options: StepFunctionsOptions) {
    this.#options = options;
    this.#main = this.#prepare(options.definition as { States: States; StartAt: string });
    this.#executionArnPrefix = `${options.stateMachineArn.replace(':stateMachine:', ':execution:')}:`;
    this.#records = options.database.documents('workflow-executions');
    this.#unfinished = options.database.documents('unfinished-workflow-executions');
  }

  /** Starts the executions that an earlier life of the process left unfinished. */
  resume(): void {
    const records = this.#unfinished.all().flatMap((name) => this.#records.get(name) ?? []);
    const earlier = records.filter(({ name }) => !this.#running.has(name));
    for (const record of earlier.toSorted((a, b) => a.startDate - b.startDate)) {
      if (record.status === 'RUNNING') this.#enqueue(record);
      else void this.#tell(record);
    }
  }

  /** Stops all states where they are; the executions stay unfinished, for the next `resume()`. */
  close(): void {
    for (const { stop } of this.#running.values()) stop.abort();
  }

  #startExecution(input: { stateMachineArn: string; name?: string; input: string }): object {
    if (input.stateMachineArn !== this.#options.stateMachineArn) {
      throw new AwsError(
        'StateMachineDoesNotExist',
        `State Machine Does Not Exist: '${input.stateMachineArn}'`,
      );
    }
    const name = input.name ?? randomUUID();
    if (!NAME.test(name)) throw new AwsError('InvalidName', `Invalid Name: '${name}'`);
    parseJson(input.input, 'InvalidExecutionInput');
    const executionArn = this.#executionArnPrefix + name;
    const known = this.#read(name);
    if (known && (known.status !== 'RUNNING' || known.input !== input.input)) {
      throw new AwsError('ExecutionAlreadyExists', `Execution Already Exists: '${executionArn}'`);
    }
    if (known) return { executionArn, startDate: known.startDate };
    const record: ExecutionRecord = {
      executionArn,
      stateMachineArn: input.stateMachineArn,
      name,
      status: 'RUNNING',
      startDate: this.#nextStart() / 1000,
      input: input.input,
    };
    this.#options.database.transaction(() => {
      this.#records.put(name, record);
      this.#unfinished.put(name, name);
    });
    this.#enqueue(record);
    return { executionArn, startDate: record.startDate };
  }

  #nextStart(): number {
    this.#lastStart = Math.max(Date.now(), this.#lastStart + 1);
    return this.#lastStart;
  }

  #enqueue(record: ExecutionRecord): void {
    const entry = { record, stop: new AbortController() };
    this.#lastStart = Math.max(this.#lastStart, record.startDate * 1000);
    this.#running.set(record.name, entry);
    this.#line.push(entry);
    this.#runNext();
  }

  #runNext(): void {
    const { executionsAtOnce = Number.POSITIVE_INFINITY } = this.#options;
    while (this.#underWay < executionsAtOnce) {
      const next = this.#line.shift();
      if (!next) return;
      // Stopped while it waited, or with the process.
      if (next.stop.signal.aborted) continue;
      this.#underWay += 1;
      void this.#run(next).finally(() => {
        this.#underWay -= 1;
        this.#runNext();
      });
    }
  }

  async #stopExecution(input: { executionArn: string; error?: string; cause?: string }): Promise<object> {
    const { name, stopDate } = this.#find(input.executionArn);
    const running = this.#running.get(name);
    if (!running) return { stopDate: stopDate ?? Date.now() / 1000 };
    running.stop.abort();
    await this.#finish(running.record, { status: 'ABORTED', error: input.error, cause: input.cause });
    return { stopDate: running.record.stopDate };
  }

  async #run({ record, stop }: RunningExecution): Promise<void> {
    try {
      const output = await this.#runMachine(this.#main, JSON.parse(record.input), record, stop.signal);
      if (!stop.signal.aborted)
        await this.#finish(record, { status: 'SUCCEEDED', output: JSON.stringify(output) });
    } catch (error) {
      if (stop.signal.aborted) return;
      const timedOut = error instanceof ExecutionTimeoutError;
      const { name, message } = error as Error;
      const end = timedOut
        ? ({ status: 'TIMED_OUT', error: 'States.Timeout' } as const)
        : ({ status: 'FAILED', error: name, cause: message } as const);
      this.#options.log('warn', 'workflow failed', { execution: record.name, ...end });
      await this.#finish(record, end);
    } finally {
      // Where the time of the whole execution was over, its states are still under way.
      stop.abort();
    }
  }

  async #finish(record: ExecutionRecord, end: Partial<ExecutionRecord>): Promise<void> {
    Object.assign(record, end, { stopDate: Date.now() / 1000 });
    await this.#options.storage.write(() => this.#records.put(record.name, record));
    this.#running.delete(record.name);
    void this.#tell(record);
  }

  /** Tells of an end that was no success; only then is the execution not looked at again by `resume()`. */
  async #tell(record: ExecutionRecord): Promise<void> {
    const { startDate, stopDate = startDate, ...rest } = record;
    if (rest.status !== 'SUCCEEDED') {
      const heard = await this.#options.events.send(rest.name, {
        source: 'aws.states',
        'detail-type': 'Step Functions Execution Status Change',
        resources: [rest.executionArn],
        detail: { ...rest, startDate: startDate * 1000, stopDate: stopDate * 1000 },
      });
      if (!heard) return;
    }
    await this.#options.storage.write(() => this.#unfinished.delete(rest.name));
  }

  #find(executionArn: string): ExecutionRecord {
    const name = executionArn.startsWith(this.#executionArnPrefix)
      ? executionArn.slice(this.#executionArnPrefix.length)
      : '';
    const record = NAME.test(name) ? this.#read(name) : undefined;
    if (!record) throw new AwsError('ExecutionDoesNotExist', `Execution Does Not Exist: '${executionArn}'`);
    return record;
  }

  #read(name: string): ExecutionRecord | undefined {
    return this.#running.get(name)?.record ?? this.#records.get(name);
  }

  async #runMachine(
    { machine, tasks }: PreparedMachine,
    input: Json,
    execution: ExecutionRecord,
    stopped: AbortSignal,
  ): Promise<unknown> {
    const handlers = [...tasks].map(([name, task]) => [
      name,
      async (parameters: Json) => {
        if (stopped.aborted) throw new Stopped();
        return (await task(parameters, execution, stopped)) as Json;
      },
    ]);
    const { executionArn, stateMachineArn, name } = execution;
    const run = machine.run(input, {
      overrides: { taskResourceLocalHandlers: Object.fromEntries(handlers) },
      context: {
        Execution: { Id: executionArn, Name: name },
        StateMachine: { Id: stateMachineArn, Name: stateMachineArn.split(':').at(-1) },
        Task: { Token: TOKEN_PLACEHOLDER },
      },
    });
    stopped.addEventListener('abort', run.abort, { once: true });
    try {
      return await run.result;
    } catch (error) {
      if (stopped.aborted) throw new Stopped();
      throw error instanceof ExecutionError ? error.cause : error;
    } finally {
      stopped.removeEventListener('abort', run.abort);
    }
  }

  /** The definition as the library can run it, and the tasks that it names. */
  #prepare(definition: { States: States; StartAt: string }): PreparedMachine {
    const tasks = new Map<string, Task>();
    const states: States = {};
    for (const [name, state] of Object.entries(definition.States)) {
      if (state.Type === 'Map')
        throw new Error(`State ${name}: Map is not supported by the local Step Functions.`);
      if (state.HeartbeatSeconds || state.HeartbeatSecondsPath) {
        throw new Error(`State ${name}: heartbeats are not supported by the local Step Functions.`);
      }
      states[name] = state;
      if (state.Type === 'Parallel') {
        const { Branches = [], ...rest } = state;
        const branches = Branches.map((branch) => this.#prepare(branch));
        states[name] = { ...rest, Type: 'Task', Resource: 'local:parallel', TimeoutSeconds: NO_TIMEOUT };
        tasks.set(name, (input, execution, stopped) =>
          this.#runBranches(branches, input, execution, stopped),
        );
      }
      if (state.Type === 'Task') {
        const { TimeoutSecondsPath, ...rest } = state;
        states[name] = TimeoutSecondsPath
          ? {
              ...rest,
              TimeoutSecondsPath: `$.${TIMEOUT_KEY}`,
              Parameters: { ...rest.Parameters, [`${TIMEOUT_KEY}.$`]: TimeoutSecondsPath },
            }
          : { ...rest, TimeoutSeconds: rest.TimeoutSeconds ?? NO_TIMEOUT };
        tasks.set(name, this.#task(name, state));
      }
    }
    const prepared = { ...definition, States: states } as unknown as StateMachineDefinition;
    return { machine: new StateMachine(prepared, { validationOptions: { noValidate: true } }), tasks };
  }

  async #runBranches(
    branches: PreparedMachine[],
    input: Json,
    execution: ExecutionRecord,
    stopped: AbortSignal,
  ): Promise<unknown> {
    const failed = new AbortController();
    const signal = AbortSignal.any([stopped, failed.signal]);
    try {
      return await Promise.all(branches.map((branch) => this.#runMachine(branch, input, execution, signal)));
    } finally {
      failed.abort();
    }
  }

  #task(name: string, state: State): Task {
    switch (state.Resource) {
      case 'arn:aws:states:::lambda:invoke':
        return async (parameters, _execution, stopped) => {
          const { FunctionName, Payload } = parameters as { FunctionName: string; Payload?: Json };
          const result = await unlessStopped(stopped, this.#invoke(FunctionName, Payload));
          return checkSize({ ExecutedVersion: '$LATEST', Payload: result, StatusCode: 200 });
        };
      case 'arn:aws:states:::lambda:invoke.waitForTaskToken':
        return async (parameters, execution, stopped) =>
          this.#invokeAndWait(state, parameters, execution, stopped);
      case 'arn:aws:states:::ecs:runTask':
        return async (parameters, _execution, stopped) => {
          const { [TIMEOUT_KEY]: _, ...input } = parameters as Record<string, unknown>;
          return checkSize(capitalised(await unlessStopped(stopped, this.#runTask(uncapitalised(input)))));
        };
      default:
        throw new Error(
          `State ${name}: the resource ${state.Resource} is not supported by the local Step Functions.`,
        );
    }
  }

  async #invoke(functionName: string, payload: Json = {}): Promise<unknown> {
    try {
      const result = await this.#options.invoke(functionName, payload);
      return JSON.parse(JSON.stringify(result ?? null));
    } catch (error) {
      const { name, message } = error as Error;
      throw new TaskFailed(name, JSON.stringify({ errorType: name, errorMessage: message, trace: [] }));
    }
  }

  async #invokeAndWait(
    state: State,
    parameters: Json,
    execution: ExecutionRecord,
    stopped: AbortSignal,
  ): Promise<unknown> {
    const token = this.#newToken(execution.name);
    const text = JSON.stringify(parameters).replaceAll(TOKEN_PLACEHOLDER, token);
    const { FunctionName, Payload, [TIMEOUT_KEY]: timeout } = JSON.parse(text);
    const answer = Promise.withResolvers<unknown>();
    this.#tokens.set(token, answer);
    // The library fails the state when its time is over; by then the token must not be answered any more.
    const expire = () => this.#tokens.delete(token);
    const timer = setTimeout(expire, (state.TimeoutSeconds ?? timeout ?? NO_TIMEOUT) * 1000);
    this.#invoke(FunctionName, Payload).catch(answer.reject);
    try {
      return checkSize(await unlessStopped(stopped, answer.promise));
    } finally {
      clearTimeout(timer);
      expire();
    }
  }

  async #runTask(input: unknown): Promise<unknown> {
    try {
      return await this.#options.runTask(input);
    } catch (error) {
      const { name, message } = error as Error;
      throw new TaskFailed(`ECS.${name}`, message);
    }
  }

  #newToken(executionName: string): string {
    const text = Buffer.from(JSON.stringify([executionName, randomUUID()])).toString('base64url');
    return `${text}.${this.#sign(text).toString('base64url')}`;
  }

  #sign(text: string): Buffer {
    return createHmac('sha256', this.#options.secret).update(text).digest();
  }

  /** Takes the token out, as one is answered once. Throws InvalidToken, TaskDoesNotExist or TaskTimedOut. */
  #waiting(token: string): PromiseWithResolvers<unknown> {
    const waiting = this.#tokens.get(token);
    if (waiting) {
      this.#tokens.delete(token);
      return waiting;
    }
    const [text = '', signature = ''] = token.split('.');
    const given = Buffer.from(signature, 'base64url');
    const expected = this.#sign(text);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      throw new AwsError('InvalidToken', "Invalid Token: 'Invalid token'");
    }
    const [executionName] = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (!this.#read(executionName)) throw new AwsError('TaskDoesNotExist', 'Task does not exist');
    throw new AwsError('TaskTimedOut', "Task Timed Out: 'Provided task does not exist anymore'");
  }
}

/** A task's failure under the name that Retry and Catch match; the message is what they see as Cause. */
class TaskFailed extends Error {
  constructor(name: string, cause: string) {
    super(cause);
    this.name = name;
  }
}

/** The library asks an error these two questions before it retries or catches. */
class Terminal extends Error {
  readonly isRetryable = false;
  readonly isCatchable = false;
}

class Stopped extends Terminal {
  override readonly name = 'Stopped';
}

class DataLimitExceeded extends Terminal {
  override readonly name = 'States.DataLimitExceeded';
}

function checkSize(result: unknown): unknown {
  if (Buffer.byteLength(JSON.stringify(result)) > MAX_DATA) {
    throw new DataLimitExceeded(`The result of a state is larger than ${MAX_DATA} bytes.`);
  }
  return result;
}

function unlessStopped<T>(stopped: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onStop = () => reject(new Stopped());
    stopped.addEventListener('abort', onStop, { once: true });
    work.then(resolve, reject).finally(() => stopped.removeEventListener('abort', onStop));
  });
}

/** Step Functions writes the names of ECS's fields with a capital; ECS's own protocol without. */
const uncapitalised = (value: unknown) =>
  renameKeys(value, (key) => key.charAt(0).toLowerCase() + key.slice(1));
const capitalised = (value: unknown) =>
  renameKeys(value, (key) => key.charAt(0).toUpperCase() + key.slice(1));

function renameKeys(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renameKeys(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .map(([key, item]) => [rename(key), renameKeys(item, rename)]),
  );
}

function parseJson(text: string, code: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new AwsError(code, 'The text is not JSON.');
  }
}
