/**
 * How an execution moves on. The workflow's functions and the API call these; each derives what to do from the
 * store, so doing it again (a retry, a restarted workflow, a message that comes twice) changes nothing.
 *
 *   storeExecution    an execution is there, with the attempts that it takes over from another
 *   launchExecution   stored ─► its workflow runs
 *   nextAttempt       which attempt is to be worked on, and where it stands
 *   endAttempt        an attempt succeeded or failed ─► the next one, or the end
 *   endExecution      the last attempt ended, the final status, the counters and the event of it, the sandbox is stopped
 *   cancelExecution   the same, and the workflow is stopped; what has succeeded stays so
 */
import { stripVTControlCharacters } from 'node:util';
import type { EventData } from '../events/events.ts';
import { tellFollowers } from '../events/publish.ts';
import { stopSandbox } from '../sandbox/sandboxes.ts';
import { nowAfter, secondsBetween } from '../service/clock.ts';
import { config } from '../service/config.ts';
import { ConditionFailed } from '../service/errors.ts';
import { measure } from '../service/metrics.ts';
import {
  type AttemptEnd,
  type AttemptRecord,
  createAttempt,
  createExecution,
  type EndedExecution,
  type ExecutionRecord,
  finishAttempt,
  finishExecution,
  getAttempt,
  getExecution,
  getSandbox,
  listAttempts,
  listEvents,
} from '../service/store.ts';
import { withFittingOutputs } from './answer-size.ts';
import { isFaultOfService, newAttempt, sumUsage } from './attempts.ts';
import {
  type Attempt,
  attemptStatusesBefore,
  type ErrorCategory,
  type Execution,
  type ExecutionSummary,
  isFinal,
} from './execution.ts';
import { placeInLine } from './line.ts';
import { amountsOf, cost } from './prices.ts';
import { readText } from './texts.ts';
import { startWorkflow, stopWorkflow } from './workflow.ts';

/** What the workflow does next: ids and a verdict, all the state it carries. */
export interface Verdict {
  execution_id: string;
  attempt: number;
  next: 'generate' | 'check' | 'run' | 'finish';
}

/** Characters up to which a code or output is part of an event: a WebSocket message may have 128 KB. */
const EVENT_TEXT = 16_000;

export const forEvent = (text: string | null) => (text && text.length > EVENT_TEXT ? null : text);

// --------------------------------------------------------------------------------------------- API's views

export function toSummary(record: ExecutionRecord): ExecutionSummary {
  const { execution_id, status, prompt, max_retries, timeout, policy, model, attempts } = record;
  const { error, error_category, created_at, finished_at, resumes = null } = record;
  return {
    execution_id,
    status,
    success: status === 'succeeded',
    prompt,
    max_retries,
    timeout,
    policy,
    model,
    attempts,
    resumes,
    error,
    error_category,
    created_at,
    finished_at,
    total_time: finished_at && secondsBetween(created_at, finished_at),
  } as ExecutionSummary;
}

/** An attempt as the API shows it. `shown` is what only the events hold so far: the code or output while it comes. */
async function toAttempt(
  record: AttemptRecord,
  { max_retries, tests }: ExecutionRecord,
  shown: { code?: string; output?: string } = {},
): Promise<Attempt> {
  const [code, output] = await Promise.all([readText(record.code), readText(record.output)]);
  return {
    attempt: record.attempt,
    total_attempts: max_retries,
    status: record.status,
    success: record.status === 'succeeded',
    code: code ?? shown.code ?? null,
    output: output ?? shown.output ?? null,
    output_truncated: record.output_truncated,
    error: record.error,
    error_category: record.error_category,
    error_line: record.error_line,
    traceback: record.traceback,
    violations: record.violations,
    standard_permits: record.standard_permits ?? false,
    execution_time: record.execution_time,
    exit_code: record.exit_code ?? null,
    signal: record.signal ?? null,
    peak_memory_bytes: record.peak_memory_bytes ?? null,
    artifacts: record.artifacts,
    artifacts_skipped: record.artifacts_skipped ?? [],
    without_output: tests === null && isWithoutOutput(record, output),
    usage: record.usage,
    taken_from: record.taken_from ?? null,
    started_at: record.started_at,
    generated_at: record.generated_at,
    checked_at: record.checked_at,
    run_started_at: record.run_started_at,
    finished_at: record.finished_at,
  };
}

/** Whether a program did well and there is nothing to be seen of it: no text (spaces and colours are none), no file. */
function isWithoutOutput(
  { status, output: stored, artifacts, artifacts_skipped = [] }: AttemptRecord,
  output: string | null,
) {
  const isLost = stored !== null && output === null;
  if (isLost || status !== 'succeeded' || artifacts.length > 0 || artifacts_skipped.length > 0) return false;
  return /^[\s\p{Cc}\p{Cf}]*$/u.test(stripVTControlCharacters(output ?? ''));
}

