/**
 * What a caller may use: requests a minute, executions at once, executions and tokens a day. One item a caller holds
 * what it has used. A change is made by a conditional write to the version that was read, or else decided anew, so no
 * two requests can have the last of a quota; what is refused changes nothing.
 *
 * Nothing has to be given back when an execution ends. Which ones are under way is looked up, in the executions
 * themselves, when as many as may be were let in: so it is right after whatever end, crash or restart.
 */

import { isFinal } from '../execution/execution.ts';
import { getExecution } from '../execution/records.ts';
import { config } from '../service/config.ts';
import { QuotaExceeded } from '../service/errors.ts';
import { changeItem, createItem, expiryIn, type Key, readItem, type Written } from '../service/items.ts';

/** What a caller has used. The counts are of the minute and the day (UTC, as `2026-01-31T12:00` and `2026-01-31`). */
export interface QuotaRecord {
  owner: string;
  /** Counts the changes. */
  version: number;
  minute: string;
  requests: number;
  day: string;
  executions: number;
  tokens: number;
  /** The executions that were under way when last looked at, with the times at which they were let in. */
  running: Record<string, string>;
}

const quotaKey = (owner: string): Key => ({ pk: `QUOTA#${owner}`, sk: 'QUOTA' });

/** Longer than a day's counts and than any execution. */
const QUOTA_SECONDS = 2 * 86_400;

/** Milliseconds within which an execution that was let in is stored, if ever. */
const STORING_TIME = 60_000;
/** Seconds after which to ask again for what has no known end. */
const ASK_AGAIN = 5;

/**
 * Counts the start of an execution, before anything of it is stored. Letting in the same one again, within its
 * time, counts nothing.
 * @throws QuotaExceeded
 */
export async function letIn(owner: string, executionId: string, now = new Date()): Promise<void> {
  const { requestsPerMinute, executionsAtOnce, executionsPerDay } = config.quotas;
  const { tokensPerDay } = config;
  if (requestsPerMinute + executionsAtOnce + executionsPerDay + tokensPerDay === 0) return;
  await change(owner, now, async (used) => {
    if (used.running[executionId]) return null;
    if (requestsPerMinute && used.requests >= requestsPerMinute) {
      throw exceeded(`You have started ${requestsPerMinute} executions this minute`, endOf(used.minute), now);
    }
    if (executionsPerDay && used.executions >= executionsPerDay) {
      throw exceeded(`You have started ${executionsPerDay} executions today`, endOf(used.day), now);
    }
    if (tokensPerDay && used.tokens >= tokensPerDay) throw tokensExceeded(tokensPerDay, used, now);
    const running = await underWay(used.running, executionsAtOnce, now);
    if (executionsAtOnce && Object.keys(running).length >= executionsAtOnce) {
      throw new QuotaExceeded(
        `You have ${executionsAtOnce} executions under way, as many as you may. Wait for one to end, or cancel one.`,
        ASK_AGAIN,
      );
    }
    return {
      ...used,
      requests: used.requests + 1,
      executions: used.executions + 1,
      running: { ...running, [executionId]: now.toISOString() },
    };
  });
}

/** What of `running` is still under way, looked up only if there are as many as may be (0: any number). */
async function underWay(running: QuotaRecord['running'], atOnce: number, now: Date) {
  const entries = Object.entries(running);
  const isNew = (since: string) => Math.abs(now.getTime() - Date.parse(since)) < STORING_TIME;
  if (atOnce === 0) return Object.fromEntries(entries.filter(([, since]) => isNew(since)));
  if (entries.length < atOnce) return running;
  const kept = await Promise.all(
    entries.map(async ([id, since]) => {
      const execution = await getExecution(id);
      return execution ? !isFinal(execution.status) : isNew(since);
    }),
  );
  return Object.fromEntries(entries.filter((_, index) => kept[index]));
}

