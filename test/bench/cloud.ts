/**
 * The product as it would be in the cloud, in three designs side by side: the local ECS takes as long as Fargate to
 * start a task, and the model five seconds for a program. In real time, with many executions under way at once.
 *
 *   one task per attempt          the code of an attempt is written, a task is started for it, it runs
 *   one sandbox per execution     the product with an empty warm pool
 *   warm pool                     the product with a warm sandbox for each execution
 *
 * Of the first one only single attempts are measured, each an execution whose model begins when its sandbox is ready;
 * what takes several attempts takes their sum.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeTasksCommand } from '@aws-sdk/client-ecs';
import { type Amounts, cost, PRICES_OF, taskSecondPrice } from '../../functions/execution/prices.ts';
import { maintainWarmPool } from '../../functions/sandbox/warm-pool.ts';
import { ecs } from '../../functions/service/aws.ts';
import { config } from '../../functions/service/config.ts';
import { python } from '../support/model-server.ts';
import type { Product } from '../support/product.ts';
import { getExecution, getSandbox, listWarmSandboxes } from '../support/store.ts';
import { START_TIMES, type TaskStarts } from './fargate.ts';
import { looksForJob } from './looks.ts';
import { report } from './measure.ts';
import { stateTransitions } from './transitions.ts';
import { callsOf, sum, UsageMeter } from './usage.ts';

const ATTEMPTS = [1, 2, 3, 5];
const TYPICAL_START = 30;
const GENERATION_SECONDS = 5;
const PIECES = 50;
/** Milliseconds between the begins of executions, so that this machine does not have to start many sandboxes at once. */
const SPACING = 1000;
/** Seconds of CheckCode, whose calls are not seen here. */
const CHECK_SECONDS = 0.02;

const program = (lastLine: string) =>
  [
    'import statistics',
    '',
    '',
    'def describe(values: list[float]) -> dict[str, float]:',
    '    """The mean, the median and the standard deviation of some values."""',
    '    return {',
    '        "mean": statistics.mean(values),',
    '        "median": statistics.median(values),',
    '        "deviation": statistics.stdev(values),',
    '    }',
    '',
    '',
    'for name, value in describe([1.5, 2.5, 4.0, 8.0, 16.0]).items():',
    '    print(f"{name}: {value:.2f}")',
    lastLine,
  ].join('\n');
const FAILS = program('print(describe([]))');
const WORKS = program('print("done")');

interface Measured {
  seconds: number;
  amounts: Amounts;
}

/** `measured` resolves when the execution has ended. */
interface Begun {
  measured: Promise<Measured>;
}

export async function benchCloud(product: Product, starts: TaskStarts): Promise<void> {
  const meter = await UsageMeter.start();
  const inOrder = async <T>(items: readonly T[], begin: (item: T) => Promise<Begun>) => {
    const begun: Begun[] = [];
    for (const item of items) {
      begun.push(await begin(item));
      await sleep(SPACING);
    }
    return begun;
  };
  const begin = (attempts: number, options: { warm: boolean; sequential?: boolean }) =>
    beginExecution(product, meter, attempts, options);

  await fillWarmPool(ATTEMPTS.length);
  starts.others = TYPICAL_START;
  const warm = await inOrder(ATTEMPTS, (attempts) => begin(attempts, { warm: true }));
  process.env.WARM_SANDBOXES = '0';
  const cold: Begun[][] = [];
  const single: Begun[] = [];
  for (const start of START_TIMES) {
    const after = async (work: () => Promise<Begun>) => {
      const asked = starts.next(start);
      const begun = await work();
      await asked;
      return begun;
    };
    cold.push(await inOrder(ATTEMPTS, (attempts) => after(() => begin(attempts, { warm: false }))));
    single.push(...(await inOrder([1], () => after(() => begin(1, { warm: false, sequential: true })))));
  }

  const results = ({ measured }: Begun) => measured;
  const warmResults = await Promise.all(warm.map(results));
  const coldResults = await Promise.all(cold.map((row) => Promise.all(row.map(results))));
  const singleResults = await Promise.all(single.map(results));
  print(singleResults, coldResults, warmResults);
}

/** Begins an execution and returns when its sandbox is claimed, or its task is about to be started. */
async function beginExecution(
  product: Product,
  meter: UsageMeter,
  attempts: number,
  { warm, sequential = false }: { warm: boolean; sequential?: boolean },
): Promise<Begun> {
  const prompt = `Task ${crypto.randomUUID()}.`;
  const ready = Promise.withResolvers<unknown>();
  const reply = (code: string) => {
    const text = python(code);
    return {
      text,
      pieceSize: Math.ceil(text.length / PIECES),
      pieceDelay: (GENERATION_SECONDS * 1000) / PIECES,
      gate: sequential ? ready.promise : undefined,
    };
  };
  const codes = Array.from({ length: attempts }, (_, n) => (n + 1 < attempts ? FAILS : WORKS));
  product.model.replyTo(prompt, ...codes.map(reply));
  const execution = await product.start({ prompt, max_retries: attempts });
  const follower = product.follow(execution);
  const isReady = follower.seen(({ type }) => type === 'sandbox.ready');
  isReady.then(ready.resolve, ready.reject);
  if (warm) await isReady;
  const measure = async () => {
    await follower.ended;
    follower.close();
    const ended = await product.get(execution.execution_id);
    if (!ended.success || ended.attempts !== attempts) throw new Error(`not as scripted: ${ended.error}`);
    const amounts = await amountsOf(meter, execution.execution_id, { attempts, warm });
    return { seconds: ended.total_time ?? Number.NaN, amounts };
  };
  return { measured: measure() };
}

