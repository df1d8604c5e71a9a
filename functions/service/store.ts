/**
 * The one DynamoDB table. Items by key:
 *
 *   pk                       sk              what
 *   EXECUTION#{id}           EXECUTION       the execution (index `history` by owner and time; index `work` while queued)
 *   EXECUTION#{id}           ATTEMPT#{n}     an attempt
 *   EXECUTION#{id}           EVENT#{n}       an event; the key is its sequence number, so no two are the same
 *   EXECUTION#{id}           CONNECTION#{c}  a WebSocket that follows the execution
 *   CONNECTION#{c}           CONNECTION      the execution that a WebSocket may follow
 *   IDEMPOTENCY#{owner}#{k}  IDEMPOTENCY     the execution that an Idempotency-Key started
 *   SANDBOX#{id}             SANDBOX         a sandbox (index `work` while warm)
 *   KEY#{id}                 KEY             an API key, its secret hashed (index `work`, for the command line)
 *   QUOTA#{owner}            QUOTA           what a caller has used of its quotas
 *   SERVICE                  COUNTERS#{n}    what /metrics counts, of every tenth execution
 *   SERVICE                  ISOLATION       the isolation that sandboxes reported last
 *
 * Every change of a status is one conditional write: a repeated or late message finds its condition unmet and changes
 * nothing. Every step of the workflow derives what is next from what is stored. What belongs together is written together,
 * in a transaction: an execution with its being counted, an attempt with its execution's count of them, an end with its
 * being counted and its event. So each is there once, whoever dies or does it again.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ConditionalCheckFailedException,
  TransactionCanceledException,
  TransactionConflictException,
} from '@aws-sdk/client-dynamodb';
import {
  DeleteCommand,
  GetCommand,
  PutCommand,
  QueryCommand,
  type QueryCommandInput,
  TransactWriteCommand,
  type TransactWriteCommandInput,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import { type EventData, type ExecutionEvent, eventSchema } from '../events/events.ts';
import {
  type Artifact,
  type AttemptStatus,
  attemptStatusesBefore,
  type ErrorCategory,
  type ExecutionStatus,
  executionStatusesBefore,
  type FinalStatus,
  type Policy,
  type SkippedArtifact,
  type Usage,
  type Violation,
} from '../execution/execution.ts';
import type { StoredText } from '../execution/texts.ts';
import { dynamodb } from './aws.ts';
import { config } from './config.ts';
import { ConditionFailed } from './errors.ts';
import { logger } from './logger.ts';

export interface ExecutionRecord {
  execution_id: string;
  owner: string;
  status: ExecutionStatus;
  prompt: string;
  tests: string | null;
  max_retries: number;
  timeout: number;
  policy: Policy;
  model: string;
  /** Attempts begun, with those that were taken over. */
  attempts: number;
  error: string | null;
  error_category: ErrorCategory | null;
  created_at: string;
  finished_at: string | null;
  ticket: string;
  /** The sandbox that serves it now. */
  sandbox_id?: string;
  usage: Usage | null;
  /** The execution that this one goes on from. */
  resumes?: string;
}

export interface AttemptRecord {
  execution_id: string;
  attempt: number;
  status: AttemptStatus;
  code: StoredText | null;
  output: StoredText | null;
  output_truncated: boolean;
  error: string | null;
  error_category: ErrorCategory | null;
  error_line: number | null;
  traceback: string | null;
  /** Values of the failing frame, for the repair prompt. */
  locals: Record<string, string>;
  violations: Violation[];
  execution_time: number | null;
  /** This and the three below are not in records of earlier versions, as is `artifacts_skipped`. */
  standard_permits?: boolean;
  exit_code?: number | null;
  signal?: string | null;
  peak_memory_bytes?: number | null;
  artifacts: Artifact[];
  artifacts_skipped?: SkippedArtifact[];
  usage: Usage | null;
  started_at: string;
  generated_at: string | null;
  checked_at: string | null;
  run_started_at: string | null;
  finished_at: string | null;
  /** How many sandboxes this attempt has been given: 1, and one more for each that was lost. */
  run: number;
  /** Of them, those that were lost by themselves while the program ran, and otherwise. */
  crashes?: number;
  losses?: number;
  /** Both, over this attempt and those before it. */
  lossesInAll?: number;
  sandbox_id?: string;
  task_token?: string;
  /** The execution that made it, whose id its texts and files bear, where this one has taken it over. */
  taken_from?: string | null;
}

