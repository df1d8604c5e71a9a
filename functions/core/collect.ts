/** Taking in what a sandbox uploaded. All of it is untrusted; a document that is late or comes twice changes nothing. */
import { ConditionFailed, MalformedUpload } from './errors.ts';
import type { Artifact } from './execution.ts';
import { endAttempt, type Verdict } from './lifecycle.ts';
import { logger } from './logger.ts';
import {
  artifactKey,
  jobId,
  outputSchema,
  type RunResult,
  readUpload,
  readySchema,
  resultKey,
  resultSchema,
  type Upload,
  uploadSize,
} from './mailbox.ts';
import { measure } from './metrics.ts';
import { publish } from './publish.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getAttempt,
  getExecution,
  moveAttempt,
  setIsolation,
  setSandboxReady,
} from './store.ts';
import { outputKey, storeText } from './texts.ts';
import { loseTask, succeedTask } from './workflow.ts';

/** Takes in one upload. @throws MalformedUpload for what no sandbox of ours sends. */
export async function collect(upload: Upload, key: string): Promise<void> {
  if (upload.kind === 'ready') return collectReady(upload.sandboxId, key);
  const { run } = upload;
  const [attempt, execution] = await Promise.all([
    getAttempt(run.execution_id, run.attempt),
    upload.kind === 'results' ? getExecution(run.execution_id) : undefined,
  ]);
  if (attempt?.sandbox_id !== upload.sandboxId || attempt.run !== run.run) return;
  if (upload.kind === 'started') return collectStarted(attempt);
  if (upload.kind === 'output') return collectOutput(attempt, key);
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
  try {
    const sandbox = await setSandboxReady(sandboxId, ready);
    measure('SandboxStartTime', (Date.now() - Date.parse(sandbox.created_at)) / 1000);
    await setIsolation(ready.isolation);
    if (!sandbox.execution_id) return;
    await publish(sandbox.execution_id, { type: 'sandbox.ready', isolation: ready.isolation });
  } catch (error) {
    // It was ready before, or is not wanted any more.
    if (!(error instanceof ConditionFailed)) throw error;
  }
}

async function collectStarted(attempt: AttemptRecord): Promise<void> {
  if (attempt.status !== 'waiting') return;
  try {
    await moveAttempt(attempt, 'running', { run_started_at: new Date().toISOString() });
    await publish(attempt.execution_id, { type: 'run.started', attempt: attempt.attempt });
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
  }
}

/** Takes in the result of an attempt's run and answers the workflow that waits for it. */
async function collectResultOf(execution: ExecutionRecord, attempt: AttemptRecord): Promise<void> {
  try {
    const verdict = await takeResult(execution, attempt);
    if (!verdict || !attempt.task_token) return;
    await succeedTask(attempt.task_token, verdict);
  } catch (error) {
    if (!(error instanceof MalformedUpload) || !attempt.task_token) throw error;
    // A sandbox that talks nonsense is as good as gone.
    logger.error('malformed result', { error: error.message });
    await loseTask(attempt.task_token, 'The sandbox sent a malformed result.');
  }
}

/**
 * Looks into the mailbox for the result of an attempt's run and, if it is there, ends the attempt with it.
 * Gives null if there is no result.
 * @throws MalformedUpload
 */
export async function takeResult(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
): Promise<Verdict | null> {
  if (!attempt.sandbox_id) return null;
  const result = await readUpload(resultKey(attempt.sandbox_id, jobId(attempt)), resultSchema);
  if (!result) return null;
  if (result.job_id !== jobId(attempt)) throw new MalformedUpload(`result of job ${result.job_id}`);
  // Of a short run, the word that it began may come after its result.
  await collectStarted(attempt);
  const artifacts = await uploadedArtifacts(attempt.sandbox_id, result);
  return endAttempt(execution, attempt, result.success ? 'succeeded' : 'failed', {
    output: await storeText(outputKey(attempt.execution_id, attempt.attempt), result.output),
    output_truncated: result.output_truncated,
    error: result.success ? null : (result.error ?? 'The program failed without a message.'),
    error_category: result.success ? null : (result.error_category ?? 'exception'),
    error_line: result.error_line,
    traceback: result.traceback,
    locals: result.locals,
    violations: result.violations,
    execution_time: result.execution_time,
    artifacts,
  });
}

/** The artifacts that were really uploaded, with their real sizes. */
async function uploadedArtifacts(sandboxId: string, result: RunResult): Promise<Artifact[]> {
  const found = await Promise.all(
    result.artifacts.map(async ({ name, content_type }) => {
      const size = await uploadSize(artifactKey(sandboxId, result.job_id, name));
      return size === null ? [] : [{ name, size, content_type }];
    }),
  );
  return found.flat();
}
