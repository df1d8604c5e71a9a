/**
 * How an execution moves on. What moves it is called by the workflow's functions and the API; each derives what to do from
 * the store, so doing it again (a retry, a restarted workflow, a message that comes twice) changes nothing.
 *
 *   storeExecution    an execution is there, with the attempts that it takes over from another
 *   launchExecution   stored ─► its workflow runs
 *   nextAttempt       which attempt is to be worked on, and where it stands
 *   moveAttempt       an attempt goes on to its next status
 *   endAttempt        an attempt succeeded or failed ─► the next one, or the end
 *   endExecution      the last attempt ended, the final status, the counters and the event of it, the sandbox is stopped
 *   cancelExecution   the same, and the workflow is stopped; what has succeeded stays so
 *
 * A move, what is counted of it and the event that tells of it are one write (events/feed.ts), so nobody can die in between,
 * and a move that was made before is told already. Its condition is how the record was when it was read. If another was
 * first, the refused write brings the record as it is now, and whoever wrote looks once more, at that.
 *
 * A result's way from the child to the page, downwards; in brackets the file that does it:
 *
 *   the child's result is uploaded to the mailbox                              [sandbox-image/sandbox/supervisor.py]
 *     RunCode looks for it, for a few seconds                                  [run.ts: runAttempt]
 *     or, of a longer run, CollectResult is told by S3 and reads it            [collect.ts: collect]
 *       it is read, checked, its files are looked for: an outcome              [collect.ts: readResult]
 *         the attempt ends with the outcome, in one write with its event       [endAttempt here]
 *           who follows is sent the event                                      [events/feed.ts: publish]
 *         what is next is known from the attempt's record                      [stepAfter here]
 *       the workflow is answered with that                                     [workflow.ts: succeedTask]
 *     GenerateCode makes the next attempt                                      [generation.ts: generateAttempt]
 *     or FinishExecution ends the execution                                    [endExecution here]
 */
import type { EventData } from '../events/events.ts';
import { getSandbox } from '../sandbox/records.ts';
import { stopSandbox } from '../sandbox/sandboxes.ts';
import { nowAfter, secondsBetween } from '../service/clock.ts';
import { config } from '../service/config.ts';
import type { EndCounts } from '../service/counters.ts';
import { heldBy, type ItemWrite, type Written } from '../service/items.ts';
import { measure } from '../service/metrics.ts';
import { isFaultOfService, newAttempt, sumUsage } from './attempts.ts';
import { type AttemptStatus, type ErrorCategory, isFinal } from './execution.ts';
import { amountsOf, cost } from './prices.ts';
import {
  type AttemptChange,
  type AttemptRecord,
  attemptBegin,
  attemptMove,
  canBecome,
  createExecution,
  type EndedExecution,
  type ExecutionRecord,
  executionEnd,
  listAttempts,
  readWork,
  type Work,
} from './records.ts';
import { attemptFinished, toSummary } from './views.ts';
import { startWorkflow, stopWorkflow } from './workflow.ts';

/** What the workflow does next: ids and a word, all the state it carries. */
export interface NextStep {
  execution_id: string;
  attempt: number;
  next: 'generate' | 'check' | 'run' | 'finish';
}

// ------------------------------------------------------------------------------------------------ beginning

/** Stores an execution, with the attempts that it takes over: its events tell of them as if it had made them. */
export function storeExecution(
  record: ExecutionRecord,
  taken: AttemptRecord[],
): Promise<Written<ExecutionRecord>> {
  const told = taken.flatMap((attempt): EventData[] => {
    const finished = attemptFinished(record, attempt);
    const { code, generated_at } = finished.result;
    return [
      attemptStarted(record, attempt),
      ...(generated_at ? [{ type: 'code.completed', attempt: attempt.attempt, code } as const] : []),
      finished,
    ];
  });
  return createExecution(record, taken, [
    { type: 'execution.started', execution: toSummary(record) },
    ...told,
  ]);
}

/** Makes sure that the workflow of a stored execution is under way. */
export const launchExecution = ({ execution_id }: ExecutionRecord) => startWorkflow(execution_id);

export const attemptStarted = (execution: ExecutionRecord, { attempt }: AttemptRecord) =>
  ({ type: 'attempt.started', attempt, total_attempts: execution.max_retries }) as const;

/** The attempt to be worked on, and those before it. */
export interface CurrentAttempt {
  attempt: AttemptRecord;
  earlier: AttemptRecord[];
  /** It has just begun, and that is told. */
  isNew: boolean;
}

