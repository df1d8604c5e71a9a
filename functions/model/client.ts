/**
 * Asks an OpenAI-compatible server for code (Chat Completions, streamed).
 *
 * Whatever fails in passing is tried again here, from the start, with growing pauses and for about a minute: 429 and 5xx
 * after the wait that the server asks for, a model that is still being loaded, a connection that cannot be made, a
 * stream that breaks off or stalls. The client's own retries are off: they wait as long as any server says, cannot be aborted while they wait,
 * try again when the credit is used up, and do not see a broken stream. A server that refuses to stream is asked
 * without, and asked so from then on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import type { Usage } from '../execution/execution.ts';
import { Answer, type Piece, readAnswer } from './answer.ts';
import {
  explainFailure,
  explainSilence,
  type ModelConfig,
  ModelError,
  type ModelErrorKind,
} from './errors.ts';
import type { ChatMessage } from './prompts.ts';
import { END, readBody } from './response.ts';
import { parseBody, readServerError } from './server-words.ts';

export interface GenerateRequest {
  messages: ChatMessage[];
  config: ModelConfig;
  /** Called with each piece of the reply; the next is not read before it is done. */
  onText?(text: string): void | Promise<void>;
  /** The server did not do as asked and is asked again in `seconds`. `reason`: what is the matter, a clause for people. */
  onWaiting?(wait: ModelWait): void | Promise<void>;
  /** The server answers after that, and the reply starts over: what `onText` was given so far is void. */
  onRestart?(): void | Promise<void>;
  /** Closes the connection at once; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

export interface ModelWait {
  seconds: number;
  reason: string;
}

export interface Reply {
  /** The text, with the programs that came in calls of tools; if there is none, what came in its place. */
  text: string;
  /** as the server gives it: `stop`, `length` … */
  finishReason: string | null;
  /** null if the server does not count */
  usage: Usage | null;
}

/** Seconds for which a server in trouble is asked again, if the settings do not say: it is restarted in less. */
const PATIENCE = 60;

/** Seconds up to which the pauses grow; for a model that is being loaded, which is an answer, and where the server says when. */
const LONGEST_PAUSE = 8;
const LOADING_PAUSE = 2;

/** How often a reply is begun again that broke off: each time has its price. */
const BROKEN_REPLIES = 2;

const REASONS: Partial<Record<ModelErrorKind, string>> = {
  unavailable: 'the model server does not answer',
  rate_limited: 'the model server limits how much may be asked',
  loading: 'the model server is still loading the model',
};

/** Characters. A model that repeats itself for ever is stopped here, as by a length limit of its server. */
const LONGEST_REPLY = 1_000_000;

/** The model's reply. Throws ModelError. */
export async function generateCode({
  messages,
  config,
  onText,
  onWaiting,
  onRestart,
  signal,
}: GenerateRequest): Promise<Reply> {
  let broken = 0;
  /** Since when, by a clock that nobody sets, and how often in a row the server failed. */
  let trouble = { since: 0, failures: 0 };
  for (;;) {
    const answer = new Answer();
    const reply: Reply = { text: '', finishReason: null, usage: null };
    try {
      for await (const piece of readReply(messages, config, signal)) {
        if (piece === null) {
          if (trouble.failures > 0) await onRestart?.();
          continue;
        }
        answer.add(piece);
        reply.finishReason = piece.finishReason ?? reply.finishReason;
        reply.usage = piece.usage ?? reply.usage;
        if (piece.text) await onText?.(piece.text);
        if (answer.length > LONGEST_REPLY) return { ...reply, text: answer.whole(), finishReason: 'length' };
      }
      return { ...reply, text: answer.whole() };
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof ModelError)) throw error;
      const begun = answer.length > 0;
      if (begun && ++broken > BROKEN_REPLIES) throw error;
      const now = performance.now() / 1_000;
      if (begun || trouble.failures === 0) trouble = { since: now, failures: 0 };
      trouble.failures += 1;
      const left = (config.patience ?? PATIENCE) - (now - trouble.since);
      const seconds = pauseAfter(error, trouble.failures, left);
      if (seconds === null) throw error;
      const reason = begun ? 'the model server broke off its reply' : REASONS[error.kind];
      await onWaiting?.({ seconds, reason: reason ?? 'the model server has trouble' });
      await wait(seconds, signal);
    }
  }
}

/**
 * Seconds to wait after so many failures in a row; null if the server is given up. `left`: seconds that patience lasts; the
 * last try is at its end.
 */