/** The code and output of an unfinished attempt, put together from its events. */
function shownSoFar(events: EventData[], { attempt, run }: AttemptRecord) {
  let code: string | undefined;
  // Chunks may come late and twice, as the events of S3 that bring them.
  const output: string[] = [];
  for (const event of events) {
    if (event.type === 'attempt.started' && event.attempt === attempt) code = undefined;
    if (event.type === 'code.delta' && event.attempt === attempt) code = (code ?? '') + event.text;
    if (event.type === 'run.output' && event.attempt === attempt && event.run === run) {
      output[event.chunk] = event.text;
    }
  }
  return { code, output: output.length > 0 ? output.join('') : undefined };
}

/** The execution with all its attempts, as it is now. */
export async function readExecution(record: ExecutionRecord): Promise<Execution> {
  // Events before records: what a record gained in between comes again as an event after `sequence`, which does no
  // harm; the other way round it would be lost to a client that resumes after `sequence`.
  const events = await listEvents(record.execution_id, 0);
  const [current = record, attempts] = await Promise.all([
    getExecution(record.execution_id),
    listAttempts(record.execution_id),
  ]);
  const results = withFittingOutputs(
    await Promise.all(
      attempts.map((attempt) =>
        toAttempt(attempt, current, attempt.finished_at ? {} : shownSoFar(events, attempt)),
      ),
    ),
  );
  return {
    ...toSummary(current),
    tests: current.tests,
    results,
    final_result: isFinal(current.status) ? (results.at(-1) ?? null) : null,
    place_in_line: current.status === 'queued' ? await placeInLine(current.execution_id) : null,
    usage: sumUsage(attempts),
    sequence: events.at(-1)?.sequence ?? 0,
    ticket: current.ticket,
  };
}

/** An execution that has just been stored, as far as its record tells. */
export const readAsStored = (record: ExecutionRecord): Execution => ({
  ...toSummary(record),
  tests: record.tests,
  results: [],
  final_result: null,
  place_in_line: null,
  usage: null,
  sequence: 0,
  ticket: record.ticket,
});

// --------------------------------------------------------------------------------------------------- moves

/**
 * Stores an execution, with the attempts that it takes over: its events tell of them as if it had made them.
 * @throws ConditionFailed if the id is taken
 */
export async function storeExecution(record: ExecutionRecord, taken: AttemptRecord[]): Promise<void> {
  const told = taken.map(async (attempt): Promise<EventData[]> => {
    const finished = await finishedEvent(record, attempt);
    const { code, generated_at } = finished.result;
    return [
      { type: 'attempt.started', attempt: attempt.attempt, total_attempts: record.max_retries },
      ...(generated_at ? [{ type: 'code.completed', attempt: attempt.attempt, code } as const] : []),
      finished,
    ];
  });
  const started = { type: 'execution.started', execution: toSummary(record) } as const;
  await createExecution(record, taken, [started, ...(await Promise.all(told)).flat()]);
}

/** Makes sure that the workflow of a stored execution is under way. */
export const launchExecution = ({ execution_id }: ExecutionRecord) => startWorkflow(execution_id);

/** The execution if it has not ended; null if it has or is unknown: then there is nothing to do. */
export async function openExecution(id: string): Promise<ExecutionRecord | null> {
  const record = await getExecution(id);
  return record && !isFinal(record.status) ? record : null;
}

/** The attempt to be worked on: the last one if it is unfinished, else a new one; null if there can be no more. */
export async function nextAttempt(execution: ExecutionRecord): Promise<AttemptRecord | null> {
  const { execution_id, attempts } = execution;
  const last = attempts > 0 ? await getAttempt(execution_id, attempts) : undefined;
  if (last && !last.finished_at) return last;
  // One that is cancelled is followed by the end of its execution.
  if (last && (last.status !== 'failed' || attempts >= execution.max_retries)) return null;
  // One that is counted and not there was about to begin when its function died.
  const attempt = last ? attempts + 1 : Math.max(attempts, 1);
  const record: AttemptRecord = {
    ...newAttempt(attempt, nowAfter(execution.created_at, last?.finished_at)),
    execution_id,
    locals: {},
    run: 1,
    lossesInAll: last?.lossesInAll ?? 0,
  };
  try {
    await createAttempt(record);
    return record;
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
    return (await getAttempt(execution_id, attempt)) ?? null;
  }
}

