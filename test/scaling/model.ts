/**
 * How far the service scales: what an execution asks of each AWS quota, and at how many executions a second the quota is
 * met. docs/scaling.md shows the tables made here; the test beside holds it to them, and the counts to a real execution.
 */
import { environments } from '../../infra/environments.ts';
import { looksForJob } from '../bench/looks.ts';
import { stateTransitions } from '../bench/transitions.ts';

/** The execution that is counted with: its first program fails, its second works, a page follows it. */
export const typical = {
  attempts: 2,
  generationSeconds: 5,
  /** RunTask to the start of the sandbox program; no warm pool. */
  startSeconds: 30,
  /** The start of the program, the runs, and the end of the task. */
  otherTaskSeconds: 2,
  /** Of all functions but GenerateCode, and but for RunCode's looking. */
  otherFunctionSeconds: 1.5,
  /** From the job to its result, for which RunCode looks itself. */
  runSeconds: 0.2,
  followers: 1,
};

/** Counted in an execution like that, with quotas of callers, without what comes by the second of a generation. */
export const counted = {
  functionInvocations: 14,
  dynamodbWrites: 111,
  dynamodbReads: 26,
  webSocketPosts: 11,
  s3Writes: 3,
  s3Reads: 4,
};

/** A second of generation publishes this many code.delta events at most, each a write, a read and a post. */
const DELTAS = 10;
/** And looks this often whether the execution was cancelled. */
const CANCEL_LOOKS = 1;

/** In 0.2 seconds, with pauses from 40 ms on that grow by 30 %. */
const LOOKS_OF_RUN_CODE = 4;

const { attempts, followers } = typical;
/** Before the sandbox is known to be ready RunCode does not look. */
const looking = attempts - 1;
const generating = attempts * typical.generationSeconds;
/** The first generation goes on while the sandbox starts. */
const serving = (attempts - 1) * typical.generationSeconds + typical.otherTaskSeconds;

export const execution = {
  functionInvocations: counted.functionInvocations + attempts /* CheckCode */ + 1 /* authorizer */,
  functionSeconds: generating + typical.otherFunctionSeconds + looking * typical.runSeconds,
  taskSeconds: typical.startSeconds + serving,
  stateTransitions: stateTransitions(attempts),
  dynamodbWrites: counted.dynamodbWrites + generating * DELTAS,
  dynamodbReads: counted.dynamodbReads + generating * (DELTAS + CANCEL_LOOKS),
  webSocketPosts: counted.webSocketPosts + generating * DELTAS * followers,
  /** The page's: one that starts the execution, and snapshots. */
  httpRequests: 3,
  /** The page's: connect, resume, disconnect. */
  webSocketMessages: 3,
  /** The sandbox uploads that it is ready, and of each run what came of it; of a longer one also that it has begun. */
  s3Writes: counted.s3Writes + 1 + attempts,
  /**
   * It reads its manifest, looks for jobs, and twice a second for an end while code runs; RunCode looks for the result.
   */
  s3Reads:
    counted.s3Reads +
    looking * LOOKS_OF_RUN_CODE +
    1 +
    attempts * looksForJob(typical.generationSeconds) +
    2 * typical.otherTaskSeconds,
};

/** KB of the stored execution, rounded up as DynamoDB does: a prompt of up to a page. */
const ITEM = 2;

const prod = environments.find(({ name }) => name === 'prod');
if (!prod?.limits.concurrency) throw new Error('prod has no limits of concurrency');
const { concurrency, openExecutions, requestsPerSecond } = prod.limits;
/** Seconds that `POST /execute` waits for the end unless it is asked not to, as the page does. */
const WAIT = 20;
/** The upkeep looks every minute at each running task, ten at once, and has 55 seconds for it. */
const UPKEEP = { seconds: 55, secondsEach: 0.02 / 10 };

interface Quota {
  name: string;
  quota: number;
  /** How much of it an execution takes, or holds for a second. */
  each: number;
  of: string;
  /** Whose limit it is. @default - AWS's default for an account in a region */
  ours?: true;
}