export interface KeyRecord {
  key_id: string;
  /** Who calls with it: the owner of the executions that it starts. Several keys may have one. */
  owner: string;
  /** What it is for, as whoever made it said. */
  name: string;
  /** SHA-256 of its secret, in hex. */
  secret_hash: string;
  /** The last characters of the key, by which its holder can tell which one it is. */
  last_four: string;
  created_at: string;
  revoked_at?: string;
}

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

export type SandboxStatus = 'starting' | 'ready' | 'stopped';

/** Of ECS. Spot costs a third, and a task may be stopped at any time. */
export type CapacityProvider = 'FARGATE' | 'FARGATE_SPOT';

export interface SandboxRecord {
  sandbox_id: string;
  status: SandboxStatus;
  created_at: string;
  /** When its presigned URLs end. */
  expires_at: string;
  execution_id?: string;
  /** What its task is asked of first. */
  capacity_provider?: CapacityProvider;
  task_arn?: string;
  /** It did not end by itself, nor by what ran in it: its machine was taken away. */
  withdrawn?: boolean;
  start_tries: number;
  isolation?: Record<string, string>;
  /** Its Python's version. */
  python?: string;
  packages?: string[];
  /** Seconds from the start of its program to its being ready. */
  started_in?: number;
}

export interface Counters {
  started: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  /** Attempts of the executions that succeeded. */
  attempts_of_succeeded: number;
  /** Seconds, over all that ended. */
  total_time: number;
  prompt_tokens: number;
  completion_tokens: number;
  /** What the executions cost whose cost was estimated, in US dollars, and how many those are. */
  cost: number;
  costed: number;
  errors: Record<string, number>;
}

/** Longer than a day's counts and than any execution. */
const QUOTA_SECONDS = 2 * 86_400;

type Key = { pk: string; sk: string };
type Fields = Record<string, unknown>;

const executionKey = (id: string): Key => ({ pk: `EXECUTION#${id}`, sk: 'EXECUTION' });
const attemptKey = (id: string, attempt: number): Key => ({
  pk: `EXECUTION#${id}`,
  sk: `ATTEMPT#${String(attempt).padStart(4, '0')}`,
});
const eventSortKey = (sequence: number) => `EVENT#${String(sequence).padStart(10, '0')}`;
const eventKey = (id: string, sequence: number): Key => ({
  pk: `EXECUTION#${id}`,
  sk: eventSortKey(sequence),
});
const followerKey = (id: string, connectionId: string): Key => ({
  pk: `EXECUTION#${id}`,
  sk: `CONNECTION#${connectionId}`,
});
const connectionKey = (connectionId: string): Key => ({ pk: `CONNECTION#${connectionId}`, sk: 'CONNECTION' });
const sandboxKey = (id: string): Key => ({ pk: `SANDBOX#${id}`, sk: 'SANDBOX' });
const keyKey = (id: string): Key => ({ pk: `KEY#${id}`, sk: 'KEY' });
const quotaKey = (owner: string): Key => ({ pk: `QUOTA#${owner}`, sk: 'QUOTA' });
const OPEN: ExecutionStatus[] = ['queued', 'running'];
/** Of how many items the counters are the sums. Transactions on one item get in each other's way. */
const COUNTER_ITEMS = 10;
const countersKey = (executionId: string): Key => {
  const hash = createHash('sha256').update(executionId).digest();
  return { pk: 'SERVICE', sk: `COUNTERS#${hash.readUInt32BE() % COUNTER_ITEMS}` };
};
const ISOLATION: Key = { pk: 'SERVICE', sk: 'ISOLATION' };

/** Epoch seconds at which DynamoDB may delete an item (time-to-live). */
const expiry = (seconds = config.retentionDays * 86_400) => Math.floor(Date.now() / 1000) + seconds;

interface Expiring {
  expires: number;
}