/** Ends an attempt with what came of it, and says what is next. Ending an ended one changes nothing. */
export async function endAttempt(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
  to: AttemptEnd['status'],
  outcome: Partial<AttemptRecord> = {},
): Promise<Verdict> {
  let current: AttemptRecord = attempt;
  while (attemptStatusesBefore(to).includes(current.status) && current.run === attempt.run) {
    const finished_at = nowAfter(
      current.started_at,
      outcome.generated_at ?? current.generated_at,
      current.checked_at,
      current.run_started_at,
    );
    const end: AttemptEnd = { ...outcome, status: to, finished_at };
    const ended = { ...current, ...end };
    const event = await finishedEvent(execution, ended);
    try {
      await tellFollowers(await finishAttempt(current, end, event));
      measureAttempt(ended);
      return verdictAfter(execution, ended);
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
      // It has moved meanwhile, perhaps to its end.
      const moved = await getAttempt(attempt.execution_id, attempt.attempt);
      if (!moved) throw error;
      current = moved;
    }
  }
  return verdictAfter(execution, current);
}

async function finishedEvent(execution: ExecutionRecord, ended: AttemptRecord) {
  const result = await toAttempt(ended, execution);
  return {
    type: 'attempt.finished',
    attempt: ended.attempt,
    result: { ...result, code: forEvent(result.code), output: forEvent(result.output) },
  } as const;
}

function measureAttempt({ status, error_category, execution_time }: AttemptRecord): void {
  if (status === 'failed' && error_category) measure('AttemptsFailed', 1, error_category);
  if (execution_time !== null) measure('RunTime', execution_time);
}

/** What is next after an attempt as it stands now. */
export function verdictAfter(
  execution: ExecutionRecord,
  { attempt, status, error_category }: AttemptRecord,
): Verdict {
  const next = () => {
    if (status === 'generating') return 'generate';
    if (status === 'checking') return 'check';
    if (status === 'waiting' || status === 'running') return 'run';
    const again = status === 'failed' && !isFaultOfService(error_category) && attempt < execution.max_retries;
    return again ? 'generate' : 'finish';
  };
  return { execution_id: execution.execution_id, attempt, next: next() };
}

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
    const execution = await getExecution(id);
    if (!execution) return;
    if (isFinal(execution.status)) {
      // Before the sandbox is stopped, which the workflow would take for the loss of it.
      if (reason === CANCELLED && execution.status === 'cancelled') await stopWorkflow(id);
      if (execution.sandbox_id) await stopSandbox(execution.sandbox_id, `execution ${execution.status}`);
      return;
    }
    // Read after the execution, so that the attempts that it counts are among them.
    const attempts = await listAttempts(id);
    const last = attempts.at(-1);
    const ending = endingAfter(last, reason);
    if (last && !last.finished_at) {
      const { error, error_category } = ending;
      await endAttempt(execution, last, ending.status, { error, error_category });
    } else {
      await conclude({ ...execution, ...ending }, attempts);
    }
  }
}

function endingAfter(last: AttemptRecord | undefined, reason?: Ending): Ending {
  if (last?.status === 'succeeded') return { status: 'succeeded', error: null, error_category: null };
  // Its execution was about to be cancelled, too.
  if (last?.status === 'cancelled') return CANCELLED;
  const error = last?.error ?? 'The execution ended before its first attempt.';
  return reason ?? { status: 'failed', error, error_category: last?.error_category ?? null };
}

/** Gives an execution its final status, unless it has one or has gone on. */
async function conclude(execution: ExecutionRecord & Ending, attempts: AttemptRecord[]): Promise<void> {
  const { status, created_at } = execution;
  const ended = { ...execution, finished_at: nowAfter(created_at, attempts.at(-1)?.finished_at) };
  const usage = sumUsage(attempts);
  const time = secondsBetween(created_at, ended.finished_at);
  const costs = await estimateCost(ended, attempts);
  const counts = {
    attempts_of_succeeded: status === 'succeeded' ? attempts.length : 0,
    total_time: time,
    prompt_tokens: usage?.prompt_tokens ?? 0,
    completion_tokens: usage?.completion_tokens ?? 0,
    ...(costs !== undefined && { cost: costs, costed: 1 }),
  };
  try {
    const event = { type: 'execution.finished', execution: toSummary(ended) } as const;
    await tellFollowers(await finishExecution(ended, counts, event));
  } catch (error) {
    if (error instanceof ConditionFailed) return;
    throw error;
  }
  measure('ExecutionsEnded', 1, status);
  measure('ExecutionTime', time);
  if (status === 'succeeded') measure('AttemptsBeforeSuccess', ended.attempts);
  if (costs !== undefined) measure('ExecutionCost', costs * 100);
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
