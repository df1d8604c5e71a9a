/**
 * Generating: the model writes the code of the next attempt, which is streamed to whoever follows. If the attempt has its
 * code already (a run that was lost, a workflow that was started again), it is only said where the attempt stands.
 */
import { type Feed, hasEnded } from '../events/feed.ts';
import { ModelError } from '../model/errors.ts';
import { CodeStream, extractCode } from '../model/extract-code.ts';
import { generateMetered } from '../model/metered.ts';
import { generationMessages, repairMessages } from '../model/prompts.ts';
import { nowAfter } from '../service/clock.ts';
import { config } from '../service/config.ts';
import { QuotaExceeded } from '../service/errors.ts';
import { presign } from '../service/files.ts';
import { logger } from '../service/logger.ts';
import {
  attemptStarted,
  type CurrentAttempt,
  endAttempt,
  finishStep,
  moveAttempt,
  type NextStep,
  nextAttempt,
  stepAfter,
} from './lifecycle.ts';
import {
  type AttemptChange,
  type AttemptRecord,
  type ExecutionRecord,
  openWork,
  type Work,
} from './records.ts';
import { codeKey, readText, type StoredText, storeText } from './texts.ts';
import { forEvent } from './views.ts';

/** Seconds that CheckCode may take to fetch the code. */
const CODE_URL_LIFETIME = 600;
/** Seconds beyond an attempt's own time limit that its run may take: the start of a sandbox, and the uploads. */
const RUN_ALLOWANCE = 240;
/** Milliseconds between two code.delta events, and between two looks whether the execution was cancelled. */
const DELTA_INTERVAL = 100;
const CANCEL_CHECK_INTERVAL = 1_000;

/** What is next, and what CheckCode and RunCode need to know. */
export interface Generated extends NextStep {
  /** Present if `next` is `check`. Of short code a URL that holds it. */
  code_url?: string;
  policy: ExecutionRecord['policy'];
  /** Seconds after which RunCode is given up. */
  run_timeout: number;
}

/** Sees to it that the attempt to be worked on has its code. */
export async function generateAttempt(id: string): Promise<Generated | NextStep> {
  const work = await openWork(id);
  const current = work && (await nextAttempt(work));
  if (!work || !current) return finishStep(id, work?.execution.attempts);
  const { execution } = work;
  const attempt = current.attempt.status === 'generating' ? await generate(work, current) : current.attempt;
  if (!attempt) return finishStep(id, current.attempt.attempt);
  const step = stepAfter(execution, attempt);
  return {
    ...step,
    policy: execution.policy,
    run_timeout: Math.ceil(execution.timeout) + RUN_ALLOWANCE,
    ...(step.next === 'check' && attempt.code && { code_url: await urlOf(attempt.code) }),
  };
}

/** Short code is in the URL itself, so that nobody has to fetch it. */
async function urlOf(code: StoredText): Promise<string> {
  if ('key' in code) return presign(code.key, CODE_URL_LIFETIME);
  return `data:text/x-python;charset=utf-8;base64,${Buffer.from(code.text).toString('base64')}`;
}

/** Gives the attempt as it stands then; null if the execution has ended meanwhile. */
async function generate(work: Work, current: CurrentAttempt): Promise<AttemptRecord | null> {
  const { execution, feed } = work;
  const { attempt, earlier, isNew } = current;
  const started = attemptStarted(execution, attempt);
  if (!isNew) await feed.publish([started]);
  const cancelled = new AbortController();
  const watch = setInterval(() => {
    hasEnded(execution.execution_id).then(
      (ended) => ended && cancelled.abort(),
      (error) => logger.warn('cannot see whether the execution goes on', { error: String(error) }),
    );
  }, CANCEL_CHECK_INTERVAL);
  let deltas = deltaPublisher(feed, attempt);
  const fail = async (outcome: AttemptChange) =>
    (await endAttempt(work, attempt, 'failed', outcome)).record ?? null;
  try {
    const { text, finishReason, usage } = await generateMetered(execution.owner, {
      messages: await messagesFor(execution, earlier),
      signal: cancelled.signal,
      onText: (piece) => deltas.push(piece),
      onWaiting: ({ seconds, reason }) =>
        feed.publishPiece({
          type: 'model.waiting',
          attempt: attempt.attempt,
          seconds: Math.max(0.1, Math.round(seconds * 10) / 10),
          reason,
        }),
      onRestart: async () => {
        await deltas.end();
        deltas = deltaPublisher(feed, attempt);
        await feed.publish([started]);
      },
    });
    await deltas.end();
    const extracted = extractCode(text, finishReason);
    if ('error' in extracted) {
      return await fail({
        code: await storeCode(attempt, extracted.code ?? null),
        error: extracted.error,
        error_category: 'no_code',
        usage,
        generated_at: nowAfter(attempt.started_at),
      });
    }
    return await complete(work, attempt, extracted.code, usage);
  } catch (error) {
    if (cancelled.signal.aborted) return null;
    if (!(error instanceof ModelError || error instanceof QuotaExceeded)) throw error;
    return fail({ error: error.message, error_category: 'model_error' });
  } finally {
    clearInterval(watch);
  }
}

/** The code is whole: stores it and tells. */
async function complete(
  work: Work,
  attempt: AttemptRecord,
  text: string,
  usage: AttemptRecord['usage'],
): Promise<AttemptRecord | null> {
  const code = await storeCode(attempt, text);
  const { record } = await moveAttempt(
    work,
    attempt,
    'checking',
    ({ started_at }) => ({ code, usage, generated_at: nowAfter(started_at) }),
    () => [{ type: 'code.completed', attempt: attempt.attempt, code: forEvent(text) }],
  );
  return record ?? null;
}

const storeCode = async ({ execution_id, attempt }: AttemptRecord, text: string | null) =>
  text === null ? null : storeText(codeKey(execution_id, attempt), text);

async function messagesFor(execution: ExecutionRecord, earlier: AttemptRecord[]) {
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
  const failed = earlier.filter(({ status }) => status === 'failed');
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
function deltaPublisher(feed: Feed, { attempt }: AttemptRecord) {
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
    sending = feed
      .publishPiece({ type: 'code.delta', attempt, text })
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
