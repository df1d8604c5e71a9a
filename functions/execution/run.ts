/**
 * Running: puts the job of an attempt into the sandbox's mailbox and looks for the result for a short while. If that is not
 * there by then, the workflow is left waiting for its task token, which CollectResult answers with the result, or
 * SandboxStateChange with the loss of the sandbox.
 */
import { jobId, putJob } from '../sandbox/mailbox.ts';
import { getSandbox, livingSandbox } from '../sandbox/records.ts';
import { nowAfter } from '../service/clock.ts';
import { MalformedUpload, SandboxLost, SandboxMissing } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { lookFor } from '../service/look-for.ts';
import { endWithResult, readResult, takeResult } from './collect.ts';
import { finishStep, moveAttempt, type NextStep, stepAfter } from './lifecycle.ts';
import {
  type AttemptRecord,
  changeAttempt,
  type ExecutionRecord,
  getAttempt,
  getExecution,
  openWork,
  type Work,
} from './records.ts';
import { lookUntil, RESULT_PATIENCE } from './result-patience.ts';
import { readText } from './texts.ts';

/** The workflow has a sandbox acquired while the code is written, so that there mostly is one. */
const SANDBOX_PATIENCE = { limit: 1_500, firstPause: 20, longestPause: 300 };

/** Gives the next step if that is known soon, else null: CollectResult will bring it. @throws SandboxLost, SandboxMissing */
export async function runAttempt(id: string, number: number, token: string): Promise<NextStep | null> {
  const [work, attempt] = await Promise.all([openWork(id), getAttempt(id, number)]);
  if (!work || !attempt) return finishStep(id, number);
  const { execution } = work;
  if (attempt.status === 'checking') return beginRun(work, attempt, token);
  if (attempt.finished_at) return stepAfter(execution, attempt);
  return goOnWithRun(work, attempt, token);
}

async function beginRun(work: Work, attempt: AttemptRecord, token: string): Promise<NextStep | null> {
  const { execution, feed } = work;
  const sandbox_id = execution.sandbox_id ?? (await lookForSandbox(execution));
  const isReady = feed.hasReady(sandbox_id);
  const { ours, record } = await moveAttempt(
    work,
    attempt,
    'waiting',
    ({ generated_at }) => ({
      sandbox_id,
      task_token: token,
      checked_at: nowAfter(generated_at),
      ...(isReady && { looked_for_until: lookUntil() }),
    }),
    () => [{ type: 'check.passed', attempt: attempt.attempt }],
    // A sandbox that stops from here on finds the token; one that has stopped loses no run.
    [livingSandbox(sandbox_id)],
  );
  if (!ours) {
    if (record?.status !== 'checking') return stepAfter(execution, record ?? attempt);
    const other = { ...execution, sandbox_id: await lookForSandbox(execution) };
    return beginRun({ ...work, execution: other }, attempt, token);
  }
  await putJobOf(execution, record, sandbox_id);
  return isReady ? lookForResult(work, record) : null;
}

/** A workflow that was started again, or a run that is done again in another sandbox. */
async function goOnWithRun(work: Work, attempt: AttemptRecord, token: string): Promise<NextStep | null> {
  const { execution } = work;
  if (attempt.sandbox_id && attempt.sandbox_id !== execution.sandbox_id) {
    throw new SandboxLost('The sandbox of this run has been replaced.');
  }
  const sandbox_id =
    attempt.sandbox_id ?? (await liveSandbox(execution)) ?? (await lookForSandbox(execution));
  const { ours, record = attempt } = await changeAttempt(attempt, { sandbox_id, task_token: token });
  if (!ours) return record.finished_at ? stepAfter(execution, record) : goOnWithRun(work, record, token);
  // The job may have been run before this workflow was started again.
  const step = await takeResult(work, record);
  if (step) return step;
  await putJobOf(execution, record, sandbox_id);
  // After the token is stored: a sandbox that stops from here on finds it, one that stopped before is seen here.
  const sandbox = await getSandbox(sandbox_id);
  if (!sandbox || sandbox.status === 'stopped') throw new SandboxLost('The sandbox has stopped.');
  return sandbox.status === 'ready' ? lookForResult(work, record) : null;
}

/** The execution's sandbox as soon as it has one that lives. @throws SandboxMissing */
async function lookForSandbox({ execution_id }: ExecutionRecord): Promise<string> {
  const look = async () => liveSandbox(await getExecution(execution_id));
  const found = await lookFor(look, SANDBOX_PATIENCE);
  if (!found) throw new SandboxMissing('The execution has no sandbox.');
  return found;
}

async function liveSandbox({ sandbox_id }: Partial<ExecutionRecord> = {}): Promise<string | null> {
  const sandbox = sandbox_id ? await getSandbox(sandbox_id) : undefined;
  return sandbox && sandbox.status !== 'stopped' ? sandbox.sandbox_id : null;
}

async function putJobOf(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
  sandboxId: string,
): Promise<void> {
  const { tests, timeout, policy } = execution;
  const code = await readText(attempt.code);
  if (code === null) throw new Error('The code of this attempt is lost.');
  await putJob(sandboxId, { job_id: jobId(attempt), code, tests, timeout, policy });
}

/** Gives null if there is no result for a while, or CollectResult took it in: that answers the workflow. */
async function lookForResult(work: Work, attempt: AttemptRecord): Promise<NextStep | null> {
  try {
    const result = await lookFor(() => readResult(attempt), RESULT_PATIENCE);
    return result && (await endWithResult(work, attempt, result, { answered: true }));
  } catch (error) {
    if (!(error instanceof MalformedUpload)) throw error;
    logger.error('malformed result', { error: error.message });
    throw new SandboxLost('The sandbox sent a malformed result.');
  }
}
