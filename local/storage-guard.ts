/** What of the API depends on whether the disk of this machine takes what is written. */
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import type { StorageHealth } from './aws/storage-health.ts';
import type { HttpHandler } from './front.ts';

/** Seconds after which a refused caller may try again. */
const RETRY_AFTER = 10;

/** The handler of a route that starts work: 503 while the disk is in trouble. */
export const startsWork =
  (handler: HttpHandler, storage: StorageHealth): HttpHandler =>
  async (event, context, callback) => {
    if (storage.problem === null) return (await handler(event, context, callback)) ?? {};
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
