/** Calls functions as Lambda does. */
import type { Context, Handler } from 'aws-lambda';

/** bytes, as on AWS */
const MAX_RESULT = 6_291_556;

export interface CallOptions {
  functionName: string;
  requestId: string;
  /** default: 30, as long as API Gateway waits */
  timeoutSeconds?: number;
}

/** Calls an async handler with a context of its own; rejects with what the handler throws. */
export async function callHandler<Event, Result>(
  handler: Handler<Event, Result>,
  event: Event,
  options: CallOptions,
): Promise<Awaited<Result> | undefined> {
  const result = (await handler(event, lambdaContext(options), noCallback)) ?? undefined;
  const body = (result as { body?: string } | undefined)?.body ?? '';
  // Short ones, which are nearly all, need no counting.
  if (body.length > MAX_RESULT / 8 && Buffer.byteLength(JSON.stringify(result)) > MAX_RESULT) {
    throw Object.assign(new Error(`The result is larger than ${MAX_RESULT} bytes.`), {
      name: 'Function.ResponseSizeTooLarge',
    });
  }
  return result;
}

function lambdaContext({ functionName, requestId, timeoutSeconds = 30 }: CallOptions): Context {
  const deadline = performance.now() + timeoutSeconds * 1000;
  return {
    awsRequestId: requestId,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:local:000000000000:function:${functionName}`,
    memoryLimitInMB: '512',
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Math.max(0, deadline - performance.now()),
    done: noCallback,
    fail: noCallback,
    succeed: noCallback,
  };
}

function noCallback(): never {
  throw new Error('Handlers are async functions here: return the result or throw.');
}
