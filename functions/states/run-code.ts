/**
 * State RunCode: puts the job into the sandbox's mailbox and looks for the result for a short while. If that is not there
 * by then, the workflow is left waiting for its task token, which CollectResult answers with the result, or
 * SandboxStateChange with the loss of the sandbox.
 */
import * as z from 'zod';
import { publish, publishOnce } from '../events/publish.ts';
import { lookForResult, takeResult } from '../execution/collect.ts';
import { openExecution, type Verdict, verdictAfter } from '../execution/lifecycle.ts';
import { readText } from '../execution/texts.ts';
import { succeedTask } from '../execution/workflow.ts';
import { workflowHandler } from '../http/middleware.ts';
import { jobId, putJob } from '../sandbox/mailbox.ts';
import { nowAfter } from '../service/clock.ts';
import { ConditionFailed, MalformedUpload, SandboxLost, SandboxMissing } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import { lookFor } from '../service/look-for.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getAttempt,
  getExecution,
  getSandbox,
  moveAttempt,
  setTaskToken,
} from '../service/store.ts';

/** The workflow has a sandbox acquired while the code is written, so that there mostly is one. */
const SANDBOX_PATIENCE = { limit: 1_500, firstPause: 20, longestPause: 300 };

export const handler = workflowHandler(
  z.object({ execution_id: z.string(), attempt: z.int(), task_token: z.string() }),
  async ({ execution_id, attempt: number, task_token }): Promise<void> => {
    const [execution, attempt] = await Promise.all([
      openExecution(execution_id),
      getAttempt(execution_id, number),
    ]);
    const verdict =
      execution && attempt
        ? await run(execution, attempt, task_token)
        : ({ execution_id, attempt: number, next: 'finish' } satisfies Verdict);
    if (verdict) await succeedTask(task_token, verdict);
  },
);

/** Gives the verdict if there is one soon, else null: CollectResult will bring it. @throws SandboxLost, SandboxMissing */
async function run(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
  token: string,
): Promise<Verdict | null> {
  if (attempt.finished_at) return verdictAfter(execution, attempt);
  const sandboxId = await sandboxFor(execution, attempt);
  const isNew = attempt.status === 'checking';
  let waiting: AttemptRecord;
  try {
    waiting = isNew
      ? await moveAttempt(attempt, 'waiting', {
          sandbox_id: sandboxId,
          task_token: token,
          checked_at: nowAfter(attempt.generated_at),
        })
      : await setTaskToken(attempt, sandboxId, token);
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
    const current = await getAttempt(attempt.execution_id, attempt.attempt);
    return verdictAfter(execution, current ?? attempt);
  }
  const announce = isNew ? publish : publishOnce;
  await announce(execution.execution_id, { type: 'check.passed', attempt: attempt.attempt });
  // The job may have been run before this workflow was started again.
  const verdict = isNew ? null : await takeResult(execution, waiting);
  if (verdict) return verdict;
  const code = await readText(waiting.code);
  if (code === null) throw new Error('The code of this attempt is lost.');
  await putJob(sandboxId, {
    job_id: jobId(waiting),
    code,
    tests: execution.tests,
    timeout: execution.timeout,
    policy: execution.policy,
  });
  // After the token is stored: a sandbox that stops from here on finds it, one that stopped before is seen here.
  const sandbox = await getSandbox(sandboxId);
  if (!sandbox || sandbox.status === 'stopped') throw new SandboxLost('The sandbox has stopped.');
  if (sandbox.status !== 'ready') return null;
  try {
    return await lookForResult(execution, waiting);
  } catch (error) {
    if (!(error instanceof MalformedUpload)) throw error;
    logger.error('malformed result', { error: error.message });
    throw new SandboxLost('The sandbox sent a malformed result.');
  }
}

/** The sandbox that the attempt was given, or that it is to be given now. @throws SandboxLost, SandboxMissing */
async function sandboxFor(execution: ExecutionRecord, attempt: AttemptRecord): Promise<string> {
  if (attempt.sandbox_id) {
    if (attempt.sandbox_id === execution.sandbox_id) return attempt.sandbox_id;
    throw new SandboxLost('The sandbox of this run has been replaced.');
  }
  const look = async () => liveSandbox(await getExecution(execution.execution_id));
  const found = (await liveSandbox(execution)) ?? (await lookFor(look, SANDBOX_PATIENCE));
  if (!found) throw new SandboxMissing('The execution has no sandbox.');
  return found;
}

async function liveSandbox({ sandbox_id }: Partial<ExecutionRecord> = {}): Promise<string | null> {
  const sandbox = sandbox_id ? await getSandbox(sandbox_id) : undefined;
  return sandbox && sandbox.status !== 'stopped' ? sandbox.sandbox_id : null;
}