const hasExpired = ({ expires }: Expiring) => expires < Date.now() / 1000;

async function get<T>(key: Key): Promise<T | undefined> {
  const { Item } = await dynamodb.send(
    new GetCommand({ TableName: config.tableName, Key: key, ConsistentRead: true }),
  );
  return Item as T | undefined;
}

/** With `orExpired` one whose time is over may be there still. @throws ConditionFailed if an item with this key exists. */
async function putNew(key: Key, fields: Fields, { orExpired = false } = {}): Promise<void> {
  await conditional(() => dynamodb.send(new PutCommand(newItem(key, fields, { orExpired }))));
}

const newItem = (key: Key, fields: Fields, { orExpired = false } = {}) => ({
  TableName: config.tableName,
  Item: { ...fields, ...key },
  ConditionExpression: `attribute_not_exists(pk)${orExpired ? ' OR expires < :now' : ''}`,
  ExpressionAttributeValues: orExpired ? { ':now': Math.floor(Date.now() / 1000) } : undefined,
});

interface Change {
  set?: Fields;
  remove?: string[];
  /** Numbers added to attributes. */
  add?: Record<string, number>;
  /** Attributes that must have one of these values; undefined: must not exist. */
  where?: Record<string, readonly unknown[] | undefined>;
}

/** Updates one item and gives it back whole. @throws ConditionFailed if `where` is not met or the item is missing. */
async function update<T>(key: Key, change: Change): Promise<T> {
  const input = changedItem(key, change);
  const { Attributes } = await conditional(() =>
    dynamodb.send(new UpdateCommand({ ...input, ReturnValues: 'ALL_NEW' })),
  );
  return Attributes as T;
}

function changedItem(key: Key, { set = {}, remove = [], add = {}, where }: Change) {
  const names: Record<string, string> = {};
  const values: Fields = {};
  const name = (attribute: string) => {
    names[`#${attribute}`] = attribute;
    return `#${attribute}`;
  };
  const value = (of: unknown) => {
    const placeholder = `:v${Object.keys(values).length}`;
    values[placeholder] = of;
    return placeholder;
  };
  const sets = Object.entries(set)
    .filter(([, to]) => to !== undefined)
    .map(([attribute, to]) => `${name(attribute)} = ${value(to)}`);
  const adds = Object.entries(add).map(([attribute, by]) => `${name(attribute)} ${value(by)}`);
  const conditions = Object.entries(where ?? {}).map(([attribute, allowed]) =>
    allowed
      ? `${name(attribute)} IN (${allowed.map(value).join(', ')})`
      : `attribute_not_exists(${name(attribute)})`,
  );
  const expression = [
    sets.length > 0 && `SET ${sets.join(', ')}`,
    remove.length > 0 && `REMOVE ${remove.map(name).join(', ')}`,
    adds.length > 0 && `ADD ${adds.join(', ')}`,
  ];
  return {
    TableName: config.tableName,
    Key: key,
    UpdateExpression: expression.filter(Boolean).join(' '),
    ConditionExpression: where ? ['attribute_exists(pk)', ...conditions].join(' AND ') : undefined,
    ExpressionAttributeNames: names,
    ExpressionAttributeValues: Object.keys(values).length > 0 ? values : undefined,
  };
}

/** Writes all or nothing. @throws ConditionFailed if one of the conditions is not met */
async function transact(items: TransactWriteCommandInput['TransactItems']): Promise<void> {
  await conditional(() => dynamodb.send(new TransactWriteCommand({ TransactItems: items })));
}

/** How often a write is tried that meets a transaction on the same item, which takes milliseconds. */
const MAX_CONFLICTS = 20;
/** Milliseconds up to which is waited then, so that those who met do not meet again. */
const CONFLICT_PAUSE = 100;

