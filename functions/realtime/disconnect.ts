/** $disconnect: forgets the connection. */
import type { APIGatewayProxyWebsocketHandlerV2 } from 'aws-lambda';
import { deleteConnection, getConnection } from '../core/store.ts';

export const handler: APIGatewayProxyWebsocketHandlerV2 = async ({ requestContext: { connectionId } }) => {
  const executionId = await getConnection(connectionId);
  if (executionId) await deleteConnection(connectionId, executionId);
  return { statusCode: 200 };
};
