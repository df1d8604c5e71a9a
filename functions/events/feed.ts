/**
 * The feed of an execution: its events, numbered 1, 2, 3 … without gaps, and the WebSockets that follow them.
 *
 *   publish        a move and the events that tell of it are stored in one write; then followers are told
 *   publishPiece   an event that belongs to no move, such as a piece of the code while it is written
 *   follow         a WebSocket is told what it missed, and from then on each event
 *
 * One item, the head, says how far the numbers go and who follows. A move is written on condition that its number is free
 * and that nobody has begun or ceased to follow since the head was read; if that is not so, the refused write brings the
 * head as it is, with which it is done again. So nothing is read to publish a move, and yet every follower gets every
 * event: what was stored before it followed by `follow`, and the rest as it happens. It may get some twice, and knows them
 * by their numbers.
 *
 * A piece costs a quarter of that: it takes its number alone and then looks who follows. The head may lie behind the pieces.
 */
import { afterwards } from '../service/afterwards.ts';
import {
  changedItem,
  changeItem,
  createItem,
  type Expiring,
  expiryIn,
  type Fields,
  heldBy,
  type ItemWrite,
  itemsBetween,
  type Key,
  newItem,
  queryItems,
  readItem,
  type Unmet,
  writeTogether,
} from '../service/items.ts';
import { logger } from '../service/logger.ts';
import { deleteConnection } from './connections.ts';
import { type EventData, type ExecutionEvent, eventSchema } from './events.ts';
import { sendEvents, sendMessage } from './sockets.ts';

/** The head. */
export interface FeedRecord {
  execution_id: string;
  /** Of the last event that came with a move. */
  sequence: number;
  /** Ids of WebSockets. */
  followers?: Set<string>;
  /** The sandbox of which the feed told last that it is ready. */
  ready_sandbox?: string;
  /** The feed has told of the execution's end. */
  ended?: true;
}

export const FEED = 'FEED';
export const feedKey = (id: string): Key => ({ pk: `EXECUTION#${id}`, sk: FEED });
const eventSortKey = (sequence: number) => `EVENT#${String(sequence).padStart(10, '0')}`;
const eventKey = (id: string, sequence: number): Key => ({
  pk: `EXECUTION#${id}`,
  sk: eventSortKey(sequence),
});

/** The writes of a new execution's feed, which begins with `events`. */
export function newFeed(execution_id: string, events: readonly EventData[]): ItemWrite[] {
  const head: FeedRecord = { execution_id, sequence: events.length };
  return [
    newItem(feedKey(execution_id), { ...head, expires: expiryIn() }),
    ...events.map((data, index) => newEvent(numbered(execution_id, index + 1, data))),
  ];
}

const numbered = (execution_id: string, sequence: number, data: EventData): ExecutionEvent => ({
  execution_id,
  sequence,
  at: new Date().toISOString(),
  ...data,
});

const newEvent = (event: ExecutionEvent) =>
  newItem(eventKey(event.execution_id, event.sequence), { ...event, expires: expiryIn() });

/** A feed as one invocation knows it. */
export class Feed {
  #head: FeedRecord;

  private constructor(head: FeedRecord) {
    this.#head = head;
  }

  /** `head` as it was read; without one it was begun by a version that had none. */
  static async of(executionId: string, head: FeedRecord | undefined): Promise<Feed> {
    return new Feed(head ?? (await makeHead(executionId)));
  }

  static open = async (executionId: string): Promise<Feed> =>
    Feed.of(executionId, await readItem<FeedRecord>(feedKey(executionId)));

  /** Whether the feed has told that this sandbox is ready. */
  hasReady = (sandboxId: string) => this.#head.ready_sandbox === sandboxId;

  /**
   * Stores `moves` and the events that tell of them, all or nothing. Gives those of the moves whose conditions were not met,
   * with what holds instead; none: it is done. `note`: what the head is to say from then on.
   */
  async publish(
    told: readonly EventData[],
    moves: ItemWrite[] = [],
    note: Pick<FeedRecord, 'ready_sandbox' | 'ended'> = {},
  ): Promise<Unmet> {
    for (;;) {
      const { execution_id, followers, sequence: last } = this.#head;
      const events = told.map((data, index) => numbered(execution_id, last + 1 + index, data));
      const sequence = last + events.length;
      const stored = events.map(newEvent);
      const change = changedItem(feedKey(execution_id), {
        set: { ...note, sequence },
        where: { followers: followers && [followers] },
        below: { sequence: last + 1 },
      });
      const unmet = await writeTogether([...moves, ...stored, change]);
      if (unmet.size === 0) {
        this.#head = { ...this.#head, ...note, sequence: this.#atLeast(sequence) };
        await afterwards(() => tellFollowers(events, async () => followers));
        return unmet;
      }
      const head = heldBy<FeedRecord>(unmet, change);
      if (head) this.#head = head;
      else if (unmet.has(change)) this.#head = await makeHead(execution_id);
      else if (stored.some((event) => unmet.has(event))) await this.#skipPieces(last + 1);
      if (moves.some((move) => unmet.has(move))) return unmet;
    }
  }

