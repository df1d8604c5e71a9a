/**
 * Sending to WebSockets. The store is the truth and they are a convenience: a client that missed a message sees the gap in
 * the numbers, or polls, so no failure to send may stop the work itself.
 */
import {
  GoneException,
  PayloadTooLargeException,
  PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi';
import { connections } from '../service/aws.ts';
import { logger } from '../service/logger.ts';
import type { ExecutionEvent } from './events.ts';

/** A message of the server: events, or what was wrong with a message of the client. */
export type ServerMessage = { events: readonly ExecutionEvent[] } | { error: string };

/** Bytes of events in one message; API Gateway takes 128 KB. */
const MESSAGE_BYTES = 96 * 1024;

/** Sends events in as few messages as they fit into; one at least. */
export async function sendEvents(connectionId: string, events: readonly ExecutionEvent[]): Promise<void> {
  let batch: ExecutionEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = Buffer.byteLength(JSON.stringify(event));
    if (batch.length > 0 && bytes + size > MESSAGE_BYTES) {
      await sendMessage(connectionId, { events: batch });
      batch = [];
      bytes = 0;
    }
    batch.push(event);
    bytes += size;
  }
  await sendMessage(connectionId, { events: batch });
}

/** Sends a message; one that does not arrive is told in the log. Gives false if the WebSocket is closed. */
export async function sendMessage(connectionId: string, message: ServerMessage): Promise<boolean> {
  try {
    await connections.send(
      new PostToConnectionCommand({ ConnectionId: connectionId, Data: JSON.stringify(message) }),
    );
  } catch (error) {
    if (error instanceof GoneException) return false;
    if (error instanceof PayloadTooLargeException) logger.error('message too large', { connectionId });
    else logger.warn('message not sent', { connectionId, error: String(error) });
  }
  return true;
}
