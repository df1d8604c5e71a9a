/**
 * State GenerateCode: has the model write the code of the next attempt, streaming it to whoever follows, and answers
 * with a presigned URL of it for CheckCode. If the attempt has its code already (a run that was lost, a workflow
 * that was started again), it only says where the attempt stands.
 */
import * as z from 'zod';
import { publish } from '../events/publish.ts';
import {
  endAttempt,
  forEvent,
  nextAttempt,
  openExecution,
  type Verdict,
  verdictAfter,
} from '../execution/lifecycle.ts';
import { codeKey, putText, readText, storeText } from '../execution/texts.ts';
import { workflowHandler } from '../http/middleware.ts';
import { ModelError } from '../model/errors.ts';
import { CodeStream, extractCode } from '../model/extract-code.ts';
import { generateMetered } from '../model/metered.ts';
import { generationMessages, repairMessages } from '../model/prompts.ts';
import { presign } from '../sandbox/mailbox.ts';
import { nowAfter } from '../service/clock.ts';
import { config } from '../service/config.ts';
import { ConditionFailed, QuotaExceeded } from '../service/errors.ts';
import { logger } from '../service/logger.ts';
import {
  type AttemptRecord,
  type ExecutionRecord,
  getAttempt,
  getExecution,
  listAttempts,
  moveAttempt,
} from '../service/store.ts';

/** Seconds that CheckCode may take to fetch the code. */
const CODE_URL_LIFETIME = 600;
/** Seconds beyond an attempt's own time limit that its run may take: the start of a sandbox, and the uploads. */
const RUN_ALLOWANCE = 240;
/** Milliseconds between two code.delta events, and between two looks whether the execution was cancelled. */
const DELTA_INTERVAL = 100;
const CANCEL_CHECK_INTERVAL = 1_000;

interface Generated extends Verdict {
  /** Present if `next` is `check`. */
  code_url?: string;
  policy: ExecutionRecord['policy'];
  /** Seconds after which RunCode is given up. */
  run_timeout: number;
}

export const handler = workflowHandler(
  z.object({ execution_id: z.string() }),
  async ({ execution_id }): Promise<Generated | Verdict> => {
    const execution = await openExecution(execution_id);
    const attempt = execution && (await nextAttempt(execution));
    if (!execution || !attempt) return { execution_id, attempt: execution?.attempts ?? 0, next: 'finish' };
    const verdict =
      attempt.status === 'generating' ? await generate(execution, attempt) : verdictAfter(execution, attempt);
    return {
      ...verdict,
      policy: execution.policy,
      run_timeout: Math.ceil(execution.timeout) + RUN_ALLOWANCE,
      ...(verdict.next === 'check' && {
        code_url: await presign(codeKey(execution_id, verdict.attempt), CODE_URL_LIFETIME),
      }),
    };
  },
);

async function generate(execution: ExecutionRecord, attempt: AttemptRecord): Promise<Verdict> {
  const { execution_id } = execution;
  const started = {
    type: 'attempt.started',
    attempt: attempt.attempt,
    total_attempts: execution.max_retries,
  } as const;
  await publish(execution_id, started);
  const cancelled = new AbortController();
  const watch = setInterval(() => {
    getExecution(execution_id).then(
      (current) => current?.status === 'running' || cancelled.abort(),
      (error) => logger.warn('cannot see whether the execution goes on', { error: String(error) }),
    );
  }, CANCEL_CHECK_INTERVAL);
  let deltas = deltaPublisher(attempt);
  try {
    const { text, finishReason, usage } = await generateMetered(execution.owner, {
      messages: await messagesFor(execution, attempt),
      signal: cancelled.signal,
      onText: (piece) => deltas.push(piece),
      onWaiting: ({ seconds, reason }) =>
        publish(execution_id, {
          type: 'model.waiting',
          attempt: attempt.attempt,
          seconds: Math.max(0.1, Math.round(seconds * 10) / 10),
          reason,
        }),
      onRestart: async () => {
        await deltas.end();
        deltas = deltaPublisher(attempt);
        await publish(execution_id, started);
      },
    });
    await deltas.end();
    const extracted = extractCode(text, finishReason);
    if ('error' in extracted) {
      const code = extracted.code ?? null;
      return await endAttempt(execution, attempt, 'failed', {
        code: code === null ? null : await storeText(codeKey(execution_id, attempt.attempt), code),
        error: extracted.error,
        error_category: 'no_code',
        usage,
        generated_at: nowAfter(attempt.started_at),
      });
    }
    return await complete(execution, attempt, extracted.code, usage);
  } catch (error) {
    if (cancelled.signal.aborted) return { execution_id, attempt: attempt.attempt, next: 'finish' };
    if (!(error instanceof ModelError || error instanceof QuotaExceeded)) throw error;
    return endAttempt(execution, attempt, 'failed', { error: error.message, error_category: 'model_error' });
  } finally {
    clearInterval(watch);
  }
}

/** The code is whole: stores it and tells. */
async function complete(
  execution: ExecutionRecord,
  attempt: AttemptRecord,
  code: string,
  usage: AttemptRecord['usage'],
): Promise<Verdict> {
  const { execution_id, attempt: number } = attempt;
  await putText(codeKey(execution_id, number), code);
  try {
    const checking = await moveAttempt(attempt, 'checking', {
      code: await storeText(codeKey(execution_id, number), code),
      usage,
      generated_at: nowAfter(attempt.started_at),
    });
    await publish(execution_id, { type: 'code.completed', attempt: number, code: forEvent(code) });
    return verdictAfter(execution, checking);
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error;
    return verdictAfter(execution, (await getAttempt(execution_id, number)) ?? attempt);
  }
}

async function messagesFor(execution: ExecutionRecord, { attempt }: AttemptRecord) {
  const attempts = attempt > 1 ? await listAttempts(execution.execution_id) : [];
  const { prompt, policy, tests, timeout } = execution;
  const packages = config.sandboxPackages.map(({ name }) => name);
  const task = {
    prompt,
    policy,
    tests,
    timeout,
    memory: config.sandboxMemory,
    python: config.sandboxPython,
    packages,
  };
  const failed = attempts.filter(({ status }) => status === 'failed');
  if (failed.length === 0) return generationMessages(task);
  const tried = await Promise.all(
    failed.map(async (attempt) => ({
      ...attempt,
      code: await readText(attempt.code),
      output: await readText(attempt.output),
    })),
  );
  return repairMessages(task, tried);
}

/**
 * Publishes the code as it comes in code.delta events: one at a time, at least DELTA_INTERVAL apart, so that the
 * events stay few and the model's stream never waits for the store. What is left at the end comes with the whole code.
 */
function deltaPublisher({ execution_id, attempt }: AttemptRecord) {
  const stream = new CodeStream();
  let pending = '';
  let sending: Promise<void> | undefined;
  let lastSent = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let failure: unknown;
  const plan = () => {
    if (!pending || sending || timer || failure) return;
    timer = setTimeout(flush, lastSent + DELTA_INTERVAL - performance.now());
  };
  const flush = () => {
    const text = pending;
    pending = '';
    timer = undefined;
    lastSent = performance.now();
    sending = publish(execution_id, { type: 'code.delta', attempt, text })
      .catch((error) => {
        failure = error;
      })
      .finally(() => {
        sending = undefined;
        plan();
      });
  };
  return {
    push(piece: string) {
      pending += stream.push(piece);
      plan();
    },
    /** @throws what kept an event from being published */
    async end() {
      clearTimeout(timer);
      pending = '';
      await sending;
      if (failure) throw failure;
    },
  };
}