async function conditional<T>(write: () => Promise<T>): Promise<T> {
  for (let conflicts = 1; ; conflicts += 1) {
    try {
      return await write();
    } catch (error) {
      const reasons =
        error instanceof TransactionCanceledException
          ? (error.CancellationReasons ?? []).map(({ Code }) => Code)
          : [error instanceof ConditionalCheckFailedException && 'ConditionalCheckFailed'];
      const unmet = reasons.flatMap((reason, index) => (reason === 'ConditionalCheckFailed' ? [index] : []));
      if (unmet.length > 0) throw new ConditionFailed((error as Error).message, unmet, { cause: error });
      const isConflict =
        error instanceof TransactionConflictException || reasons.includes('TransactionConflict');
      if (!isConflict || conflicts === MAX_CONFLICTS) throw error;
      await sleep(Math.random() * CONFLICT_PAUSE);
    }
  }
}

/** All items of a query, page by page. */
async function queryAll<T>(input: Omit<QueryCommandInput, 'TableName'>): Promise<T[]> {
  const items: T[] = [];
  let start: QueryCommandInput['ExclusiveStartKey'];
  do {
    const page = await dynamodb.send(
      new QueryCommand({ TableName: config.tableName, ExclusiveStartKey: start, ...input }),
    );
    items.push(...((page.Items ?? []) as T[]));
    start = page.LastEvaluatedKey;
  } while (start && input.Limit === undefined);
  return items;
}

const withPrefix = (id: string, prefix: string) => ({
  KeyConditionExpression: 'pk = :pk AND begins_with(sk, :prefix)',
  ExpressionAttributeValues: { ':pk': `EXECUTION#${id}`, ':prefix': prefix },
  ConsistentRead: true,
});

// ---------------------------------------------------------------------------------------------- executions

/**
 * Stores an execution with the attempts that it takes over and the events that it begins with, and counts it, in one
 * write. @throws ConditionFailed if the id is taken.
 */
export async function createExecution(
  record: ExecutionRecord,
  attempts: AttemptRecord[] = [],
  events: EventData[] = [],
): Promise<void> {
  const { execution_id } = record;
  const at = new Date().toISOString();
  const items = [
    ...attempts.map((attempt) =>
      newItem(attemptKey(execution_id, attempt.attempt), { ...attempt, expires: expiry() }),
    ),
    ...events.map((data, index) => newEvent(execution_id, index + 1, at, data)),
  ];
  const item = newItem(executionKey(record.execution_id), {
    ...record,
    history: record.owner,
    history_at: `${record.created_at}#${record.execution_id}`,
    work: 'queued',
    work_at: record.created_at,
    expires: expiry(),
  });
  await transact([
    { Put: item },
    { Update: counted(execution_id, { started: 1 }) },
    ...items.map((Put) => ({ Put })),
  ]);
}

/** Anything else is no execution's id, nor could DynamoDB, which limits keys, be asked for every text. */
const EXECUTION_ID = /^[\w-]{1,64}$/;

/** Undefined also when its time is over: DynamoDB may keep it for days more, and its files are gone then. */
export async function getExecution(id: string): Promise<ExecutionRecord | undefined> {
  if (!EXECUTION_ID.test(id)) return undefined;
  const item = await get<ExecutionRecord & Expiring>(executionKey(id));
  return item && !hasExpired(item) ? item : undefined;
}

export interface EndedExecution extends ExecutionRecord {
  status: FinalStatus;
  finished_at: string;
}

/** What of the counters an end adds to, beside the number of such ends and of such errors. */
export type EndCounts = Partial<Omit<Counters, 'started' | FinalStatus | 'errors'>>;

/**
 * Ends an execution, counts that and appends the event of it, in one write: no execution ends twice, or untold.
 * @throws ConditionFailed if the execution has ended, has begun another attempt than `ended` counts, or is unknown
 */
export function finishExecution(
  ended: EndedExecution,
  counts: EndCounts,
  data: EventData,
): Promise<ExecutionEvent> {
  const { execution_id, status, finished_at, error, error_category, attempts } = ended;
  const item = changedItem(executionKey(execution_id), {
    set: { status, finished_at, error, error_category },
    remove: ['work', 'work_at'],
    where: { status: executionStatusesBefore(status), attempts: [attempts] },
  });
  const add = { [status]: 1, ...counts, ...(error_category && { [`error_${error_category}`]: 1 }) };
  return withNextSequence(execution_id, data, (event) =>
    transact([{ Put: event }, { Update: item }, { Update: counted(execution_id, add) }]),
  );
}