async function amountsOf(
  meter: UsageMeter,
  executionId: string,
  { attempts, warm }: { attempts: number; warm: boolean },
): Promise<Amounts> {
  const execution = await getExecution(executionId);
  const sandbox = await getSandbox(execution?.sandbox_id ?? '');
  if (!execution?.finished_at || !sandbox?.task_arn) throw new Error('the execution had no sandbox');
  const task = await stopped(sandbox.task_arn);
  // A warm sandbox waits on the account of the pool, and was started without delay only here.
  const served = task.stoppedAt - Math.max(task.startedAt, Date.parse(execution.created_at) / 1000);
  const starting = warm ? TYPICAL_START : task.startedAt - task.createdAt;
  const usage = meter.of(executionId, sandbox.sandbox_id);
  return {
    taskSeconds: [starting + served],
    functionInvocations: sum(usage.invocations) + attempts,
    functionSeconds: usage.functionSeconds + attempts * CHECK_SECONDS,
    stateTransitions: stateTransitions(attempts),
    dynamodbWrites: usage.writeUnits,
    dynamodbReads: usage.readUnits,
    // Beside the functions' calls: what the sandbox uploads; its manifest, the code for CheckCode, and its looks for jobs.
    s3Writes: callsOf(usage, 'S3 Put') + 1 + 2 * attempts,
    s3Reads: callsOf(usage, 'S3 Get', 'S3 Head') + 1 + attempts + attempts * looksForJob(served / attempts),
    apiRequests: 1,
    webSocketMessages: callsOf(usage, 'WebSocket') + 2,
  };
}

/** A task that has ended or is about to; times in seconds since the epoch. */
async function stopped(taskArn: string) {
  for (;;) {
    const command = new DescribeTasksCommand({ cluster: config.sandboxCluster, tasks: [taskArn] });
    const [task] = (await ecs.send(command)).tasks ?? [];
    const { createdAt, startedAt, stoppedAt } = task ?? {};
    if (createdAt && startedAt && stoppedAt) {
      const seconds = (date: Date) => date.getTime() / 1000;
      return {
        createdAt: seconds(createdAt),
        startedAt: seconds(startedAt),
        stoppedAt: seconds(stoppedAt),
      };
    }
    await sleep(50);
  }
}

async function fillWarmPool(size: number): Promise<void> {
  process.env.WARM_SANDBOXES = String(size);
  await maintainWarmPool();
  const ready = async () => (await listWarmSandboxes()).filter(({ status }) => status === 'ready').length;
  while ((await ready()) < size) await sleep(50);
}

function print(single: Measured[], cold: Measured[][], warm: Measured[]): void {
  const line = (text = '') => process.stdout.write(`${text}\n`);
  const row = (name: string, cells: string[]) =>
    line(`  ${name.padEnd(44)}${cells.map((cell) => cell.padStart(11)).join('')}`);
  const seconds = (results: number[]) => results.map((value) => `${value.toFixed(1)} s`);
  const perAttempt = single.map(({ seconds: one }) => ATTEMPTS.map((attempts) => attempts * one));
  const typical = START_TIMES.indexOf(TYPICAL_START);

  line();
  line(
    `Cloud model: generations of ${GENERATION_SECONDS} s; a task's start as on Fargate, log-normal about ` +
      `${TYPICAL_START} s within 20 to 60 s: the middles of its thirds`,
  );
  row(
    'time to result',
    ATTEMPTS.map((n) => `${n} attempt${n > 1 ? 's' : ''}`),
  );
  START_TIMES.forEach((start, at) => {
    row(`one task per attempt, start ${start.toFixed(0)} s`, seconds(perAttempt[at] ?? []));
  });
  START_TIMES.forEach((start, at) => {
    row(
      `one sandbox per execution, start ${start.toFixed(0)} s`,
      seconds((cold[at] ?? []).map((one) => one.seconds)),
    );
  });
  row('warm pool', seconds(warm.map((one) => one.seconds)));

  const rests = (cold[typical] ?? []).map(({ amounts }) => amounts);
  const [taskOfAttempt = Number.NaN] = single[typical]?.amounts.taskSeconds ?? [];
  const separate = ATTEMPTS.map((attempts, at) => ({
    ...(rests[at] as Amounts),
    taskSeconds: Array<number>(attempts).fill(taskOfAttempt),
  }));
  const cents = (amounts: Amounts[]) =>
    amounts.map((one) => {
      const { tasks, rest } = cost(one);
      return `${((tasks + rest) * 100).toFixed(3)} ¢`;
    });
  line();
  line(`Cost at a start of ${TYPICAL_START} s, without the model; prices of ${PRICES_OF}`);
  row('one task per attempt', cents(separate));
  row('one sandbox per execution', cents(rests));
  row('warm pool', cents(warm.map(({ amounts }) => amounts)));
  row('  of it all but the task', [
    ...warm.map(({ amounts }) => `${(cost(amounts).rest * 100).toFixed(3)} ¢`),
  ]);
  line(`  and ${(taskSecondPrice() * 3600 * 730).toFixed(0)} USD a month for each sandbox that is kept warm`);
  line();

  const three = ATTEMPTS.indexOf(3);
  const of = (results: Measured[] | undefined) => results?.[three]?.seconds ?? Number.NaN;
  const [apart = Number.NaN, own, ready] = [perAttempt[typical]?.[three], of(cold[typical]), of(warm)];
  report(
    `three attempts with a start of ${TYPICAL_START} s and generations of ${GENERATION_SECONDS} s: under 50 s, warm under 25 s`,
    `${own.toFixed(1)} s, warm ${ready.toFixed(1)} s (one task per attempt: ${apart.toFixed(1)} s)`,
    own < 50 && ready < 25,
  );
}
