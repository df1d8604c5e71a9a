/** Executions and their attempts as they are stored, and the moves between their statuses. */
import { QueryCommand } from '@aws-sdk/lib-dynamodb';
import type { EventData, ExecutionEvent } from '../events/events.ts';
import { FEED, Feed, type FeedRecord, newFeed, readEvent } from '../events/feed.ts';
import { dynamodb } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { countedFor, type EndCounts } from '../service/counters.ts';
import {
  changedItem,
  changeItem,
  type Expiring,
  expiryIn,
  type Fields,
  hasExpired,
  heldBy,
  type ItemWrite,
  itemsBetween,
  type Key,
  newItem,
  queryItems,
  queryWork,
  readItem,
  type Written,
  writeTogether,
} from '../service/items.ts';
import {
  type Artifact,
  type AttemptStatus,
  attemptStatusesBefore,
  type ErrorCategory,
  type ExecutionStatus,
  executionStatusesBefore,
  type FinalStatus,
  isFinal,
  type Policy,
  type SkippedArtifact,
  type Usage,
  type Violation,
} from './execution.ts';
import type { StoredText } from './texts.ts';

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
  /** Of the workflow that waits for the run, as long as nobody has surely answered it. */
  task_token?: string;
  /** Epoch milliseconds until which RunCode looks for the result itself. */
  looked_for_until?: number;
  /** The execution that made it, whose id its texts and files bear, where this one has taken it over. */
  taken_from?: string | null;
}

const EXECUTION = 'EXECUTION';
const executionKey = (id: string): Key => ({ pk: `EXECUTION#${id}`, sk: EXECUTION });
const attemptKey = (id: string, attempt: number): Key => ({
  pk: `EXECUTION#${id}`,
  sk: `ATTEMPT#${String(attempt).padStart(4, '0')}`,
});
const OPEN: ExecutionStatus[] = ['queued', 'running'];

// ---------------------------------------------------------------------------------------------- executions

/**
 * Stores an execution with the attempts that it takes over and the events that it begins with, and counts it, in one write,
 * unless its id is taken.
 */
export async function createExecution(
  record: ExecutionRecord,
  attempts: AttemptRecord[] = [],
  events: EventData[] = [],
): Promise<Written<ExecutionRecord>> {
  const { execution_id, owner, created_at } = record;
  const stored = newItem(executionKey(execution_id), {
    ...record,
    history: owner,
    history_at: `${created_at}#${execution_id}`,
    work: 'queued',
    work_at: created_at,
    expires: expiryIn(),
  });
  const unmet = await writeTogether([
    stored,
    countedFor(execution_id, { started: 1 }),
    ...attempts.map((attempt) =>
      newItem(attemptKey(execution_id, attempt.attempt), { ...attempt, expires: expiryIn() }),
    ),
    ...newFeed(execution_id, events),
  ]);
  return unmet.size === 0
    ? { ours: true, record }
    : { ours: false, record: heldBy<ExecutionRecord>(unmet, stored) };
}

/** Anything else is no execution's id, nor could DynamoDB, which limits keys, be asked for every text. */
const EXECUTION_ID = /^[\w-]{1,64}$/;

/** Undefined also when its time is over: DynamoDB may keep it for days more, and its files are gone then. */
const unexpired = <T>(item: (T & Expiring) | undefined): T | undefined =>
  item && !hasExpired(item) ? item : undefined;

export async function getExecution(id: string): Promise<ExecutionRecord | undefined> {
  if (!EXECUTION_ID.test(id)) return undefined;
  return unexpired(await readItem<ExecutionRecord & Expiring>(executionKey(id)));
}

/** What a step works on: the execution, and the feed that tells of it. */
export interface Work {
  execution: ExecutionRecord;
  feed: Feed;
}

/** Both in one read. */
export async function readWork(id: string): Promise<Work | undefined> {
  if (!EXECUTION_ID.test(id)) return undefined;
  const items = await queryItems<Key & Expiring>(itemsBetween(`EXECUTION#${id}`, EXECUTION, FEED));
  const find = <T>(sort: string) => items.find(({ sk }) => sk === sort) as (T & Expiring) | undefined;
  const execution = unexpired(find<ExecutionRecord>(EXECUTION));
  return execution && { execution, feed: await Feed.of(id, find<FeedRecord>(FEED)) };
}

/** Undefined if the execution has ended or is unknown: then there is nothing to do. */
export async function openWork(id: string): Promise<Work | undefined> {
  const work = await readWork(id);
  return work && !isFinal(work.execution.status) ? work : undefined;
}

/** All that is known of an execution; the attempts and events in order. */
export interface Snapshot {
  execution: ExecutionRecord;
  attempts: AttemptRecord[];
  events: ExecutionEvent[];
}

/**
 * All of it in one read, backwards: first the execution, then its events, then its attempts. What an attempt gained in
 * between comes again as an event after the last one here, which does no harm; what the execution gained is in the events.
 */