/** The change of the counters that goes with one of an execution. */
const counted = (executionId: string, add: Record<string, number>) =>
  changedItem(countersKey(executionId), { add });

/** Makes `sandboxId` the execution's sandbox. @throws ConditionFailed if it has ended or `before` is not its sandbox. */
export function assignSandbox(id: string, sandboxId: string, before: string | undefined) {
  return update<ExecutionRecord>(executionKey(id), {
    set: { sandbox_id: sandboxId },
    where: { status: OPEN, sandbox_id: before ? [before] : undefined },
  });
}

export interface HistoryPage {
  executions: ExecutionRecord[];
  /** `history_at` of the last one, if there are more. */
  last: string | null;
}

/** One page of an owner's executions, newest first, after the one whose `history_at` is `after`. */
export async function listExecutions(
  owner: string,
  limit: number,
  after: string | null,
): Promise<HistoryPage> {
  const start = after && {
    ...executionKey(after.slice(after.indexOf('#') + 1)),
    history: owner,
    history_at: after,
  };
  const page = await dynamodb.send(
    new QueryCommand({
      TableName: config.tableName,
      IndexName: 'history',
      KeyConditionExpression: 'history = :owner',
      ExpressionAttributeValues: { ':owner': owner },
      ScanIndexForward: false,
      Limit: limit,
      ExclusiveStartKey: start || undefined,
    }),
  );
  return {
    executions: ((page.Items ?? []) as (ExecutionRecord & Expiring)[]).filter((item) => !hasExpired(item)),
    last: (page.LastEvaluatedKey?.history_at as string | undefined) ?? null,
  };
}

/** Executions that are stored but whose workflow has not begun, oldest first. */
export const listQueuedExecutions = () => queryWork<ExecutionRecord>('queued');

/** Their ids alone, oldest first. */
export async function listQueuedIds(): Promise<string[]> {
  const items = await queryWork<{ execution_id: string }>('queued', 'execution_id');
  return items.map(({ execution_id }) => execution_id);
}

function queryWork<T>(work: 'queued' | 'warm' | 'key', attributes?: string) {
  return queryAll<T>({
    ProjectionExpression: attributes,
    IndexName: 'work',
    KeyConditionExpression: '#work = :work',
    ExpressionAttributeNames: { '#work': 'work' },
    ExpressionAttributeValues: { ':work': work },
  });
}

/** Ties an Idempotency-Key to an execution, for a day. Gives the execution that the key is tied to. */
export async function claimIdempotencyKey(
  owner: string,
  key: string,
  executionId: string,
  fingerprint: string,
) {
  // An owner may have any name; encoded, it has no # and so cannot run into the key of another.
  const itemKey = { pk: `IDEMPOTENCY#${encodeURIComponent(owner)}#${key}`, sk: 'IDEMPOTENCY' };
  const claim = { execution_id: executionId, fingerprint };
  try {
    await putNew(itemKey, { ...claim, expires: expiry(86_400) }, { orExpired: true });
    return claim;
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
    return (await get<typeof claim>(itemKey)) ?? claim;
  }
}

// ------------------------------------------------------------------------------------------------ attempts

/**
 * Begins an attempt, with which its execution is running and counts it. One that an earlier version counted and did not
 * begin is begun. @throws ConditionFailed if it was begun before, or the execution has ended
 */
export async function createAttempt(record: AttemptRecord): Promise<void> {
  const { execution_id, attempt } = record;
  const execution = changedItem(executionKey(execution_id), {
    set: { status: 'running', attempts: attempt },
    remove: ['work', 'work_at'],
    where: { status: OPEN, attempts: [attempt - 1, attempt] },
  });
  const item = newItem(attemptKey(execution_id, attempt), { ...record, expires: expiry() });
  await transact([{ Update: execution }, { Put: item }]);
}

export const getAttempt = (id: string, attempt: number) => get<AttemptRecord>(attemptKey(id, attempt));

/** In order. */
export const listAttempts = (id: string) => queryAll<AttemptRecord>(withPrefix(id, 'ATTEMPT#'));

