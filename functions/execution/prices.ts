/**
 * Prices of AWS in us-east-1 in US dollars, on demand and without free tiers, as its price pages had them in November
 * 2026: other regions cost up to a third more. Left out is what is a small part of a cent: logs, traces, storage, traffic.
 * `/metrics` and the dashboard estimate with them, and `npm run bench`.
 */
const HOUR = 3600;
const MILLION = 1_000_000;

export const PRICES_OF = 'us-east-1, November 2026';

export const prices = {
  /** Fargate, by the second, at least a minute a task. */
  fargate: {
    ARM64: { cpuSecond: 0.03238 / HOUR, gibSecond: 0.00356 / HOUR },
    X86_64: { cpuSecond: 0.04048 / HOUR, gibSecond: 0.004445 / HOUR },
    minimumSeconds: 60,
    /** Spot's price goes with demand; its part of the price on demand, "up to 70 %" off. */
    spotPart: 0.35,
  },
  /** Lambda on ARM. */
  lambdaGibSecond: 0.0000133334,
  lambdaRequest: 0.2 / MILLION,
  /** Step Functions, standard workflows. */
  stateTransition: 25 / MILLION,
  dynamodbWrite: 0.625 / MILLION,
  dynamodbRead: 0.125 / MILLION,
  /** S3: PUT, POST, LIST; GET, HEAD. */
  s3Write: 5 / MILLION,
  s3Read: 0.4 / MILLION,
  /** API Gateway: requests of HTTP APIs, messages of WebSocket APIs. */
  apiRequest: 1 / MILLION,
  webSocketMessage: 1 / MILLION,
};

/** What an execution used. */
export interface Amounts {
  /** of its sandbox's task, one or several */
  taskSeconds: number[];
  functionInvocations: number;
  functionSeconds: number;
  stateTransitions: number;
  dynamodbWrites: number;
  dynamodbReads: number;
  s3Writes: number;
  s3Reads: number;
  apiRequests: number;
  webSocketMessages: number;
}

export interface TaskSize {
  cpus: number;
  gib: number;
  architecture: 'ARM64' | 'X86_64';
  spot?: boolean;
}

/** As infra/environments.ts has it. */
const USUAL_TASK: TaskSize = { cpus: 1, gib: 2, architecture: 'ARM64' };
/** As infra/constructs/functions.ts has it. */
const FUNCTION_GIB = 0.5;

/** US dollars. */
export function taskSecondPrice({ cpus, gib, architecture, spot = false }: TaskSize = USUAL_TASK): number {
  const { cpuSecond, gibSecond } = prices.fargate[architecture];
  return (cpus * cpuSecond + gib * gibSecond) * (spot ? prices.fargate.spotPart : 1);
}

/** What the amounts cost, in US dollars: the tasks, and all the rest. */
export function cost(amounts: Amounts, task: TaskSize = USUAL_TASK): { tasks: number; rest: number } {
  const billed = amounts.taskSeconds.map((seconds) =>
    Math.max(Math.ceil(seconds), prices.fargate.minimumSeconds),
  );
  return {
    tasks: billed.reduce((sum, seconds) => sum + seconds * taskSecondPrice(task), 0),
    rest:
      amounts.functionInvocations * prices.lambdaRequest +
      amounts.functionSeconds * FUNCTION_GIB * prices.lambdaGibSecond +
      amounts.stateTransitions * prices.stateTransition +
      amounts.dynamodbWrites * prices.dynamodbWrite +
      amounts.dynamodbReads * prices.dynamodbRead +
      amounts.s3Writes * prices.s3Write +
      amounts.s3Reads * prices.s3Read +
      amounts.apiRequests * prices.apiRequest +
      amounts.webSocketMessages * prices.webSocketMessage,
  };
}

/** What an execution was, as far as its records say. */
export interface Course {
  attempts: number;
  /** Seconds in which the model wrote, in all. */
  generationSeconds: number;
  /** Seconds from the request for its sandbox, or from its own begin if it got a warm one, to its end. */
  sandboxSeconds: number;
}

/**
 * What an execution of such a course uses, a page following it. Counted once, not measured: test/scaling holds the counts
 * to a real execution. `attempts` × what each attempt takes, beside what every execution does.
 */
export function amountsOf({ attempts, generationSeconds, sandboxSeconds }: Course): Amounts {
  /** A second of generation publishes this many events. */
  const deltas = generationSeconds * 10;
  const posts = 3 + 4 * attempts + deltas;
  return {
    taskSeconds: sandboxSeconds > 0 ? [sandboxSeconds] : [],
    functionInvocations: 9 + 4 * attempts,
    functionSeconds: generationSeconds + 0.5 + 0.6 * attempts,
    stateTransitions: 8 + 6 * attempts,
    // A move is a transaction, which costs twice the units.
    dynamodbWrites: 37 + 37 * attempts + deltas,
    dynamodbReads: 10 + 8 * attempts + deltas + generationSeconds,
    s3Writes: 2 + 2 * attempts,
    s3Reads: 1 + 56 * attempts,
    apiRequests: 3,
    webSocketMessages: 3 + posts,
  };
}
