/** What of the API depends on whether the disk of this machine takes what is written. */
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import type { StorageHealth } from './aws/storage-health.ts';
import type { WebSocketHandler } from './aws/websocket.ts';
import type { HttpHandler } from './front.ts';

/** Seconds after which a refused caller may try again. */
const RETRY_AFTER = 10;

/**
 * The handler of a route: 503 if it fails for the disk. One that `startsWork` is not even tried while the disk is in
 * trouble.
 */
export const tellsOfDisk =
  (handler: HttpHandler, storage: StorageHealth, { startsWork = false } = {}): HttpHandler =>
  async (event, context, callback) => {
    if (!startsWork || storage.problem === null) {
      const answer = (await handler(event, context, callback)) ?? {};
      const isFailure = typeof answer === 'object' && answer.statusCode === 500;
      if (!isFailure || storage.problem === null) return answer;
    }
    return {
      statusCode: 503,
      headers: {
        'content-type': 'application/problem+json',
        'cache-control': 'no-store',
        'retry-after': String(RETRY_AFTER),
      },
      body: JSON.stringify({
        type: 'urn:recursive-ai-executor:problem:storage-full',
        title: 'No room left',
        status: 503,
        detail: storage.problem,
        request_id: event.requestContext.requestId,
      }),
    };
  };

/** The handler of a WebSocket's $connect: 503 if it fails for the disk. */
export const connectsUnlessFull =
  (handler: WebSocketHandler, storage: StorageHealth): WebSocketHandler =>
  async (event, context, callback) => {
    try {
      return (await handler(event, context, callback)) ?? {};
    } catch (error) {
      if (storage.problem === null) throw error;
      return { statusCode: 503 };
    }
  };

/** The handler of /health: unhealthy, and why, while the disk is in trouble. */
export const tellsHealth =
  (handler: HttpHandler, storage: StorageHealth): HttpHandler =>
  async (event, context, callback) => {
    const healthy = (await handler(event, context, callback)) as APIGatewayProxyStructuredResultV2;
    if (storage.problem === null) return healthy;
    const body = { ...JSON.parse(healthy.body ?? '{}'), status: 'unhealthy', problem: storage.problem };
    const headers = { ...healthy.headers, 'retry-after': String(RETRY_AFTER) };
    return { ...healthy, statusCode: 503, headers, body: JSON.stringify(body) };
  };
