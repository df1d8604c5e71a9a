/**
 * State RecoverRun: a run was lost with its sandbox, or nothing was heard of it for too long. Its result may have
 * come all the same; else the same attempt is run again in a new sandbox. The user's attempts are not used up.
 *
 * That has an end. A program that was running each time that its sandbox died has done that itself, as far as anybody can
 * tell: its attempt fails as of an exception, and the model may write a better one. Sandboxes that are lost otherwise are
 * a fault of the service, which no program mends. Those that were withdrawn, as by a restart of ours, do not count.
 */
import * as z from 'zod';
import { takeResult } from '../execution/collect.ts';
import { LIMITS } from '../execution/execution.ts';
import { endAttempt, openExecution, type Verdict, verdictAfter } from '../execution/lifecycle.ts';
import { workflowHandler } from '../http/middleware.ts';
import { stopSandbox } from '../sandbox/sandboxes.ts';
import { ConditionFailed, MalformedUpload, SandboxLost } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getAttempt,
  getSandbox,
  sendToAnotherSandbox,
} from '../service/store.ts';

export const handler = workflowHandler(
  z.object({
    execution_id: z.string(),
    attempt: z.int(),
    failure: z.object({ Error: z.string(), Cause: z.string().optional() }),
  }),
  async ({ execution_id, attempt: number, failure }): Promise<Verdict> => {
    const execution = await openExecution(execution_id);
    const attempt = await getAttempt(execution_id, number);
    if (!execution || !attempt) return { execution_id, attempt: number, next: 'finish' };
    if (attempt.finished_at) return verdictAfter(execution, attempt);
    const late = await lateResult(execution, attempt);
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
    if (crashes >= LIMITS.losses && lossesInAll < LIMITS.lossesInAll) {
      return endAttempt(execution, attempt, 'failed', {
        error: `Killed: ${crashes} sandboxes died while they ran this program. Use less memory and fewer resources.`,
        error_category: 'exception',
        lossesInAll,
      });
    }
    if (losses >= LIMITS.losses || lossesInAll >= LIMITS.lossesInAll) {
      const reason = late?.message ?? reasonOf(failure);
      return endAttempt(execution, attempt, 'failed', {
        error: `This program could not be run to its end: ${lossesInAll} sandboxes were lost (the last: ${reason}). Try again later.`,
        error_category: 'sandbox_error',
      });
    }
    try {
      return verdictAfter(execution, await sendToAnotherSandbox(attempt, { crashes, losses, lossesInAll }));
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
      return verdictAfter(execution, (await getAttempt(execution_id, number)) ?? attempt);
    }
  },
);

/** The verdict of a result that came all the same; what the sandbox told if it could not do its part. */
async function lateResult(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
): Promise<Verdict | SandboxLost | null> {
  try {
    return await takeResult(execution, attempt);
  } catch (error) {
    if (error instanceof SandboxLost) return error;
    if (!(error instanceof MalformedUpload)) throw error;
    logger.error('malformed result', { error: error.message });
    return null;
  }
}

/** In words for people. A function's error is told as JSON, by AWS and here. */
function reasonOf({ Error: name, Cause: cause }: { Error: string; Cause?: string }): string {
  if (name === 'States.Timeout') return 'it did not answer in time';
  let told = cause ?? '';
  try {
    told = String((JSON.parse(told) as { errorMessage?: unknown }).errorMessage ?? told);
  } catch {
    // ECS and CollectResult tell a sentence.
  }
  return told.replace(/\.$/, '') || name;
}