/** @throws ConditionFailed if the attempt is not in a status that may become `to`, or is in another run. */
export function moveAttempt(
  { execution_id, attempt, run }: AttemptRecord,
  to: AttemptStatus,
  set: Partial<AttemptRecord> = {},
) {
  return update<AttemptRecord>(attemptKey(execution_id, attempt), {
    set: { ...set, status: to },
    where: { status: attemptStatusesBefore(to), run: [run] },
  });
}

/** What an attempt has once it has ended. */
export interface AttemptEnd extends Partial<AttemptRecord> {
  status: 'succeeded' | 'failed' | 'cancelled';
  finished_at: string;
}

/**
 * Ends an attempt and appends the event of it, in one write: none ends untold.
 * @throws ConditionFailed if it no longer stands as given, or is in another run
 */
export function finishAttempt(
  { execution_id, attempt, status, run }: AttemptRecord,
  end: AttemptEnd,
  data: EventData,
): Promise<ExecutionEvent> {
  const where = { status: [status], run: [run] };
  const item = changedItem(attemptKey(execution_id, attempt), { set: { ...end }, where });
  return withNextSequence(execution_id, data, (event) => transact([{ Put: event }, { Update: item }]));
}

/** Ties the waiting attempt to a workflow's task token and the sandbox that is to run it. @throws ConditionFailed if it does not wait. */
export function setTaskToken({ execution_id, attempt }: AttemptRecord, sandboxId: string, token: string) {
  return update<AttemptRecord>(attemptKey(execution_id, attempt), {
    set: { sandbox_id: sandboxId, task_token: token },
    where: { status: ['waiting', 'running'] },
  });
}

/**
 * Sends an unfinished run to another sandbox, and counts why. @throws ConditionFailed if the run has ended or was sent on
 * before.
 */
export function sendToAnotherSandbox(
  { execution_id, attempt, run }: AttemptRecord,
  counts: Pick<AttemptRecord, 'crashes' | 'losses' | 'lossesInAll'> = {},
) {
  return update<AttemptRecord>(attemptKey(execution_id, attempt), {
    set: { ...counts, status: 'waiting', run: run + 1, run_started_at: null },
    remove: ['sandbox_id', 'task_token'],
    where: { status: ['waiting', 'running'], run: [run] },
  });
}

// -------------------------------------------------------------------------------------------------- events

/** The next sequence number that this process expects to be free, by execution: saves a read an event. */
const nextSequence = new Map<string, number>();

/** Appends an event under the next free sequence number. */
export const appendEvent = (id: string, data: EventData): Promise<ExecutionEvent> =>
  withNextSequence(id, data, async (item) => {
    await conditional(() => dynamodb.send(new PutCommand(item)));
  });

/**
 * Has `write` put an event under the next free sequence number, perhaps with what the event tells. Writers race for the
 * number by the event's condition, so the numbers have no gaps and no event is written over.
 * @throws ConditionFailed if what is written with the event finds its condition unmet
 */
async function withNextSequence(
  id: string,
  data: EventData,
  write: (item: ReturnType<typeof newItem>) => Promise<void>,
): Promise<ExecutionEvent> {
  for (;;) {
    const sequence = nextSequence.get(id) ?? (await lastSequence(id)) + 1;
    const at = new Date().toISOString();
    try {
      await write(newEvent(id, sequence, at, data));
      if (data.type === 'execution.finished') nextSequence.delete(id);
      else nextSequence.set(id, sequence + 1);
      return { execution_id: id, sequence, at, ...data };
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
      // If another invocation in this process was first, it knows the next one.
      if (nextSequence.get(id) === sequence) nextSequence.delete(id);
      if (error.unmet.some((index) => index > 0)) throw error;
    }
  }
}

const newEvent = (id: string, sequence: number, at: string, data: EventData) =>
  newItem(eventKey(id, sequence), { execution_id: id, sequence, at, ...data, expires: expiry() });

/** 0 if there is no event yet. */
export async function lastSequence(id: string): Promise<number> {
  const [last] = await queryAll<ExecutionEvent>({
    ...withPrefix(id, 'EVENT#'),
    ScanIndexForward: false,
    Limit: 1,
  });
  return last?.sequence ?? 0;
}

