/**
 * State RunCode: puts the job into the sandbox's mailbox and leaves the workflow waiting for its task token, which
 * CollectResult answers with the result, or SandboxStateChange with the loss of the sandbox.
 */
import * as z from 'zod';
import { takeResult } from '../core/collect.ts';
import { ConditionFailed, SandboxLost } from '../core/errors.ts';
import { openExecution, type Verdict, verdictAfter } from '../core/lifecycle.ts';
import { jobId, putJob } from '../core/mailbox.ts';
import { workflowHandler } from '../core/middleware.ts';
import { publish, publishOnce } from '../core/publish.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getAttempt,
  getSandbox,
  moveAttempt,
  setTaskToken,
} from '../core/store.ts';
import { readText } from '../core/texts.ts';
import { succeedTask } from '../core/workflow.ts';

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

/** Gives the verdict if the attempt has one already, else null: the sandbox will bring it. @throws SandboxLost */
async function run(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
  token: string,
): Promise<Verdict | null> {
  if (attempt.finished_at) return verdictAfter(execution, attempt);
  const sandboxId = execution.sandbox_id;
  if (!sandboxId || (attempt.sandbox_id && attempt.sandbox_id !== sandboxId)) {
    throw new SandboxLost('The sandbox of this run has been replaced.');
  }
  const isNew = attempt.status === 'checking';
  let waiting: AttemptRecord;
  try {
    waiting = isNew
      ? await moveAttempt(attempt, 'waiting', {
          sandbox_id: sandboxId,
          task_token: token,
          checked_at: new Date().toISOString(),
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
  await putJob(sandboxId, {
    job_id: jobId(waiting),
    code: (await readText(waiting.code)) ?? '',
    tests: execution.tests,
    timeout: execution.timeout,
    policy: execution.policy,
  });
  // After the token is stored: a sandbox that stops from here on finds it, one that stopped before is seen here.
  const sandbox = await getSandbox(sandboxId);
  if (!sandbox || sandbox.status === 'stopped') throw new SandboxLost('The sandbox has stopped.');
  return null;
}
