/** $connect of /ws?execution=…&ticket=…: lets in who holds the execution's ticket. */
import type { APIGatewayProxyWebsocketHandlerV2 } from 'aws-lambda';
import { opens } from '../core/access.ts';
import { logger } from '../core/logger.ts';
import { createConnection, getExecution } from '../core/store.ts';

/** $connect has the query, which the type of a WebSocket event leaves out. */
interface ConnectEvent {
  queryStringParameters?: { execution?: string; ticket?: string };
}

export const handler: APIGatewayProxyWebsocketHandlerV2 = async (event) => {
  const { execution: id, ticket } = (event as ConnectEvent).queryStringParameters ?? {};
  if (!id || !ticket) return { statusCode: 401 };
  const execution = await getExecution(id);
  if (!execution || !opens(ticket, execution)) return { statusCode: 403 };
  await createConnection(event.requestContext.connectionId, id);
  logger.info('connected', { execution_id: id });
  return { statusCode: 200 };
};