/** The events after `after`, in order. */
export async function listEvents(id: string, after: number): Promise<ExecutionEvent[]> {
  const items = await queryAll<unknown>({
    KeyConditionExpression: 'pk = :pk AND sk BETWEEN :from AND :to',
    ExpressionAttributeValues: {
      ':pk': `EXECUTION#${id}`,
      ':from': eventSortKey(after + 1),
      ':to': 'EVENT#9999999999',
    },
    ConsistentRead: true,
  });
  return items.map(readEvent);
}

/** Written by this or another version: one that does not fit its schema goes out as it is, for no reader fails of it. */
function readEvent(item: unknown): ExecutionEvent {
  const { data, error } = eventSchema.safeParse(item);
  if (data) return data;
  logger.warn('an event is not as events are', { error: error.message });
  const { pk: _pk, sk: _sk, expires: _expires, ...event } = item as ExecutionEvent & Key & Expiring;
  return event as ExecutionEvent;
}

// --------------------------------------------------------------------------------------------- connections

/** An API Gateway WebSocket lives two hours at most. */
const CONNECTION_SECONDS = 2 * 3600;

export async function createConnection(connectionId: string, executionId: string): Promise<void> {
  await putNew(connectionKey(connectionId), {
    execution_id: executionId,
    expires: expiry(CONNECTION_SECONDS),
  });
}

/** The execution that a connection may follow. */
export async function getConnection(connectionId: string): Promise<string | undefined> {
  return (await get<{ execution_id: string }>(connectionKey(connectionId)))?.execution_id;
}

export async function follow(executionId: string, connectionId: string): Promise<void> {
  await update(followerKey(executionId, connectionId), {
    set: { connection_id: connectionId, expires: expiry(CONNECTION_SECONDS) },
  });
}

export async function listFollowers(executionId: string): Promise<string[]> {
  const items = await queryAll<{ connection_id: string }>(withPrefix(executionId, 'CONNECTION#'));
  return items.map((item) => item.connection_id);
}

export async function deleteConnection(connectionId: string, executionId: string): Promise<void> {
  for (const key of [followerKey(executionId, connectionId), connectionKey(connectionId)]) {
    await dynamodb.send(new DeleteCommand({ TableName: config.tableName, Key: key }));
  }
}

// ----------------------------------------------------------------------------------------------- sandboxes

/** Without an `execution_id` the sandbox is one of the warm pool. */
export async function createSandbox(record: SandboxRecord): Promise<void> {
  const warm = record.execution_id ? {} : { work: 'warm', work_at: record.created_at };
  await putNew(sandboxKey(record.sandbox_id), { ...record, ...warm, expires: expiry() });
}

export const getSandbox = (id: string) => get<SandboxRecord>(sandboxKey(id));

/** Notes the ECS task of a sandbox. @throws ConditionFailed if it has stopped already. */
export function setSandboxTask(id: string, taskArn: string) {
  return update<SandboxRecord>(sandboxKey(id), {
    set: { task_arn: taskArn },
    where: { status: ['starting', 'ready'] },
  });
}

export function countSandboxStart(id: string) {
  return update<SandboxRecord>(sandboxKey(id), { add: { start_tries: 1 }, where: {} });
}

/** @throws ConditionFailed if it was ready before, or has stopped. */
export function setSandboxReady(
  id: string,
  facts: Pick<SandboxRecord, 'isolation' | 'python' | 'packages' | 'started_in'>,
) {
  return update<SandboxRecord>(sandboxKey(id), {
    set: { ...facts, status: 'ready' },
    where: { status: ['starting'] },
  });
}

/** Takes a ready, never-used sandbox for an execution. @throws ConditionFailed if another was first or it has stopped. */
export function claimSandbox(id: string, executionId: string) {
  return update<SandboxRecord>(sandboxKey(id), {
    set: { execution_id: executionId },
    remove: ['work', 'work_at'],
    where: { status: ['ready'], execution_id: undefined },
  });
}

