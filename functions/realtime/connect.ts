/** $connect of /ws?execution=…&ticket=…: lets in who holds the execution's ticket and comes through CloudFront. */
import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import { opens } from '../callers/access.ts';
import { createConnection } from '../events/connections.ts';
import { getExecution } from '../execution/records.ts';
import { gatewayHandler } from '../http/middleware.ts';
import { cameThroughCloudFront } from '../http/origin.ts';
import { logger } from '../service/logger.ts';

/** $connect has the query and the headers, which the type of a WebSocket event leaves out. */
interface ConnectEvent {
  headers?: Record<string, string>;
  queryStringParameters?: { execution?: string; ticket?: string };
}

export const handler = gatewayHandler(async (event: APIGatewayProxyWebsocketEventV2) => {
  const { headers = {}, queryStringParameters = {} } = event as ConnectEvent;
  if (!cameThroughCloudFront(headers)) return { statusCode: 403 };
  const { execution: id, ticket } = queryStringParameters;
  if (!id || !ticket) return { statusCode: 401 };
  const execution = await getExecution(id);
  if (!execution || !opens(ticket, execution)) return { statusCode: 403 };
  await createConnection(event.requestContext.connectionId, id);
  logger.info('connected', { execution_id: id });
  return { statusCode: 200 };
});