/** Tokens that were counted for a generation before it began. */
export interface Booking {
  owner: string;
  /** The day of whose quota they are. */
  day: string;
  tokens: number;
}

/**
 * Counts about as many tokens as a generation will take, before it begins; null if there is no quota. One may begin
 * while any are left, so a day's last one may take more than were.
 * @throws QuotaExceeded
 */
export async function bookTokens(owner: string, tokens: number, now = new Date()): Promise<Booking | null> {
  const { tokensPerDay } = config;
  if (tokensPerDay === 0) return null;
  const { day } = await change(owner, now, async (used) => {
    if (used.tokens >= tokensPerDay) throw tokensExceeded(tokensPerDay, used, now);
    return { ...used, tokens: used.tokens + tokens };
  });
  return { owner, day, tokens };
}

/** Counts the tokens that a generation really took in the place of those booked, unless their day is over. */
export async function settleTokens(booking: Booking, tokens: number, now = new Date()): Promise<void> {
  await change(booking.owner, now, async (used) =>
    used.day === booking.day ? { ...used, tokens: used.tokens - booking.tokens + tokens } : null,
  );
}

/** Replaces what `owner` has used by what `decide` makes of it; null: it stays. Gives what holds then. */
async function change(
  owner: string,
  now: Date,
  decide: (used: QuotaRecord) => Promise<QuotaRecord | null>,
): Promise<QuotaRecord> {
  let stored = await readItem<QuotaRecord>(quotaKey(owner));
  for (;;) {
    const used = atTime(now, stored ?? unused(owner));
    const next = await decide(used);
    if (!next) return used;
    const { ours, record } = await replaceQuota(next);
    if (ours) return next;
    stored = record;
  }
}

/** Puts the next version of a record in the place of `version`, unless that was replaced before. */
function replaceQuota({ version, ...record }: QuotaRecord): Promise<Written<QuotaRecord>> {
  const next = { ...record, version: version + 1, expires: expiryIn(QUOTA_SECONDS) };
  if (version === 0) return createItem<QuotaRecord>(quotaKey(record.owner), next);
  return changeItem(quotaKey(record.owner), { set: next, where: { version: [version] } });
}

const unused = (owner: string): QuotaRecord => ({
  owner,
  version: 0,
  minute: '',
  requests: 0,
  day: '',
  executions: 0,
  tokens: 0,
  running: {},
});

/** The record with the counts set back of a minute and a day that are over, or lie ahead because the clock was set back. */
function atTime(now: Date, used: QuotaRecord): QuotaRecord {
  const time = now.toISOString();
  const [minute, day] = [time.slice(0, 16), time.slice(0, 10)];
  return {
    ...used,
    ...(isPast(used.minute, minute, now) && { minute, requests: 0 }),
    ...(isPast(used.day, day, now) && { day, executions: 0, tokens: 0 }),
  };
}

/** Clocks of two functions may differ a little: a period that is next by the one is not counted anew by the other. */
function isPast(counted: string, current: string, now: Date): boolean {
  return counted < current || endOf(counted).getTime() - now.getTime() > 2 * LENGTHS[periodOf(counted)];
}

const LENGTHS = { minute: 60_000, day: 86_400_000 };
const periodOf = (text: string) => (text.length === 16 ? 'minute' : 'day');

/** When a minute or a day ends. */
function endOf(period: string): Date {
  const length = periodOf(period);
  return new Date(Date.parse(length === 'minute' ? `${period}Z` : period) + LENGTHS[length]);
}

function exceeded(what: string, end: Date, now: Date): QuotaExceeded {
  const seconds = Math.ceil((end.getTime() - now.getTime()) / 1000);
  return new QuotaExceeded(`${what}, as many as you may. Try again at ${end.toISOString()}.`, seconds);
}

const tokensExceeded = (tokensPerDay: number, { day }: QuotaRecord, now: Date) =>
  exceeded(`Your executions have used ${tokensPerDay} tokens today`, endOf(day), now);