/** With `unclaimed` only one of the warm pool. @throws ConditionFailed if it had stopped before, or has been claimed */
export function setSandboxStopped(id: string, { unclaimed = false, withdrawn = false } = {}) {
  return update<SandboxRecord>(sandboxKey(id), {
    set: { status: 'stopped', withdrawn: withdrawn || undefined },
    remove: ['work', 'work_at'],
    where: { status: ['starting', 'ready'], ...(unclaimed && { execution_id: undefined }) },
  });
}

/** The warm pool: sandboxes that no execution has claimed, starting ones too, oldest first. */
export const listWarmSandboxes = () => queryWork<SandboxRecord>('warm');

// ------------------------------------------------------------------------------------------------- callers

export async function createKey(record: KeyRecord): Promise<void> {
  await putNew(keyKey(record.key_id), { ...record, work: 'key', work_at: record.created_at });
}

export const getKey = (id: string) => get<KeyRecord>(keyKey(id));

/** Oldest first, revoked ones too. */
export const listKeys = () => queryWork<KeyRecord>('key');

/** @throws ConditionFailed if there is no such key, or it was revoked before. */
export function setKeyRevoked(id: string) {
  return update<KeyRecord>(keyKey(id), {
    set: { revoked_at: new Date().toISOString() },
    where: { revoked_at: undefined },
  });
}

export const getQuota = (owner: string) => get<QuotaRecord>(quotaKey(owner));

/** Puts the next version of a record in the place of `version`. @throws ConditionFailed if that was replaced before. */
export async function putQuota({ version, ...record }: QuotaRecord): Promise<void> {
  await conditional(() =>
    dynamodb.send(
      new PutCommand({
        TableName: config.tableName,
        Item: {
          ...record,
          ...quotaKey(record.owner),
          version: version + 1,
          expires: expiry(QUOTA_SECONDS),
        },
        ConditionExpression: version === 0 ? 'attribute_not_exists(pk)' : 'version = :version',
        ExpressionAttributeValues: version === 0 ? undefined : { ':version': version },
      }),
    ),
  );
}

// ------------------------------------------------------------------------------------------------- service

/** The sums of the items of counters whose sort keys begin with `prefix`. */
async function sumCounters(prefix: string): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  const items = await queryAll<Key & Record<string, number>>({
    KeyConditionExpression: 'pk = :pk AND begins_with(sk, :prefix)',
    ExpressionAttributeValues: { ':pk': 'SERVICE', ':prefix': prefix },
    ConsistentRead: true,
  });
  for (const { pk: _, sk: __, ...counts } of items) {
    for (const [name, number] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + number;
  }
  return sums;
}

/** Executions that are stored and have not ended. An earlier version's counters, which could drift, are left out. */
export async function countOpenExecutions(): Promise<number> {
  const { started = 0, succeeded = 0, failed = 0, cancelled = 0 } = await sumCounters('COUNTERS#');
  return started - succeeded - failed - cancelled;
}

/** The counters of /metrics. */
export async function getCounters(): Promise<Counters> {
  const sums = await sumCounters('COUNTERS');
  const of = (name: Exclude<keyof Counters, 'errors'>) => sums[name] ?? 0;
  return {
    started: of('started'),
    succeeded: of('succeeded'),
    failed: of('failed'),
    cancelled: of('cancelled'),
    attempts_of_succeeded: of('attempts_of_succeeded'),
    total_time: of('total_time'),
    prompt_tokens: of('prompt_tokens'),
    completion_tokens: of('completion_tokens'),
    cost: of('cost'),
    costed: of('costed'),
    errors: Object.fromEntries(
      Object.entries(sums)
        .filter(([name]) => name.startsWith('error_'))
        .map(([name, number]) => [name.slice('error_'.length), number]),
    ),
  };
}

/** Notes the isolation that a sandbox reported, layer by layer, for /health. */
export async function setIsolation(isolation: Record<string, string>): Promise<void> {
  await update(ISOLATION, { set: { isolation } });
}

/** null until the first sandbox has reported. */
export async function getIsolation(): Promise<Record<string, string> | null> {
  return (await get<{ isolation: Record<string, string> }>(ISOLATION))?.isolation ?? null;
}
