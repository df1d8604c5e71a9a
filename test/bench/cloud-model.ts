/**
 * How long an execution takes on AWS, and what each measure gives: many executions simulated step by step, each call by a
 * stated distribution of its time. Seeded, so that the same numbers come every time; docs/scaling.md shows the tables, and
 * test/scaling holds it to them. `npm run bench` prints them.
 *
 * The times are assumptions, stated here, until someone measures an environment: change them, and all follows.
 */
import { amountsOf, cost, taskSecondPrice } from '../../functions/execution/prices.ts';
import { random } from '../support/random.ts';
import { FASTEST, MEDIAN, SLOWEST, SPREAD } from './fargate.ts';

/** Milliseconds: the median, and what one in twenty takes at least. Log-normal between. */
const TIMES = {
  /** What an HTTP API adds to its function. */
  apiGateway: [15, 40],
  /** Calling a function that is warm, and what Node does around the handler. */
  functionWarm: [10, 30],
  /** Beside that, where it is cold: a Node runtime, and 0.1 s of importing (the bundles' table of `npm run bench`). */
  functionCold: [550, 900],
  /** "Consistent single-digit millisecond response times." */
  dynamodb: [5, 15],
  /** A transaction: a write in two phases. */
  transaction: [10, 30],
  /** A small object, from a function in the same region. */
  s3: [40, 120],
  /** From an upload to the function: "typically delivered in seconds but can sometimes take a minute or longer". */
  s3Event: [1_000, 3_000],
  /** From the end of one state to the begin of the next. */
  transition: [25, 60],
  /** StartExecution, SendTaskSuccess. */
  stepFunctions: [40, 100],
  runTask: [600, 1_200],
  /** The sandbox program, from its start to being ready, on one vCPU. */
  sandboxReady: [2_500, 4_000],
  generation: [5_000, 8_000],
  /** The program that was written. */
  run: [300, 2_000],
} as const satisfies Record<string, readonly [median: number, p95: number]>;
type Step = keyof typeof TIMES;

/** One event of S3 in so many takes a minute. */
const LATE_EVENT = 1_000;
const LATE_EVENT_MS = 60_000;
/** RunCode's looks; see functions/execution/result-patience.ts. */
const LOOKS = { limit: 5_000, firstPause: 40, longestPause: 400, growth: 1.3 };
/** A sandbox looks for its job when it has waited a tenth longer; milliseconds at most, before and after it has had one. */
const SANDBOX_LOOKS = { pause: 0.1, longest: 1_000, longestWhenClaimed: 100 };
/** A run on Spot in so many is lost, and done again in a new sandbox. */
const INTERRUPTED = 2_000;

const SAMPLES = 2_000;
const ATTEMPTS = [1, 2, 3];

export interface Measures {
  /** RunCode looks for the result itself. */
  looks: boolean;
  /** One branch of the workflow goes through all attempts; before, each began and ended with a Parallel state. */
  fewStates: boolean;
  /** A state reads once and writes once, and short code goes along to CheckCode. */
  fewCalls: boolean;
  /** Milliseconds off the start of a task: of a smaller or faster image. */
  fasterStart?: number;
  spot?: boolean;
}
const NONE: Measures = { looks: false, fewStates: false, fewCalls: false };
const NOW: Measures = { looks: true, fewStates: true, fewCalls: true, spot: true };

/**
 * One execution; `warm`: its functions are, and a sandbox is there. What takes longest is drawn from `long`, always as
 * often, so that two ways of doing things are compared on the same executions.
 */
