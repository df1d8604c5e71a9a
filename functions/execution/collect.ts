/**
 * Taking in what a sandbox uploaded. All of it is untrusted; a document that is late or comes twice changes nothing.
 *
 *   ready     the sandbox waits for jobs
 *   started   a run that lasts has begun; of a short one only the result comes
 *   output    a piece of what it printed
 *   results   what came of it: the attempt ends, and the workflow that waits is answered
 */
import { Feed } from '../events/feed.ts';
import {
  CONTRACT_LIMITS,
  leftOutSchema,
  outputSchema,
  type ReceivedResult,
  readySchema,
  receivedResultSchema,
  uploadedArtifactSchema,
} from '../sandbox/contract.ts';
import { setIsolation } from '../sandbox/isolation.ts';
import { artifactKey, jobId, readUpload, resultKey, type Upload, uploadSize } from '../sandbox/mailbox.ts';
import { getSandbox, sandboxReady } from '../sandbox/records.ts';
import { nowAfter, secondsBetween } from '../service/clock.ts';
import { MalformedUpload, SandboxLost } from '../service/errors.ts';
import { writeTogether } from '../service/items.ts';
import { logger } from '../service/logger.ts';
import { measure } from '../service/metrics.ts';
import type { Artifact, SkippedArtifact } from './execution.ts';
import { endAttempt, moveAttempt, type NextStep, stepAfter } from './lifecycle.ts';
import { type AttemptChange, type AttemptRecord, getAttempt, openWork, type Work } from './records.ts';
import { isLookedFor } from './result-patience.ts';
import { outputKey, storeText } from './texts.ts';
import { loseTask, succeedTask } from './workflow.ts';

/** Takes in one upload. @throws MalformedUpload for what no sandbox of ours sends. */
export async function collect(upload: Upload, key: string): Promise<void> {
  if (upload.kind === 'ready') return collectReady(upload.sandboxId, key);
  const { run } = upload;
  const attempt = await getAttempt(run.execution_id, run.attempt);
  if (attempt?.sandbox_id !== upload.sandboxId || attempt.run !== run.run) return;
  if (upload.kind === 'started') return collectStarted(attempt);
  if (upload.kind === 'output') return collectOutput(attempt, key);
  return collectResult(attempt);
}

async function collectReady(sandboxId: string, key: string): Promise<void> {
  const [ready, sandbox] = await Promise.all([readUpload(key, readySchema), getSandbox(sandboxId)]);
  if (!ready || !sandbox) return;
  const { sandbox_id, ...facts } = ready;
  if (sandbox_id !== sandboxId) throw new MalformedUpload(`${key} is of sandbox ${sandbox_id}`);
  const move = sandboxReady(sandboxId, facts);
  const { isolation } = ready;
  const { execution_id } = sandbox;
  const unmet = execution_id
    ? await (await Feed.open(execution_id)).publish([{ type: 'sandbox.ready', isolation }], [move], {
        ready_sandbox: sandboxId,
      })
    : await writeTogether([move]);
  // It was ready before, or is not wanted any more.
  if (unmet.size > 0) return;
  measure('SandboxStartTime', secondsBetween(sandbox.created_at, nowAfter()));
  await setIsolation(isolation);
}

async function collectStarted(attempt: AttemptRecord): Promise<void> {
  if (attempt.status !== 'waiting') return;
  const work = await openWork(attempt.execution_id);
  if (!work) return;
  await moveAttempt(
    work,
    attempt,
    'running',
    ({ checked_at }) => ({ run_started_at: nowAfter(checked_at) }),
    () => [{ type: 'run.started', attempt: attempt.attempt }],
  );
}

async function collectOutput(attempt: AttemptRecord, key: string): Promise<void> {
  if (attempt.finished_at) return;
  const [output, feed] = await Promise.all([readUpload(key, outputSchema), Feed.open(attempt.execution_id)]);
  if (!output) return;
  await feed.publishPiece({
    type: 'run.output',
    attempt: attempt.attempt,
    run: attempt.run,
    chunk: output.chunk,
    text: output.text,
  });
}

/**
 * Takes in the result of an attempt's run and answers the workflow that waits for it, unless RunCode does. An attempt that
 * has ended and still has its token was ended here, perhaps by one who died before the answer.
 */
async function collectResult(attempt: AttemptRecord): Promise<void> {
  const { task_token, finished_at } = attempt;
  if (!task_token || isLookedFor(attempt)) return;
  const work = await openWork(attempt.execution_id);
  if (!work || work.execution.attempts > attempt.attempt) return;
  try {
    const step = finished_at ? stepAfter(work.execution, attempt) : await takeResult(work, attempt);
    if (step) await succeedTask(task_token, step);
  } catch (error) {
    if (error instanceof SandboxLost) return loseTask(task_token, error.message);
    if (!(error instanceof MalformedUpload)) throw error;
    // A sandbox that talks nonsense is as good as gone.
    logger.error('malformed result', { error: error.message });
    await loseTask(task_token, 'The sandbox sent a malformed result.');
  }
}

/** How a run ended and what came of it. */
export interface RunResult {
  to: 'succeeded' | 'failed';
  outcome: AttemptChange;
  output: string;
}

/**
 * Ends an attempt with the result of its run. Gives null if there is no result, or another has taken it in.
 * @throws MalformedUpload, and SandboxLost if the sandbox could not do its part
 */
export async function takeResult(work: Work, attempt: AttemptRecord): Promise<NextStep | null> {
  const result = await readResult(attempt);
  return result && endWithResult(work, attempt, result);
}

/** Gives null if another was first. `answered`: by whoever calls, so that nobody else has to. */
export async function endWithResult(
  work: Work,
  attempt: AttemptRecord,
  { to, outcome, output }: RunResult,
  { answered = false } = {},
): Promise<NextStep | null> {
  const change: AttemptChange = {
    ...outcome,
    output: await storeText(outputKey(attempt.execution_id, attempt.attempt), output),
    ...(answered && { task_token: undefined }),
  };
  const { ours, record } = await endAttempt(work, attempt, to, change, { output });
  return ours ? stepAfter(work.execution, record) : null;
}

/**
 * Looks into the mailbox for the result of an attempt's run, and for the files that it names; null if there is none.
 * @throws MalformedUpload, and SandboxLost if the sandbox could not do its part
 */
export async function readResult(attempt: AttemptRecord): Promise<RunResult | null> {
  const { sandbox_id } = attempt;
  if (!sandbox_id) return null;
  const result = await readUpload(resultKey(sandbox_id, jobId(attempt)), receivedResultSchema);
  if (!result) return null;
  if (result.job_id !== jobId(attempt)) throw new MalformedUpload(`result of job ${result.job_id}`);
  if (!result.success && result.error_category === 'sandbox_error') {
    const reason = (result.error ?? 'no reason was given').replace(/^SandboxError: /, '');
    throw new SandboxLost(reason, (result.execution_time ?? 0) > 0);
  }
  return {
    to: result.success ? 'succeeded' : 'failed',
    output: result.output,
    outcome: {
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
      ...(await takeFiles(sandbox_id, result)),
    },
  };
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