/** The last attempt if it is unfinished, else a new one; null if there can be no more. */
export async function nextAttempt({ execution, feed }: Work): Promise<CurrentAttempt | null> {
  const { execution_id, attempts: count, created_at } = execution;
  const attempts = count > 0 ? await listAttempts(execution_id) : [];
  const last = attempts.at(-1);
  if (last && !last.finished_at) return { attempt: last, earlier: attempts.slice(0, -1), isNew: false };
  // One that is cancelled is followed by the end of its execution.
  if (last && (last.status !== 'failed' || last.attempt >= execution.max_retries)) return null;
  const record: AttemptRecord = {
    ...newAttempt((last?.attempt ?? 0) + 1, nowAfter(created_at, last?.finished_at)),
    execution_id,
    locals: {},
    run: 1,
    lossesInAll: last?.lossesInAll ?? 0,
  };
  const [counted, begun] = attemptBegin(record);
  const unmet = await feed.publish([attemptStarted(execution, record)], [counted, begun]);
  if (unmet.size === 0) return { attempt: record, earlier: attempts, isNew: true };
  // Another has begun it, or the execution has ended.
  const found = heldBy<AttemptRecord>(unmet, begun);
  return found ? { attempt: found, earlier: attempts, isNew: false } : null;
}

// ------------------------------------------------------------------------------------------------- attempts

/**
 * Moves an attempt to another status and tells of it, if it can still become that and has not gone to another sandbox. What
 * `change` sets is taken from the record as it is then. `also`: what else must hold for it.
 */
export async function moveAttempt(
  { feed }: Work,
  attempt: AttemptRecord,
  to: AttemptStatus,
  change: (current: AttemptRecord) => AttemptChange,
  told: (moved: AttemptRecord) => EventData[],
  also: ItemWrite[] = [],
): Promise<Written<AttemptRecord>> {
  let current: AttemptRecord | undefined = attempt;
  while (current && canBecome(current, to) && current.run === attempt.run) {
    const { after, write } = attemptMove(current, { ...change(current), status: to });
    const unmet = await feed.publish(told(after), [write, ...also]);
    if (unmet.size === 0) return { ours: true, record: after };
    if (!unmet.has(write)) break;
    current = heldBy<AttemptRecord>(unmet, write);
  }
  return { ours: false, record: current };
}

/** What the events of an attempt's end tell beside its record. */
interface Telling {
  /** The whole output, where it is at hand: the record may only say where it is. */
  output?: string;
  /** What ended the attempt, where there is an event of it. */
  because?: EventData;
}

/** Ends an attempt with what came of it, unless it has ended or has gone to another sandbox. */
export async function endAttempt(
  work: Work,
  attempt: AttemptRecord,
  to: 'succeeded' | 'failed' | 'cancelled',
  outcome: AttemptChange = {},
  { output, because }: Telling = {},
): Promise<Written<AttemptRecord>> {
  const ended = await moveAttempt(
    work,
    attempt,
    to,
    (current) => {
      const { started_at, generated_at, checked_at, execution_time } = { ...current, ...outcome };
      const run_started_at = current.run_started_at ?? beginOfRun(checked_at, execution_time);
      const finished_at = nowAfter(started_at, generated_at, checked_at, run_started_at);
      return { ...outcome, run_started_at, finished_at };
    },
    (after) => [...(because ? [because] : []), attemptFinished(work.execution, after, output)],
  );
  if (ended.ours) measureAttempt(ended.record);
  return ended;
}

/** Of a run that was so short that nobody was told of its begin. */
function beginOfRun(checkedAt: string | null, seconds: number | null): string | null {
  if (seconds === null) return null;
  return new Date(
    Math.max(Date.parse(checkedAt ?? ''), Date.now() - seconds * 1000) || Date.now(),
  ).toISOString();
}

function measureAttempt({ status, error_category, execution_time }: AttemptRecord): void {
  if (status === 'failed' && error_category) measure('AttemptsFailed', 1, error_category);
  if (execution_time !== null) measure('RunTime', execution_time);
}

/** What is next after an attempt as it stands now. */
export function stepAfter(
  execution: ExecutionRecord,
  { attempt, status, error_category }: AttemptRecord,
): NextStep {
  const next = () => {
    if (status === 'generating') return 'generate';
    if (status === 'checking') return 'check';
    if (status === 'waiting' || status === 'running') return 'run';
    const again = status === 'failed' && !isFaultOfService(error_category) && attempt < execution.max_retries;
    return again ? 'generate' : 'finish';
  };
  return { execution_id: execution.execution_id, attempt, next: next() };
}

/** Nothing is left to be done. */
export const finishStep = (execution_id: string, attempt = 0): NextStep => ({
  execution_id,
  attempt,
  next: 'finish',
});

// ---------------------------------------------------------------------------------------------------- the end

/** As what an execution ends, and why, if not well. */
type Ending = Pick<EndedExecution, 'status' | 'error' | 'error_category'>;

const CANCELLED: Ending = { status: 'cancelled', error: 'Cancelled.', error_category: null };

/** Ends an execution, as its attempts say or, with `failure`, for a fault of the service. */
export const endExecution = (id: string, failure?: { category: ErrorCategory; error: string }) =>
  end(id, failure && { status: 'failed', error: failure.error, error_category: failure.category });