export async function readSnapshot(id: string): Promise<Snapshot | undefined> {
  if (!EXECUTION_ID.test(id)) return undefined;
  const items = await queryItems<Key & Fields>({
    KeyConditionExpression: 'pk = :pk',
    ExpressionAttributeValues: { ':pk': `EXECUTION#${id}` },
    ConsistentRead: true,
    ScanIndexForward: false,
  });
  const all = (prefix: string) => items.filter(({ sk }) => sk.startsWith(prefix)).reverse();
  const [stored] = all(EXECUTION) as unknown as (ExecutionRecord & Expiring)[];
  const execution = unexpired(stored);
  if (!execution) return undefined;
  const events = all('EVENT#').map(readEvent);
  return {
    execution: events.reduce(asToldBy, execution),
    attempts: all('ATTEMPT#') as unknown as AttemptRecord[],
    events,
  };
}

function asToldBy(execution: ExecutionRecord, event: ExecutionEvent): ExecutionRecord {
  if (event.type === 'execution.finished') {
    const { status, attempts, error, error_category, finished_at } = event.execution;
    return { ...execution, status, attempts, error, error_category, finished_at };
  }
  if (event.type === 'attempt.started' && event.attempt > execution.attempts) {
    return { ...execution, status: 'running', attempts: event.attempt };
  }
  return execution;
}

export interface EndedExecution extends ExecutionRecord {
  status: FinalStatus;
  finished_at: string;
}

/**
 * The writes that end an execution, on condition that it has not ended, nor begun another attempt or been given another
 * sandbox than `ended` says, and that count it.
 */
export function executionEnd(ended: EndedExecution, counts: EndCounts): ItemWrite[] {
  const { execution_id, status, finished_at, error, error_category, attempts, sandbox_id } = ended;
  const add = { [status]: 1, ...counts, ...(error_category && { [`error_${error_category}`]: 1 }) };
  return [
    changedItem(executionKey(execution_id), {
      set: { status, finished_at, error, error_category },
      remove: ['work', 'work_at'],
      where: {
        status: executionStatusesBefore(status),
        attempts: [attempts],
        sandbox_id: sandbox_id ? [sandbox_id] : undefined,
      },
    }),
    countedFor(execution_id, add),
  ];
}

/** The write that makes `sandboxId` the execution's sandbox, unless it has ended or has another than before. */
export const sandboxAssignment = (execution: ExecutionRecord, sandboxId: string): ItemWrite =>
  changedItem(executionKey(execution.execution_id), {
    set: { sandbox_id: sandboxId },
    where: { status: OPEN, sandbox_id: execution.sandbox_id ? [execution.sandbox_id] : undefined },
  });

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

// ------------------------------------------------------------------------------------------------ attempts

export const getAttempt = (id: string, attempt: number) => readItem<AttemptRecord>(attemptKey(id, attempt));

/** In order. */
export const listAttempts = (id: string) =>
  queryItems<AttemptRecord>(itemsBetween(`EXECUTION#${id}`, 'ATTEMPT#', 'ATTEMPT$'));

/**
 * The writes that begin an attempt, with which its execution is running: on condition that it has not ended, and was not
 * begun before. Earlier versions counted an attempt first and then stored it: one that is counted and not there is begun.
 */
export function attemptBegin(record: AttemptRecord): [execution: ItemWrite, attempt: ItemWrite] {
  const { execution_id, attempt } = record;
  return [
    changedItem(executionKey(execution_id), {
      set: { status: 'running', attempts: attempt },
      remove: ['work', 'work_at'],
      where: { status: OPEN, attempts: [attempt - 1, attempt] },
    }),
    newItem(attemptKey(execution_id, attempt), { ...record, expires: expiryIn() }),
  ];
}

/** What a move changes beside the status; undefined: the attempt loses it. */
export type AttemptChange = Partial<AttemptRecord>;

/** A move of an attempt as it was read, from which it follows how it will be. */
export interface AttemptMove {
  after: AttemptRecord;
  /** On condition that it is as it was read, by its status and its run. */
  write: ItemWrite;
}

export const canBecome = ({ status }: AttemptRecord, to: AttemptStatus) =>
  attemptStatusesBefore(to).includes(status);

export const attemptMove = (before: AttemptRecord, change: AttemptChange): AttemptMove => ({
  after: { ...before, ...change },
  write: changedItem(attemptKey(before.execution_id, before.attempt), changeOf(before, change)),
});

/** A move that no event tells of, under the same condition. */
export const changeAttempt = (
  before: AttemptRecord,
  change: AttemptChange,
): Promise<Written<AttemptRecord>> =>
  changeItem<AttemptRecord>(attemptKey(before.execution_id, before.attempt), changeOf(before, change));

const changeOf = ({ status, run }: AttemptRecord, change: AttemptChange) => ({
  set: change,
  remove: Object.keys(change).filter((name) => change[name as keyof AttemptChange] === undefined),
  where: { status: [status], run: [run] },
});