export const quotas: Quota[] = [
  { name: 'Fargate: On-Demand vCPUs', quota: 6, each: execution.taskSeconds, of: 'seconds of a vCPU' },
  { name: 'Fargate: task launches a second (burst 100)', quota: 20, each: 1, of: 'launch' },
  { name: 'ECS: RunTask calls a second', quota: 20, each: 1, of: 'call' },
  { name: 'CloudWatch Logs: CreateLogStream a second', quota: 50, each: 1, of: 'stream of a task' },
  { name: 'VPC: network interfaces', quota: 5_000, each: execution.taskSeconds, of: 'seconds of one' },
  {
    name: 'Lambda: concurrent executions',
    quota: 1_000,
    each: execution.functionSeconds,
    of: 'seconds of functions',
  },
  {
    name: `Lambda: the same, callers waiting ${WAIT} s for the result`,
    quota: 1_000,
    each: execution.functionSeconds + WAIT,
    of: 'seconds of functions',
  },
  {
    name: 'prod: `concurrency.generateCode`',
    quota: concurrency.generateCode,
    each: generating,
    of: 'seconds of generation',
    ours: true,
  },
  {
    name: `prod: \`concurrency.execute\`, callers waiting ${WAIT} s`,
    quota: concurrency.execute,
    each: WAIT,
    of: 'seconds of waiting',
    ours: true,
  },
  {
    name: 'prod: `requestsPerSecond`',
    quota: requestsPerSecond,
    each: execution.httpRequests,
    of: 'requests',
    ours: true,
  },
  {
    name: 'prod: `openExecutions`',
    quota: openExecutions,
    each: execution.taskSeconds,
    of: 'seconds under way',
    ours: true,
  },
  {
    name: 'Maintain: running tasks that it can look at',
    quota: UPKEEP.seconds / UPKEEP.secondsEach,
    each: execution.taskSeconds,
    of: 'seconds of a task',
    ours: true,
  },
  {
    name: 'Step Functions: state transitions a second, us-east-1, us-west-2, eu-west-1',
    quota: 5_000,
    each: execution.stateTransitions,
    of: 'transitions',
  },
  {
    name: 'Step Functions: state transitions a second, other regions',
    quota: 800,
    each: execution.stateTransitions,
    of: 'transitions',
  },
  { name: 'Step Functions: StartExecution a second, the three', quota: 300, each: 1, of: 'start' },
  { name: 'Step Functions: StartExecution a second, other regions', quota: 150, each: 1, of: 'start' },
  {
    name: 'Step Functions: SendTaskSuccess a second, the three',
    quota: 500,
    each: attempts,
    of: 'results of runs',
  },
  {
    name: 'Step Functions: SendTaskSuccess a second, other regions',
    quota: 300,
    each: attempts,
    of: 'results of runs',
  },
  {
    name: 'API Gateway: requests and posts to WebSockets a second (burst 5,000)',
    quota: 10_000,
    each: execution.webSocketPosts + execution.httpRequests + execution.webSocketMessages,
    of: 'requests and posts',
  },
  { name: 'API Gateway: new WebSocket connections a second', quota: 500, each: followers, of: 'connection' },
  {
    name: 'DynamoDB: write units a second of a new table',
    quota: 4_000,
    each: execution.dynamodbWrites,
    of: 'write units',
  },
  {
    name: 'DynamoDB: read units a second of a new table',
    quota: 12_000,
    each: execution.dynamodbReads,
    of: 'read units',
  },
  {
    name: 'DynamoDB: write units a second of a table',
    quota: 40_000,
    each: execution.dynamodbWrites,
    of: 'write units',
  },
  {
    name: 'DynamoDB: a partition, `history` of one caller',
    quota: 1_000,
    // Stored, given a sandbox, attempts counted, ended.
    each: (3 + attempts) * ITEM,
    of: 'write units',
  },
  {
    name: 'DynamoDB: a partition, `work` = `warm`',
    quota: 1_000,
    // Planned, its task noted, ready, claimed.
    each: 4 * ITEM,
    of: 'write units',
  },
  {
    name: 'DynamoDB: a partition, `work` = `queued`',
    quota: 1_000,
    // Stored, begun.
    each: 2 * ITEM,
    of: 'write units',
  },
  {
    name: 'DynamoDB: a partition, `SERVICE`',
    quota: 1_000,
    // Counters at the start and the end, twice as a transaction has it; ISOLATION when the sandbox is ready.
    each: 2 * 2 + 1,
    of: 'write units',
  },
  { name: 'EventBridge: invocations a second, smallest regions', quota: 1_100, each: 1, of: 'end of a task' },
  { name: 'S3: reads a second of a prefix', quota: 5_500, each: execution.s3Reads, of: 'reads' },
  { name: 'S3: writes a second of a prefix', quota: 3_500, each: execution.s3Writes, of: 'writes' },
];

/** Executions a second at which a quota is met. */
export const bound = ({ quota, each }: Quota) => quota / each;

const DAY = 86_400;
/** The busiest time has this many times the mean. */
export const PEAK = 5;
/** Executions a second at the busiest time of a day with a million of them. */
export const target = (1_000_000 / DAY) * PEAK;

const grouped = (value: number) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
/** To two digits that count. */
const rough = (value: number) => {
  const digits = Math.max(1 - Math.floor(Math.log10(value)), 0);
  return value >= 100
    ? grouped(Number(value.toPrecision(2)))
    : String(Number(value.toFixed(Math.min(digits, 2))));
};

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '--:'))), ...rows.map(line)].join(
    '\n',
  );
}

/** The tables of docs/scaling.md. */
export const tables = {
  execution: table(
    ['of one execution', 'amount'],
    [
      ['invocations of functions', grouped(execution.functionInvocations)],
      ['seconds of functions', String(execution.functionSeconds)],
      ['seconds of a sandbox (1 vCPU, a network interface)', grouped(execution.taskSeconds)],
      ['state transitions', grouped(execution.stateTransitions)],
      ['write units of DynamoDB', grouped(execution.dynamodbWrites)],
      ['read units of DynamoDB', grouped(execution.dynamodbReads)],
      ['posts to a WebSocket', grouped(execution.webSocketPosts)],
      ['requests to the HTTP API', grouped(execution.httpRequests)],
      ['messages to the WebSocket API', grouped(execution.webSocketMessages)],
      ['writes to S3', grouped(execution.s3Writes)],
      ['reads from S3', grouped(execution.s3Reads)],
    ],
  ),
  bounds: table(
    ['quota', 'default', 'an execution takes', 'met at', 'a day', 'for a million a day'],
    quotas
      .toSorted((a, b) => bound(a) - bound(b))
      .map((quota) => [
        quota.name,
        grouped(quota.quota) + (quota.ours ? ' (ours)' : ''),
        `${quota.each} ${quota.of}`,
        `${rough(bound(quota))}/s`,
        rough((bound(quota) / PEAK) * DAY),
        bound(quota) < target ? `**${grouped(Math.ceil((target * quota.each) / 10) * 10)}**` : 'enough',
      ]),
  ),
};
