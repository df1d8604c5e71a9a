/** Taking in what a sandbox uploaded. All of it is untrusted; a document that is late or comes twice changes nothing. */

import { publish } from '../events/publish.ts';
import {
  CONTRACT_LIMITS,
  leftOutSchema,
  outputSchema,
  type ReceivedResult,
  readySchema,
  receivedResultSchema,
  uploadedArtifactSchema,
} from '../sandbox/contract.ts';
import {
  artifactKey,
  jobId,
  readUpload,
  resultKey,
  startedKey,
  type Upload,
  uploadSize,
} from '../sandbox/mailbox.ts';
import { nowAfter, secondsBetween } from '../service/clock.ts';
import { ConditionFailed, MalformedUpload, SandboxLost } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { lookFor } from '../service/look-for.ts';
import { measure } from '../service/metrics.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getAttempt,
  getExecution,
  moveAttempt,
  setIsolation,
  setSandboxReady,
} from '../service/store.ts';
import { type Artifact, isFinal, type SkippedArtifact } from './execution.ts';
import { endAttempt, type Verdict } from './lifecycle.ts';
import { outputKey, storeText } from './texts.ts';
import { loseTask, succeedTask } from './workflow.ts';

/**
 * How long RunCode looks for the result itself. The event of S3 that brings it is "typically delivered in seconds", and
 * most programs are done in one; looking for five costs 0.003 US cents at most.
 */
const RESULT_PATIENCE = { limit: 5_000, firstPause: 40, longestPause: 400 };

/** Takes in one upload. @throws MalformedUpload for what no sandbox of ours sends. */
export async function collect(upload: Upload, key: string): Promise<void> {
  if (upload.kind === 'ready') return collectReady(upload.sandboxId, key);
  const { run } = upload;
  const [attempt, execution] = await Promise.all([
    getAttempt(run.execution_id, run.attempt),
    upload.kind === 'results' ? getExecution(run.execution_id) : undefined,
  ]);
  if (attempt?.sandbox_id !== upload.sandboxId || attempt.run !== run.run) return;
  if (upload.kind === 'started') await collectStarted(attempt);
  if (upload.kind === 'output') await collectOutput(attempt, key);
  if (execution) await collectResultOf(execution, attempt);
}

async function collectOutput(attempt: AttemptRecord, key: string): Promise<void> {
  if (attempt.status !== 'waiting' && attempt.status !== 'running') return;
  const output = await readUpload(key, outputSchema);
  if (!output) return;
  await publish(attempt.execution_id, {
    type: 'run.output',
    attempt: attempt.attempt,
    run: attempt.run,
    chunk: output.chunk,
    text: output.text,
  });
}

async function collectReady(sandboxId: string, key: string): Promise<void> {
  const ready = await readUpload(key, readySchema);
  if (!ready) return;
  const { sandbox_id, ...facts } = ready;
  if (sandbox_id !== sandboxId) throw new MalformedUpload(`${key} is of sandbox ${sandbox_id}`);
  try {
    const sandbox = await setSandboxReady(sandboxId, facts);
    measure('SandboxStartTime', secondsBetween(sandbox.created_at, nowAfter()));
    await setIsolation(ready.isolation);
    if (!sandbox.execution_id) return;
    await publish(sandbox.execution_id, { type: 'sandbox.ready', isolation: ready.isolation });
  } catch (error) {
    // It was ready before, or is not wanted any more.
    if (!(error instanceof ConditionFailed)) throw error;
  }
}

/** Gives the attempt as it stands then, as far as is known. */
async function collectStarted(attempt: AttemptRecord): Promise<AttemptRecord> {
  if (attempt.status !== 'waiting') return attempt;
  try {
    const running = await moveAttempt(attempt, 'running', { run_started_at: nowAfter(attempt.checked_at) });
    await publish(attempt.execution_id, { type: 'run.started', attempt: attempt.attempt });
    return running;
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
    return attempt;
  }
}

/**
 * Takes in the result of an attempt's run and answers the workflow that waits for it. RunCode has mostly done that before:
 * what has gone on since needs nothing.
 */
async function collectResultOf(execution: ExecutionRecord, attempt: AttemptRecord): Promise<void> {
  const hasGoneOn = execution.attempts > attempt.attempt || isFinal(execution.status);
  if (attempt.finished_at && hasGoneOn) return;
  try {
    const verdict = await takeResult(execution, attempt);
    if (!verdict || !attempt.task_token) return;
    await succeedTask(attempt.task_token, verdict);
  } catch (error) {
    if (!attempt.task_token) throw error;
    if (error instanceof SandboxLost) return loseTask(attempt.task_token, error.message);
    if (!(error instanceof MalformedUpload)) throw error;
    // A sandbox that talks nonsense is as good as gone.
    logger.error('malformed result', { error: error.message });
    await loseTask(attempt.task_token, 'The sandbox sent a malformed result.');
  }
}

