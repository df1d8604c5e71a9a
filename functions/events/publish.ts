/**
 * Publishing an event: store it, then send it to the WebSockets that follow the execution, which whoever publishes does
 * not wait for. A follower is noted before it is sent what it missed, and an event is stored before followers are looked
 * up, so every follower gets every event, by the one way or the other; it drops what comes twice by the sequence number.
 */
import {
  GoneException,
  PayloadTooLargeException,
  PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi';
import { afterwards } from '../service/afterwards.ts';
import { connections } from '../service/aws.ts';
import { logger } from '../service/logger.ts';
import { lookFor } from '../service/look-for.ts';
import { appendEvent, deleteConnection, listEvents, listFollowers } from '../service/store.ts';
import type { EventData, ExecutionEvent } from './events.ts';

/** Bytes of events in one message; API Gateway takes 128 KB. */
const MESSAGE_BYTES = 96 * 1024;

export async function publish(executionId: string, data: EventData): Promise<void> {
  await tellFollowers(await appendEvent(executionId, data));
}

/** Sends an event that is stored to all followers, which whoever does it does not wait for. */
export const tellFollowers = (event: ExecutionEvent): Promise<void> => afterwards(() => tell(event));

/**
 * The store is the truth and the sockets a convenience: a client that missed a message
 * sees the gap in the sequence numbers, or polls, so no failure to send may stop the work itself.
 */
async function tell(event: ExecutionEvent): Promise<void> {
  const { execution_id: executionId } = event;
  try {
    const followers = await listFollowers(executionId);
    await Promise.all(followers.map((connectionId) => send(connectionId, executionId, { events: [event] })));
  } catch (error) {
    logger.warn('followers not told', { sequence: event.sequence, error: String(error) });
  }
}

/** How long whoever moved a record may take to publish that. */
const PUBLISH_PATIENCE = { limit: 1_000, firstPause: 50, longestPause: 400 };

/**
 * Publishes an event unless one like it (same type and attempt) was published: for steps that are done again. Whoever did
 * the step first may be about to publish, or have died before: it gets a moment.
 */
export async function publishOnce(executionId: string, data: EventData): Promise<void> {
  const attemptOf = (event: EventData) => ('attempt' in event ? event.attempt : 0);
  const find = async () => {
    const events = await listEvents(executionId, 0);
    return events.find((event) => event.type === data.type && attemptOf(event) === attemptOf(data)) ?? null;
  };
  const published = (await find()) ?? (await lookFor(find, PUBLISH_PATIENCE));
  if (!published) await publish(executionId, data);
}

/** Sends a follower the stored events after `after`. */
export async function replay(connectionId: string, executionId: string, after: number): Promise<void> {
  let batch: ExecutionEvent[] = [];
  let bytes = 0;
  for (const event of await listEvents(executionId, after)) {
    const size = Buffer.byteLength(JSON.stringify(event));
    if (batch.length > 0 && bytes + size > MESSAGE_BYTES) {
      await send(connectionId, executionId, { events: batch });
      batch = [];
      bytes = 0;
    }
    batch.push(event);
    bytes += size;
  }
  await send(connectionId, executionId, { events: batch });
}

/** A message of the server: events, or what was wrong with a message of the client. */
export type ServerMessage = { events: ExecutionEvent[] } | { error: string };

export async function send(connectionId: string, executionId: string, message: ServerMessage): Promise<void> {
  try {
    await connections.send(
      new PostToConnectionCommand({ ConnectionId: connectionId, Data: JSON.stringify(message) }),
    );
  } catch (error) {
    if (error instanceof GoneException) await deleteConnection(connectionId, executionId);
    else if (error instanceof PayloadTooLargeException) logger.error('message too large', { connectionId });
    else logger.warn('message not sent', { connectionId, error: String(error) });
  }
}
