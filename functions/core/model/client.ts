/**
 * Asks an OpenAI-compatible server for code (Chat Completions, streamed).
 *
 * Whatever fails in passing is tried again here, from the start: 429 and 5xx after the wait that the server
 * asks for, a connection that cannot be made, a stream that breaks off or stalls. The client's own retries are
 * off: they wait as long as any server says, cannot be aborted while they wait, try again when the
 * credit is used up, and do not see a broken stream.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { type Usage, usageSchema } from '../execution.ts';
import {
  describeServer,
  explainFailure,
  explainSilence,
  type ModelConfig,
  ModelError,
  type ModelErrorKind,
} from './errors.ts';
import type { ChatMessage } from './prompts.ts';

export interface GenerateRequest {
  messages: ChatMessage[];
  config: ModelConfig;
  /** Called with each piece of the reply; the next is not read before it is done. */
  onText?(text: string): void | Promise<void>;
  /** The reply starts over after a lost connection: what `onText` was given so far is void. */
  onRestart?(): void | Promise<void>;
  /** Closes the connection at once; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

export interface Reply {
  text: string;
  /** as the server gives it: `stop`, `length` … */
  finishReason: string | null;
  /** null if the server does not count */
  usage: Usage | null;
}

/** How often is tried again. A limit of requests a minute takes some patience; a dead server does not get better. */
const RETRIES: Partial<Record<ModelErrorKind, number>> = { rate_limited: 4, unavailable: 2 };

/** Characters. A model that repeats itself for ever is stopped here, as by a length limit of its server. */
const LONGEST_REPLY = 1_000_000;

/** The model's reply. Throws ModelError. */
export async function generateCode({
  messages,
  config,
  onText,
  onRestart,
  signal,
}: GenerateRequest): Promise<Reply> {
  for (let tries = 1; ; tries++) {
    const reply: Reply = { text: '', finishReason: null, usage: null };
    try {
      for await (const piece of readReply(messages, config, signal)) {
        reply.text += piece.text;
        reply.finishReason = piece.finishReason ?? reply.finishReason;
        reply.usage = piece.usage ?? reply.usage;
        if (piece.text) await onText?.(piece.text);
        if (reply.text.length > LONGEST_REPLY) return { ...reply, finishReason: 'length' };
      }
      return reply;
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof ModelError) || error.fatal || tries > (RETRIES[error.kind] ?? 0)) throw error;
      await wait(error.retryAfter ?? 2 ** (tries - 2) * (1 - Math.random() / 4), signal);
      if (reply.text) await onRestart?.();
    }
  }
}

/** One request. Ends only when the reply is complete, else throws ModelError (or the signal's reason). */
async function* readReply(
  messages: ChatMessage[],
  config: ModelConfig,
  signal: AbortSignal | undefined,
): AsyncGenerator<Reply> {
  signal?.throwIfAborted();
  const { apiKey, baseURL, model, timeout = 120 } = config;
  refuseUnusable(config);
  const client = new OpenAI({
    apiKey: apiKey ?? 'none',
    baseURL,
    maxRetries: 0,
    // The watchdog below is the time limit; this one would count until the headers only.
    timeout: timeout * 1_000 + 60_000,
    // The client would log chunks that it cannot read.
    logLevel: 'off',
  });

  const connection = new AbortController();
  const close = () => connection.abort();
  signal?.addEventListener('abort', close, { once: true });
  let silent = false;
  const watchdog = setTimeout(() => {
    silent = true;
    close();
  }, timeout * 1_000);
  let answered = false;
  let complete = false;
  try {
    const { data: chunks, response } = await client.chat.completions
      .create(
        { model, messages, stream: true, stream_options: { include_usage: true } },
        { signal: connection.signal },
      )
      .withResponse();
    for await (const chunk of chunks) {
      answered = true;
      // Azure begins with a chunk without choices; the usage comes in one, too.
      const choice = chunk.choices?.[0];
      complete ||= Boolean(choice?.finish_reason) || (chunk.choices?.length === 0 && Boolean(chunk.usage));
      const content = choice?.delta?.content || choice?.delta?.refusal;
      yield {
        // Some servers send their reasoning as a list of parts here.
        text: typeof content === 'string' ? content : '',
        finishReason: choice?.finish_reason || null,
        usage: usageSchema.safeParse(chunk.usage).data ?? null,
      };
      watchdog.refresh();
    }
    if (!answered && !response.headers.get('content-type')?.includes('text/event-stream'))
      throw new ModelError(
        'bad_request',
        `${describeServer(baseURL)} did not answer with a stream of chat completions: check OPENAI_BASE_URL, which usually ends in /v1.`,
      );
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ModelError) throw error;
    // Once the reply has ended it does not matter how the connection does.
    if (!silent && !complete) throw explainFailure(error, config);
  } finally {
    clearTimeout(watchdog);
    signal?.removeEventListener('abort', close);
    close();
  }
  // An aborted stream ends without an error.
  signal?.throwIfAborted();
  if (complete) return;
  throw silent ? explainSilence(timeout, answered, config) : explainFailure(null, config);
}

/** `fetch` would refuse these with errors that quote the key or the password. */
function refuseUnusable({ apiKey, baseURL }: ModelConfig): void {
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey))
    throw new ModelError(
      'wrong_key',
      'OPENAI_API_KEY holds blanks or characters that no key has: set it again.',
    );
  if (!/^https?:$/.test(URL.canParse(baseURL) ? new URL(baseURL).protocol : ''))
    throw new ModelError('bad_request', 'OPENAI_BASE_URL is not a URL such as http://localhost:11434/v1.');
  if (new URL(baseURL).username || new URL(baseURL).password)
    throw new ModelError(
      'bad_request',
      'OPENAI_BASE_URL must not hold a user name or password: use OPENAI_API_KEY.',
    );
}

async function wait(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(seconds * 1_000, undefined, { signal }).catch(() => signal?.throwIfAborted());
}
