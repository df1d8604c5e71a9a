/**
 * Prices of AWS in us-east-1 in US dollars, on demand and without free tiers, as its price pages had them in November
 * 2026. Left out is what does not differ between designs or is a small part of a cent: logs, traces, storage, traffic.
 */
const HOUR = 3600;
const MILLION = 1_000_000;

export const PRICES_OF = 'November 2026';

export const prices = {
  /** Fargate on ARM, by the second, at least a minute a task. */
  fargateCpuSecond: 0.03238 / HOUR,
  fargateGibSecond: 0.00356 / HOUR,
  fargateMinimumSeconds: 60,
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

/** The sizes in infra/environments.ts and infra/constructs/functions.ts. */
const TASK = { cpus: 1, gib: 2 };
const FUNCTION_GIB = 0.5;

export const taskSecondPrice = TASK.cpus * prices.fargateCpuSecond + TASK.gib * prices.fargateGibSecond;

/** What the amounts cost, in US dollars: the tasks, and all the rest. */
export function cost(amounts: Amounts): { tasks: number; rest: number } {
  const billed = amounts.taskSeconds.map((seconds) =>
    Math.max(Math.ceil(seconds), prices.fargateMinimumSeconds),
  );
  return {
    tasks: billed.reduce((sum, seconds) => sum + seconds * taskSecondPrice, 0),
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