function simulate(
  attempts: number,
  warm: boolean,
  measures: Measures,
  long: () => number,
  next: () => number,
): number {
  const normal = (of = next) => Math.sqrt(-2 * Math.log(1 - of())) * Math.cos(2 * Math.PI * of());
  const take = (step: Step, times = 1, of = next) => {
    const [median, p95] = TIMES[step];
    let sum = 0;
    for (let n = 0; n < times; n += 1)
      sum += median * Math.exp((Math.log(p95 / median) / 1.645) * normal(of));
    return sum;
  };
  const called = new Set<string>();
  const call = (name: string) => {
    const cold = !warm && !called.has(name);
    called.add(name);
    return take('functionWarm') + (cold ? take('functionCold') : 0);
  };
  const fargate = Math.min(Math.max(MEDIAN * Math.exp(SPREAD * normal(long)), FASTEST), SLOWEST) * 1000;
  const drawn = Array.from({ length: attempts + 1 }, () => ({
    event: long() * LATE_EVENT < 1 ? LATE_EVENT_MS : 0,
    eventUsually: take('s3Event', 1, long),
    generation: take('generation', 1, long),
    run: take('run', 1, long),
    pickedUp: long(),
    isInterrupted: long() * INTERRUPTED < 1,
  }));
  /** How long after an upload it is taken in by CollectResult; `of`: an attempt's, 0 for the word that the sandbox is ready. */
  const collected = (of: number) =>
    (drawn[of]?.event || drawn[of]?.eventUsually || 0) +
    call('collect-result') +
    take('dynamodb', 4) +
    take('s3') +
    take('stepFunctions');

  const { fewCalls } = measures;
  const move = () => (fewCalls ? take('transaction') : take('dynamodb', 2));
  let now = take('apiGateway') + call('execute') + take('dynamodb', 3) + take('stepFunctions');
  now += take('transition');
  const acquired = now + take('transition') + call('acquire-sandbox') + take('dynamodb', 5) + take('s3');
  const start = () =>
    take('transition', 2) + take('runTask') + fargate - (measures.fasterStart ?? 0) + take('sandboxReady');
  const ready = warm ? acquired : acquired + start();
  // That it is ready is known when its event has come.
  const knownReady = warm ? 0 : ready + collected(0);
  let idleSince = ready;

  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const { generation = 0, run = 0, pickedUp = 0, isInterrupted = false } = drawn[attempt] ?? {};
    now += take('transition') + call('generate-code') + take('dynamodb', fewCalls ? 2 : 1) + move();
    now += generation + (fewCalls ? 0 : take('s3')) + move();
    now += take('transition', 2) + call('check-code') + (fewCalls ? 0 : take('s3')) + 20;
    now += take('transition', measures.fewStates ? 2 : 4);
    now += call('run-code') + take('dynamodb', fewCalls ? 1 : 2) + move() + take('s3');
    const put = now;
    const begun = Math.max(put, ready);
    const waited = Math.max(begun - idleSince, 0);
    const longest = warm || attempt > 1 ? SANDBOX_LOOKS.longestWhenClaimed : SANDBOX_LOOKS.longest;
    const pause = Math.min(SANDBOX_LOOKS.pause * waited, longest);
    let done = begun + pickedUp * pause + take('s3', 2) + run + take('s3');
    if (measures.spot && !warm && isInterrupted) done += start();
    const looksUntil = measures.looks && put >= knownReady ? put + LOOKS.limit : put;
    idleSince = done;
    now =
      done <= looksUntil
        ? look(put, done, () => take('s3')) +
          (fewCalls ? 0 : take('dynamodb', 2)) +
          move() +
          take('stepFunctions')
        : done + collected(attempt);
    now += take('transition');
    if (attempt < attempts && !measures.fewStates) now += take('transition');
  }
  return (
    now +
    take('transition', measures.fewStates ? 3 : 1) +
    call('finish-execution') +
    take('dynamodb', 2) +
    move()
  );
}

/** When a result that is there at `done` is seen by who begins to look at `from`. */
function look(from: number, done: number, takes: () => number): number {
  let at = from;
  for (let pause = LOOKS.firstPause; ; pause = Math.min(pause * LOOKS.growth, LOOKS.longestPause)) {
    at += pause;
    const asked = at;
    at += takes();
    if (asked >= done) return at;
  }
}

const known = new Map<string, { p50: number; p95: number }>();

/** Seconds: what half of the executions, and 95 in a hundred, take at most. */
export function times(attempts: number, warm: boolean, measures: Measures): { p50: number; p95: number } {
  const key = JSON.stringify([attempts, warm, measures]);
  const found = known.get(key);
  if (found) return found;
  const long = random(attempts);
  const next = random(1_000 + attempts);
  const all = Array.from(
    { length: SAMPLES },
    () => simulate(attempts, warm, measures, long, next) / 1000,
  ).sort((a, b) => a - b);
  const result = { p50: all[SAMPLES * 0.5] ?? Number.NaN, p95: all[SAMPLES * 0.95] ?? Number.NaN };
  known.set(key, result);
  return result;
}

const OFFICE = { hoursAWeek: 50, executionsAnHour: 5 };
const IN_USE_MINUTES = 15;
const MONTH_HOURS = 730;

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '--:'))), ...rows.map(line)].join(
    '\n',
  );
}

const shown = ({ p50, p95 }: { p50: number; p95: number }) => `${p50.toFixed(1)} / ${p95.toFixed(1)}`;
const row = (name: string, warm: boolean, measures: Measures) => [
  name,
  ...ATTEMPTS.map((attempts) => shown(times(attempts, warm, measures))),
];

/** What was billed for an execution before the workflow and RunCode were changed. */
const transitionsBefore = (attempts: number) => 3 + 12 * attempts;

