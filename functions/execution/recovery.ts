/**
 * Recovering: a run was lost with its sandbox, or nothing was heard of it for too long. Its result may have come all the
 * same; else the same attempt is run again in a new sandbox. The user's attempts are not used up.
 *
 * That has an end. A program that was running each time that its sandbox died has done that itself, as far as anybody can
 * tell: its attempt fails as of an exception, and the model may write a better one. Sandboxes that are lost otherwise are
 * a fault of the service, which no program mends. Those that were withdrawn, as by a restart of ours, do not count.
 */
import { getSandbox } from '../sandbox/records.ts';
import { stopSandbox } from '../sandbox/sandboxes.ts';
import { MalformedUpload, SandboxLost } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { takeResult } from './collect.ts';
import { LIMITS } from './execution.ts';
import { endAttempt, finishStep, type NextStep, stepAfter } from './lifecycle.ts';
import {
  type AttemptChange,
  type AttemptRecord,
  changeAttempt,
  getAttempt,
  openWork,
  type Work,
} from './records.ts';

/** What Step Functions says of a state that failed. */
export interface Failure {
  Error: string;
  Cause?: string;
}

export async function recoverRun(id: string, number: number, failure: Failure): Promise<NextStep> {
  const [work, attempt] = await Promise.all([openWork(id), getAttempt(id, number)]);
  if (!work || !attempt) return finishStep(id, number);
  const { execution } = work;
  if (attempt.finished_at) return stepAfter(execution, attempt);
  const late = await lateResult(work, attempt);
  if (late && !(late instanceof SandboxLost)) return late;
  logger.warn('run lost', { attempt: number, run: attempt.run, failure: failure.Error });
  const sandboxId = attempt.sandbox_id ?? execution.sandbox_id;
  const sandbox = sandboxId ? await getSandbox(sandboxId) : undefined;
  if (sandboxId) await stopSandbox(sandboxId, 'its run was lost');

  const isCounted = !sandbox?.withdrawn;
  const hasAnswered = failure.Error !== 'States.Timeout';
  const isCrash = late?.whileRunning ?? (attempt.status === 'running' && hasAnswered);
  const crashes = (attempt.crashes ?? 0) + (isCounted && isCrash ? 1 : 0);
  const losses = (attempt.losses ?? 0) + (isCounted && !isCrash ? 1 : 0);
  const lossesInAll = (attempt.lossesInAll ?? 0) + (isCounted ? 1 : 0);
  const fail = async (outcome: AttemptChange) => {
    const { record = attempt } = await endAttempt(work, attempt, 'failed', outcome);
    return stepAfter(execution, record);
  };
  if (crashes >= LIMITS.losses && lossesInAll < LIMITS.lossesInAll) {
    return fail({
      error: `Killed: ${crashes} sandboxes died while they ran this program. Use less memory and fewer resources.`,
      error_category: 'exception',
      lossesInAll,
    });
  }
  if (losses >= LIMITS.losses || lossesInAll >= LIMITS.lossesInAll) {
    const reason = late?.message ?? reasonOf(failure);
    return fail({
      error: `This program could not be run to its end: ${lossesInAll} sandboxes were lost (the last: ${reason}). Try again later.`,
      error_category: 'sandbox_error',
    });
  }
  return stepAfter(execution, await sendToAnotherSandbox(attempt, { crashes, losses, lossesInAll }));
}

/** Sends an unfinished run to another sandbox, and counts why. Gives the attempt as it is then, also if it has ended. */
export async function sendToAnotherSandbox(
  attempt: AttemptRecord,
  counts: Pick<AttemptRecord, 'crashes' | 'losses' | 'lossesInAll'> = {},
): Promise<AttemptRecord> {
  const { ours, record = attempt } = await changeAttempt(attempt, {
    ...counts,
    status: 'waiting',
    run: attempt.run + 1,
    run_started_at: null,
    sandbox_id: undefined,
    task_token: undefined,
    looked_for_until: undefined,
  });
  const hasBegunMeanwhile = !ours && !record.finished_at && record.run === attempt.run;
  return hasBegunMeanwhile ? sendToAnotherSandbox(record, counts) : record;
}

/** What is next after a result that came all the same; what the sandbox told if it could not do its part. */
async function lateResult(work: Work, attempt: AttemptRecord): Promise<NextStep | SandboxLost | null> {
  try {
    return await takeResult(work, attempt);
  } catch (error) {
    if (error instanceof SandboxLost) return error;
    if (!(error instanceof MalformedUpload)) throw error;
    logger.error('malformed result', { error: error.message });
    return null;
  }
}

/** In words for people. A function's error is told as JSON, by AWS and here. */
function reasonOf({ Error: name, Cause: cause }: Failure): string {
  if (name === 'States.Timeout') return 'it did not answer in time';
  let told = cause ?? '';
  try {
    told = String((JSON.parse(told) as { errorMessage?: unknown }).errorMessage ?? told);
  } catch {
    // ECS and CollectResult tell a sentence.
  }
  return told.replace(/\.$/, '') || name;
}