/**
 * Looks into the mailbox for the result of an attempt's run and, if it is there, ends the attempt with it.
 * Gives null if there is no result.
 * @throws MalformedUpload, and SandboxLost if the sandbox could not do its part
 */
export async function takeResult(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
): Promise<Verdict | null> {
  const result = await readResult(attempt);
  return result && endWithResult(execution, attempt, result);
}

/**
 * Looks for the result of a run that has just been asked for, and for the word that it began, for a short while. Gives
 * null if it is not there by then, or was taken in by CollectResult: that answers the workflow.
 * @throws MalformedUpload, and SandboxLost if the sandbox could not do its part
 */
export async function lookForResult(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
): Promise<Verdict | null> {
  let begun = false;
  const result = await lookFor(async () => {
    const found = await readResult(attempt);
    if (!found && !begun && (await hasStarted(attempt))) {
      begun = true;
      await collectStarted(attempt);
    }
    return found;
  }, RESULT_PATIENCE);
  const current = result && (await getAttempt(attempt.execution_id, attempt.attempt));
  if (!current || current.finished_at || current.run !== attempt.run) return null;
  return endWithResult(execution, current, result);
}

async function hasStarted(attempt: AttemptRecord): Promise<boolean> {
  const key = attempt.sandbox_id && startedKey(attempt.sandbox_id, jobId(attempt));
  return key ? (await uploadSize(key)) !== null : false;
}

/** @throws MalformedUpload, and SandboxLost if the sandbox could not do its part */
async function readResult(attempt: AttemptRecord): Promise<ReceivedResult | null> {
  if (!attempt.sandbox_id) return null;
  const result = await readUpload(resultKey(attempt.sandbox_id, jobId(attempt)), receivedResultSchema);
  if (result && result.job_id !== jobId(attempt)) {
    throw new MalformedUpload(`result of job ${result.job_id}`);
  }
  if (result && !result.success && result.error_category === 'sandbox_error') {
    const reason = (result.error ?? 'no reason was given').replace(/^SandboxError: /, '');
    throw new SandboxLost(reason, (result.execution_time ?? 0) > 0);
  }
  return result;
}

async function endWithResult(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
  result: ReceivedResult,
): Promise<Verdict> {
  // Of a short run, the word that it began may come after its result.
  const begun = await collectStarted(attempt);
  const files = await takeFiles(attempt.sandbox_id ?? '', result);
  return endAttempt(execution, begun, result.success ? 'succeeded' : 'failed', {
    output: await storeText(outputKey(attempt.execution_id, attempt.attempt), result.output),
    output_truncated: result.output_truncated,
    error: result.success ? null : (result.error ?? 'The program failed without a message.'),
    error_category: result.success ? null : (result.error_category ?? 'exception'),
    error_line: result.error_line,
    traceback: result.traceback,
    locals: result.locals,
    violations: result.violations,
    standard_permits: result.standard_permits ?? false,
    execution_time: result.execution_time,
    exit_code: result.exit_code ?? null,
    signal: result.signal ?? null,
    peak_memory_bytes: result.peak_memory_bytes ?? null,
    ...files,
  });
}

interface Files {
  artifacts: Artifact[];
  artifacts_skipped: SkippedArtifact[];
}

/** The artifacts that were really uploaded, with their real sizes, and what was left out on either side. */
async function takeFiles(
  sandboxId: string,
  { job_id, artifacts, artifacts_skipped }: ReceivedResult,
): Promise<Files> {
  const files: Files = {
    artifacts: [],
    artifacts_skipped: artifacts_skipped.flatMap((one) => leftOutSchema.safeParse(one).data ?? []),
  };
  const skip = (one: unknown, reason: string) =>
    files.artifacts_skipped.push({ name: shownName(one), reason });
  const names = new Set<string>();
  for (const one of artifacts) {
    const { data } = uploadedArtifactSchema.safeParse(one);
    if (!data) skip(one, 'its name or type is not allowed');
    else if (names.has(data.name)) skip(one, 'there is another of this name');
    else if (names.size === CONTRACT_LIMITS.files) skip(one, `more than ${CONTRACT_LIMITS.files} files`);
    else {
      names.add(data.name);
      files.artifacts.push(data);
    }
  }
  const sizes = await Promise.all(
    files.artifacts.map(({ name }) => uploadSize(artifactKey(sandboxId, job_id, name))),
  );
  files.artifacts = files.artifacts.flatMap((artifact, index) => {
    const size = sizes[index] ?? null;
    if (size !== null) return [{ ...artifact, size }];
    skip(artifact, 'it was not uploaded');
    return [];
  });
  files.artifacts_skipped.splice(CONTRACT_LIMITS.skipped);
  return files;
}

/** The name that an entry of a result has, made fit to be shown. */
function shownName(one: unknown): string {
  const name = (one as { name?: unknown } | null)?.name;
  if (typeof name !== 'string') return '?';
  const characters = [...name.toWellFormed().replace(/\p{Cc}/gu, '\ufffd')];
  return characters.slice(0, CONTRACT_LIMITS.name).join('');
}
