/**
 * A message from a WebSocket: `{"action": "resume", "after": N}` sends the events after sequence number N and from
 * then on every new one, each message being `{"events": […]}`. `{"action": "ping"}` keeps the connection open.
 */
import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import * as z from 'zod';
import { getConnection } from '../events/connections.ts';
import { follow } from '../events/feed.ts';
import { sendMessage } from '../events/sockets.ts';
import { gatewayHandler } from '../http/middleware.ts';

const messageSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('resume'), after: z.int().min(0).max(999_999_999) }),
  z.strictObject({ action: z.literal('ping') }),
]);

export const handler = gatewayHandler(async (event: APIGatewayProxyWebsocketEventV2) => {
  const { connectionId } = event.requestContext;
  const executionId = await getConnection(connectionId);
  if (!executionId) return { statusCode: 410 };
  const message = messageSchema.safeParse(parse(event.body));
  if (!message.success) {
    const error = 'A message must be {"action": "resume", "after": N} or {"action": "ping"}.';
    await sendMessage(connectionId, { error });
    return { statusCode: 400 };
  }
  if (message.data.action === 'ping') return { statusCode: 200 };
  await follow(executionId, connectionId, message.data.after);
  return { statusCode: 200 };
});

function parse(body = ''): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
