/**
 * State RecoverRun: a run was lost with its sandbox, or nothing was heard of it for too long. Its result may have
 * come all the same; else the same attempt is run again in a new sandbox, once. The user's attempts are not used up.
 */
import * as z from 'zod';
import { takeResult } from '../core/collect.ts';
import { ConditionFailed, MalformedUpload } from '../core/errors.ts';
import { LIMITS } from '../core/execution.ts';
import { endAttempt, openExecution, type Verdict, verdictAfter } from '../core/lifecycle.ts';
import { logger } from '../core/logger.ts';
import { workflowHandler } from '../core/middleware.ts';
import { stopSandbox } from '../core/sandboxes.ts';
import { type AttemptRecord, type ExecutionRecord, getAttempt, sendToAnotherSandbox } from '../core/store.ts';

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
    if (late) return late;
    logger.warn('run lost', { attempt: number, run: attempt.run, failure: failure.Error });
    if (execution.sandbox_id) await stopSandbox(execution.sandbox_id, 'its run was lost');
    if (attempt.run >= LIMITS.runs) {
      return endAttempt(execution, attempt, 'failed', {
        error: `The sandbox was lost ${LIMITS.runs} times while it ran this code: ${reasonOf(failure)}`,
        error_category: 'sandbox_error',
      });
    }
    try {
      return verdictAfter(execution, await sendToAnotherSandbox(attempt));
    } catch (error) {
      if (!(error instanceof ConditionFailed)) throw error;
      return verdictAfter(execution, (await getAttempt(execution_id, number)) ?? attempt);
    }
  },
);

async function lateResult(execution: ExecutionRecord, attempt: AttemptRecord): Promise<Verdict | null> {
  try {
    return await takeResult(execution, attempt);
  } catch (error) {
    if (!(error instanceof MalformedUpload)) throw error;
    logger.error('malformed result', { error: error.message });
    return null;
  }
}

const reasonOf = ({ Error: name, Cause: cause }: { Error: string; Cause?: string }) =>
  name === 'States.Timeout' ? 'it did not answer in time.' : (cause ?? name);
