/** $disconnect: forgets the connection. */
import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import { forgetConnection } from '../events/feed.ts';
import { gatewayHandler } from '../http/middleware.ts';

export const handler = gatewayHandler(async (event: APIGatewayProxyWebsocketEventV2) => {
  await forgetConnection(event.requestContext.connectionId);
  return { statusCode: 200 };
});
