/** Executions and attempts as the API and the events show them. */
import { stripVTControlCharacters } from 'node:util';
import type { EventData } from '../events/events.ts';
import { secondsBetween } from '../service/clock.ts';
import { withFittingOutputs } from './answer-size.ts';
import { sumUsage } from './attempts.ts';
import { type Attempt, type Execution, type ExecutionSummary, isFinal } from './execution.ts';
import { placeInLine } from './line.ts';
import type { AttemptRecord, ExecutionRecord, Snapshot } from './records.ts';
import { readText, textInItem } from './texts.ts';

/** Characters up to which a code or output is part of an event: a WebSocket message may have 128 KB. */
const EVENT_TEXT = 16_000;

export const forEvent = (text: string | null) => (text && text.length > EVENT_TEXT ? null : text);

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

/** The code and output of an attempt, as far as they are at hand. */
interface Texts {
  code: string | null;
  output: string | null;
}

const viewOf = (record: AttemptRecord, { max_retries, tests }: ExecutionRecord, { code, output }: Texts) =>
  ({
    attempt: record.attempt,
    total_attempts: max_retries,
    status: record.status,
    success: record.status === 'succeeded',
    code,
    output,
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
  }) satisfies Attempt;

/** Whether a program did well and there is nothing to be seen of it: no text (spaces and colours are none), no file. */
function isWithoutOutput(
  { status, output: stored, artifacts, artifacts_skipped = [] }: AttemptRecord,
  output: string | null,
) {
  const isLost = stored !== null && output === null;
  if (isLost || status !== 'succeeded' || artifacts.length > 0 || artifacts_skipped.length > 0) return false;
  return /^[\s\p{Cc}\p{Cf}]*$/u.test(stripVTControlCharacters(output ?? ''));
}

/** The event that tells of an attempt's end. `output` is at hand while its result is taken in; long texts are not read. */
export function attemptFinished(
  execution: ExecutionRecord,
  record: AttemptRecord,
  output = textInItem(record.output),
): EventData & { type: 'attempt.finished' } {
  const result = viewOf(record, execution, { code: textInItem(record.code), output });
  return {
    type: 'attempt.finished',
    attempt: record.attempt,
    result: { ...result, code: forEvent(result.code), output: forEvent(result.output) },
  };
}

/** The code and output of an unfinished attempt, put together from its events. */
function toldSoFar(events: readonly EventData[], { attempt, run }: AttemptRecord): Texts {
  let code: string | null = null;
  // Chunks may come late and twice, as the events of S3 that bring them.
  const output: string[] = [];
  for (const event of events) {
    if (event.type === 'attempt.started' && event.attempt === attempt) code = null;
    if (event.type === 'code.delta' && event.attempt === attempt) code = (code ?? '') + event.text;
    if (event.type === 'run.output' && event.attempt === attempt && event.run === run) {
      output[event.chunk] = event.text;
    }
  }
  return { code, output: output.length > 0 ? output.join('') : null };
}

async function readTexts(record: AttemptRecord, events: readonly EventData[]): Promise<Texts> {
  const [code, output] = await Promise.all([readText(record.code), readText(record.output)]);
  const told = record.finished_at ? { code: null, output: null } : toldSoFar(events, record);
  return { code: code ?? told.code, output: output ?? told.output };
}

/** The execution with all its attempts. */
export async function viewOfExecution({ execution, attempts, events }: Snapshot): Promise<Execution> {
  const views = attempts.map(async (attempt) => viewOf(attempt, execution, await readTexts(attempt, events)));
  const results = withFittingOutputs(await Promise.all(views));
  return {
    ...toSummary(execution),
    tests: execution.tests,
    results,
    final_result: isFinal(execution.status) ? (results.at(-1) ?? null) : null,
    place_in_line: execution.status === 'queued' ? await placeInLine(execution.execution_id) : null,
    usage: sumUsage(attempts),
    sequence: events.at(-1)?.sequence ?? 0,
    ticket: execution.ticket,
  };
}

/** An execution that has just been stored, as far as its record tells. */
export const viewAsStored = (record: ExecutionRecord): Execution => ({
  ...toSummary(record),
  tests: record.tests,
  results: [],
  final_result: null,
  place_in_line: null,
  usage: null,
  sequence: 0,
  ticket: record.ticket,
});
