/** $disconnect: forgets the connection. */
import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import { gatewayHandler } from '../http/middleware.ts';
import { deleteConnection, getConnection } from '../service/store.ts';

export const handler = gatewayHandler(async (event: APIGatewayProxyWebsocketEventV2) => {
  const { connectionId } = event.requestContext;
  const executionId = await getConnection(connectionId);
  if (executionId) await deleteConnection(connectionId, executionId);
  return { statusCode: 200 };
});