/** Cancels an execution, unless it has ended or its last attempt has succeeded, with which it ends then. */
export const cancelExecution = (id: string) => end(id, CANCELLED);

/**
 * Ends an execution as its last attempt says or, if that has not succeeded, for `reason`. Ending an ended one only makes
 * sure that its sandbox is gone and, cancelling it, its workflow.
 *
 * Results, a cancellation and a failure of the workflow may come at the same moment. So an attempt that is under way is
 * ended first, and then the execution, on condition that it has begun no other meanwhile; who comes too late with either
 * looks again. Held by that: an execution that was cancelled or has failed has no attempt that succeeded or goes on, and
 * its end is counted and told once.
 */
async function end(id: string, reason?: Ending): Promise<void> {
  for (;;) {
    const work = await readWork(id);
    if (!work) return;
    const { execution } = work;
    if (isFinal(execution.status)) return leaveNothing(execution, reason);
    // Read after the execution, so that the attempts that it counts are among them.
    const attempts = await listAttempts(id);
    const last = attempts.at(-1);
    const ending = endingAfter(last, reason);
    if (last && !last.finished_at) {
      const { error, error_category } = ending;
      const { record = last } = await endAttempt(work, last, ending.status, { error, error_category });
      attempts[attempts.length - 1] = record;
      if (!record.finished_at) continue;
    }
    const ended = { ...execution, ...endingAfter(attempts.at(-1), reason) };
    if (await conclude(work, ended, attempts)) return leaveNothing(ended, reason);
  }
}

/** Sees to it that nothing of an execution that has ended goes on; for who cancels, its workflow neither. */
async function leaveNothing({ execution_id, sandbox_id, status }: ExecutionRecord, reason?: Ending) {
  // Before the sandbox is stopped, which the workflow would take for the loss of it.
  if (reason === CANCELLED && status === 'cancelled') await stopWorkflow(execution_id);
  if (sandbox_id) await stopSandbox(sandbox_id, `execution ${status}`);
}

function endingAfter(last: AttemptRecord | undefined, reason?: Ending): Ending {
  if (last?.status === 'succeeded') return { status: 'succeeded', error: null, error_category: null };
  // Its execution was about to be cancelled, too.
  if (last?.status === 'cancelled') return CANCELLED;
  const error = last?.error ?? 'The execution ended before its first attempt.';
  return reason ?? { status: 'failed', error, error_category: last?.error_category ?? null };
}

/** Gives an execution its final status. Gives false if it has one or has gone on. */
async function conclude(
  { feed }: Work,
  execution: ExecutionRecord & Ending,
  attempts: AttemptRecord[],
): Promise<boolean> {
  const { status, created_at } = execution;
  const ended = { ...execution, finished_at: nowAfter(created_at, attempts.at(-1)?.finished_at) };
  const usage = sumUsage(attempts);
  const time = secondsBetween(created_at, ended.finished_at);
  const costs = await estimateCost(ended, attempts);
  const counts: EndCounts = {
    attempts_of_succeeded: status === 'succeeded' ? attempts.length : 0,
    total_time: time,
    prompt_tokens: usage?.prompt_tokens ?? 0,
    completion_tokens: usage?.completion_tokens ?? 0,
    ...(costs !== undefined && { cost: costs, costed: 1 }),
  };
  const event = { type: 'execution.finished', execution: toSummary(ended) } as const;
  const unmet = await feed.publish([event], executionEnd(ended, counts), { ended: true });
  if (unmet.size > 0) return false;
  measure('ExecutionsEnded', 1, status);
  measure('ExecutionTime', time);
  if (status === 'succeeded') measure('AttemptsBeforeSuccess', ended.attempts);
  if (costs !== undefined) measure('ExecutionCost', costs * 100);
  return true;
}

/**
 * What an execution that has ended cost in US dollars, without the model: estimated from its course, and of its sandboxes
 * with the last alone. Undefined where nothing is billed.
 */
async function estimateCost(
  { sandbox_id, created_at, finished_at }: ExecutionRecord,
  attempts: AttemptRecord[],
): Promise<number | undefined> {
  const size = config.sandboxSize;
  if (!size || !finished_at) return undefined;
  const sandbox = sandbox_id ? await getSandbox(sandbox_id) : undefined;
  const own = attempts.filter(({ taken_from }) => !taken_from);
  // A warm one has waited on the pool's account.
  const since = sandbox && sandbox.created_at > created_at ? sandbox.created_at : created_at;
  const amounts = amountsOf({
    attempts: own.length,
    generationSeconds: own.reduce(
      (sum, attempt) => sum + secondsBetween(attempt.started_at, attempt.generated_at ?? finished_at),
      0,
    ),
    sandboxSeconds: sandbox ? secondsBetween(since, finished_at) : 0,
  });
  const { tasks, rest } = cost(amounts, { ...size, spot: sandbox?.capacity_provider === 'FARGATE_SPOT' });
  return tasks + rest;
}