  /** Stores an event that belongs to no move. */
  async publishPiece(data: EventData): Promise<void> {
    for (;;) {
      const { execution_id, sequence: last } = this.#head;
      const event = numbered(execution_id, last + 1, data);
      const { ours } = await createItem(eventKey(execution_id, event.sequence), {
        ...event,
        expires: expiryIn(),
      });
      if (!ours) {
        await this.#skipPieces(event.sequence);
        continue;
      }
      this.#head.sequence = this.#atLeast(event.sequence);
      await afterwards(() =>
        tellFollowers([event], async () => (await readItem<FeedRecord>(feedKey(execution_id)))?.followers),
      );
      return;
    }
  }

  /** `taken` is another's number, unless somebody here has learnt of later ones meanwhile. */
  async #skipPieces(taken: number): Promise<void> {
    if (this.#head.sequence >= taken) return;
    const last = await lastSequence(this.#head.execution_id);
    this.#head.sequence = this.#atLeast(last);
  }

  #atLeast = (sequence: number) => Math.max(this.#head.sequence, sequence);
}

/** Gives a feed that was begun by an earlier version its head. There, each follower was an item. */
async function makeHead(execution_id: string): Promise<FeedRecord> {
  const pk = `EXECUTION#${execution_id}`;
  const [sequence, followers] = await Promise.all([
    lastSequence(execution_id),
    queryItems<{ connection_id: string }>(itemsBetween(pk, 'CONNECTION#', 'CONNECTION$')),
  ]);
  const head: FeedRecord = {
    execution_id,
    sequence,
    ...(followers.length > 0 && { followers: new Set(followers.map(({ connection_id }) => connection_id)) }),
  };
  const { record = head } = await createItem(feedKey(execution_id), { ...head, expires: expiryIn() });
  return record;
}

/** Whether the feed has told of the end of the execution: the cheapest look at how it stands. */
export async function hasEnded(executionId: string): Promise<boolean> {
  return (await readItem<FeedRecord>(feedKey(executionId)))?.ended ?? false;
}

// --------------------------------------------------------------------------------------------- followers

/** Sends events to those who follow. Never rejects: the work does not depend on it. */
async function tellFollowers(
  events: readonly ExecutionEvent[],
  findFollowers: () => Promise<Set<string> | undefined>,
): Promise<void> {
  try {
    const followers = [...((await findFollowers()) ?? [])];
    await Promise.all(
      followers.map(async (connectionId) => {
        const isOpen = await sendMessage(connectionId, { events });
        if (!isOpen) await forgetConnection(connectionId, events[0]?.execution_id);
      }),
    );
  } catch (error) {
    logger.warn('followers not told', { sequence: events[0]?.sequence, error: String(error) });
  }
}

/** From now on the WebSocket is told of each event, and at once of those after `after`. */
export async function follow(executionId: string, connectionId: string, after: number): Promise<void> {
  const change = { add: { followers: new Set([connectionId]) }, where: {} };
  const { ours } = await changeItem(feedKey(executionId), change);
  if (!ours) {
    await makeHead(executionId);
    await changeItem(feedKey(executionId), change);
  }
  await sendEvents(connectionId, await listEvents(executionId, after));
}

/** The WebSocket is closed. `executionId`: the one that it follows, if that is known. */
export async function forgetConnection(connectionId: string, executionId?: string): Promise<void> {
  const id = (await deleteConnection(connectionId)) ?? executionId;
  if (id === undefined) return;
  await changeItem(feedKey(id), { takeOut: { followers: new Set([connectionId]) }, where: {} });
}

// ------------------------------------------------------------------------------------------------ events

/** 0 if there is no event yet. */
async function lastSequence(id: string): Promise<number> {
  const [last] = await queryItems<ExecutionEvent>({
    ...itemsBetween(`EXECUTION#${id}`, eventSortKey(0), LAST_EVENT),
    ScanIndexForward: false,
    Limit: 1,
  });
  return last?.sequence ?? 0;
}

const LAST_EVENT = 'EVENT#9999999999';

/** The events after `after`, in order. */
export async function listEvents(id: string, after: number): Promise<ExecutionEvent[]> {
  const items = await queryItems<Fields>(
    itemsBetween(`EXECUTION#${id}`, eventSortKey(after + 1), LAST_EVENT),
  );
  return items.map(readEvent);
}

/** Written by this or another version: one that does not fit its schema goes out as it is, for no reader fails of it. */
export function readEvent(item: Fields): ExecutionEvent {
  const { data, error } = eventSchema.safeParse(item);
  if (data) return data;
  logger.warn('an event is not as events are', { error: error.message });
  const {
    pk: _pk,
    sk: _sk,
    expires: _expires,
    ...event
  } = item as unknown as ExecutionEvent & Key & Expiring;
  return event as ExecutionEvent;
}