function billed(attempts: number, { fewStates, fewCalls, spot = false }: Measures) {
  const amounts = amountsOf({
    attempts,
    generationSeconds: 5 * attempts,
    sandboxSeconds: 35 + 6 * (attempts - 1),
  });
  if (!fewStates) {
    amounts.stateTransitions = transitionsBefore(attempts);
    // Each attempt had AcquireSandbox called, and RunCode did not look.
    amounts.functionInvocations += attempts - 1;
    amounts.functionSeconds -= 0.5 * attempts;
    amounts.s3Reads -= 4 * (attempts - 1);
  }
  if (!fewCalls) {
    // The begin of each run and our own end of the sandbox were told, and code was stored twice and fetched.
    amounts.functionInvocations += attempts + 1;
    amounts.s3Writes += 2 * attempts;
    amounts.s3Reads += 2 * attempts;
    // Events were written and followers looked up one by one.
    amounts.dynamodbWrites -= 5 + 14 * attempts;
    amounts.dynamodbReads += 10 + 7 * attempts;
  }
  const { tasks, rest } = cost(amounts, { cpus: 1, gib: 2, architecture: 'ARM64', spot });
  return { ...amounts, cents: 100 * (tasks + rest) };
}

export const modelTables = () => {
  const plural = (n: number) => `${n} attempt${n > 1 ? 's' : ''}`;
  const [before, now] = [NONE, NOW].map((measures) => ATTEMPTS.map((n) => billed(n, measures)));
  const amount = (name: string, of: (one: ReturnType<typeof billed>) => string) => [
    name,
    ...ATTEMPTS.map((_, at) => [before?.[at], now?.[at]].map((one) => one && of(one)).join(' → ')),
  ];
  const cold = (measures: Measures) => shown(times(2, false, measures));
  const warmHour = taskSecondPrice() * 3600;
  const usd = (hours: number) => `${(warmHour * hours).toFixed(0)} USD a month`;
  const hitInUse = 1 - Math.exp((-OFFICE.executionsAnHour * IN_USE_MINUTES) / 60);
  const officeHours = (OFFICE.hoursAWeek * 52) / 12;
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  return {
    times: table(
      ['seconds to the result, p50 / p95', ...ATTEMPTS.map(plural)],
      [
        row('warm, before', true, NONE),
        row('warm, RunCode looks itself', true, { ...NONE, looks: true }),
        row('warm, fewer states', true, { ...NONE, fewStates: true }),
        row('warm, fewer calls', true, { ...NONE, fewCalls: true }),
        row('**warm, all: now**', true, NOW),
        row('cold, before', false, NONE),
        row('cold, RunCode looks itself', false, { ...NONE, looks: true }),
        row('cold, fewer states', false, { ...NONE, fewStates: true }),
        row('cold, fewer calls', false, { ...NONE, fewCalls: true }),
        row('**cold, all: now**', false, NOW),
      ],
    ),
    billed: table(
      ['billed, before → now (cold)', ...ATTEMPTS.map(plural)],
      [
        amount('state transitions', (one) => one.stateTransitions.toFixed(0)),
        amount('invocations of functions', (one) => one.functionInvocations.toFixed(0)),
        amount('requests to S3', (one) => (one.s3Reads + one.s3Writes).toFixed(0)),
        amount('US cents, without the model', (one) => one.cents.toFixed(3)),
      ],
    ),
    weighed: table(
      ['measure', 'gives', 'costs', 'done'],
      [
        [
          'Fargate Spot for cold sandboxes',
          `${billed(2, { ...NOW, spot: false }).cents.toFixed(3)} → ${billed(2, NOW).cents.toFixed(3)} cents for two attempts`,
          `one run in ${INTERRUPTED} is done again`,
          'yes',
        ],
        [
          'layers compressed with zstd (a quarter off a pull of 9 s)',
          `cold ${cold(NOW)} → ${cold({ ...NOW, fasterStart: 2_400 })} s`,
          'a registry push beside the CDK, which loads the image into Docker first',
          'no',
        ],
        [
          'SOCI index (half of a pull of 9 s)',
          `cold ${cold(NOW)} → ${cold({ ...NOW, fasterStart: 4_500 })} s`,
          'a builder of indexes in every account; pages of files come while the code runs',
          'no',
        ],
        ['one warm sandbox, always', 'every execution warm', usd(MONTH_HOURS), 'where `warm` is set'],
        [
          `one in office hours (${OFFICE.hoursAWeek} a week)`,
          'every execution in them warm',
          usd(officeHours),
          '`warmHours`',
        ],
        [
          `one for ${IN_USE_MINUTES} minutes after each execution (${OFFICE.executionsAnHour} an hour)`,
          `${percent(hitInUse)} of the executions warm`,
          usd(officeHours * hitInUse),
          'no: less for a like price',
        ],
        [
          'SnapStart for CheckCode (Node.js has none)',
          'at most 0.3 s of the first execution after a while',
          `${(0.5 * 0.0000015046 * 3600 * MONTH_HOURS).toFixed(0)} USD a month`,
          'no',
        ],
        [
          'no source maps in functions',
          '0.02 s of each cold start of a function',
          'stack traces that say where',
          'no',
        ],
      ],
    ),
  };
};

export function printModel(): void {
  process.stdout.write(
    `\nThe cloud, modelled: ${SAMPLES.toLocaleString('en')} executions each, times as stated in test/bench/cloud-model.ts\n\n` +
      `${Object.values(modelTables()).join('\n\n')}\n\n`,
  );
}