function pauseAfter({ fatal, kind, retryAfter }: ModelError, failures: number, left: number): number | null {
  if (fatal || left <= 0) return null;
  // Nobody is asked without a pause for a minute, though he says so himself.
  if (retryAfter !== null) {
    const pause = Math.max(retryAfter, Math.min(2 ** failures / 200, LOADING_PAUSE));
    return pause > left ? null : pause;
  }
  const longest = kind === 'loading' ? LOADING_PAUSE : LONGEST_PAUSE;
  return Math.min(2 ** (failures - 2), longest, left) * (1 - Math.random() / 4);
}

type Parameter = 'stream' | 'stream_options';

/** The parameters that servers refused, by server and model. */
const refusedBefore = new Map<string, ReadonlySet<Parameter>>();

/**
 * One request: null once the server answers, then the reply. Ends only when that is complete, else throws ModelError (or
 * the signal's reason).
 */
async function* readReply(
  messages: ChatMessage[],
  config: ModelConfig,
  signal: AbortSignal | undefined,
): AsyncGenerator<Piece | null> {
  signal?.throwIfAborted();
  const { timeout = 120 } = config;
  refuseUnusable(config);
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
    const response = await request(messages, config, connection.signal);
    yield null;
    const onLife = () => {
      // Of a reply that is complete only the usage is to come: that is not waited for for ever.
      if (!complete) watchdog.refresh();
    };
    for await (const body of readBody(response, onLife)) {
      answered = true;
      if (body === END) {
        complete = true;
        break;
      }
      const piece = readAnswer(body);
      complete ||= piece.last;
      yield piece;
      watchdog.refresh();
    }
  } catch (error) {
    signal?.throwIfAborted();
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

/** Sends the request, without the parameters that the server refuses. Throws what the `openai` client does. */
async function request(messages: ChatMessage[], config: ModelConfig, signal: AbortSignal): Promise<Response> {
  const { apiKey, baseURL, model, timeout = 120 } = config;
  const client = new OpenAI({
    apiKey: apiKey ?? 'none',
    baseURL,
    maxRetries: 0,
    // The watchdog is the time limit; this one would count until the headers only.
    timeout: timeout * 1_000 + 60_000,
    logLevel: 'off',
    fetch: fetchInOneForm,
  });
  const server = `${baseURL} ${model}`;
  const refused = new Set(refusedBefore.get(server));
  for (;;) {
    const stream = !refused.has('stream');
    const options = stream && !refused.has('stream_options');
    try {
      const response = await client.chat.completions
        .create(
          {
            model,
            messages,
            ...(stream && { stream }),
            ...(options && { stream_options: { include_usage: true } }),
          },
          { signal },
        )
        .asResponse();
      if (refused.size > 0) refusedBefore.set(server, refused);
      return response;
    } catch (error) {
      const parameter = error instanceof OpenAI.APIError && stream && refusedParameter(error, options);
      if (!parameter) throw error;
      refused.add(parameter);
    }
  }
}

const UNABLE_TO_STREAM =
  /\bstream\w*\b[^.]{0,60}\b(?:not|unsupported|unavailable|disabled)\b|(?:\bnot|n['’]t|\bun\w*)\b[^.]{0,40}\bstream/i;

/** Which of the parameters for streaming, if any, the server does not take. `options`: it was given both. */
function refusedParameter(
  { status, param, error }: InstanceType<typeof OpenAI.APIError>,
  options: boolean,
): Parameter | null {
  const words = `${param ?? ''} ${(error as { message?: string } | undefined)?.message ?? ''}`.trim();
  const isRefusal = status === 400 || status === 422;
  if (options && isRefusal && (words === '' || /stream_?options|include_usage/i.test(words)))
    return 'stream_options';
  const other =
    status !== undefined && ![401, 402, 403, 408, 429].includes(status) && UNABLE_TO_STREAM.test(words);
  return other || (isRefusal && (words === '' || /\bstream(?!_)/i.test(words))) ? 'stream' : null;
}

/** What servers say of an error, in the one form that the client reads. */
async function fetchInOneForm(url: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  if (response.ok) return response;
  const { status, headers } = response;
  const error = readServerError(parseBody(await response.text()));
  return new Response(error.message === '' ? '' : JSON.stringify({ error }), {
    status,
    headers: kept(headers),
  });
}

/** Without those that tell of the form of the body that was read. */
function kept(headers: Headers): Headers {
  const copy = new Headers(headers);
  for (const name of ['content-length', 'content-encoding', 'transfer-encoding']) copy.delete(name);
  copy.set('content-type', 'application/json');
  return copy;
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
