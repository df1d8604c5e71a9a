/** What can go wrong between us and a model server, each told in a sentence that says what to do. */
import OpenAI from 'openai';
import { ErrorInAnswer, NoModelServer } from './response.ts';
import type { ServerError } from './server-words.ts';

export type ModelErrorKind =
  | 'wrong_key'
  | 'unknown_model'
  | 'bad_request'
  | 'rate_limited'
  | 'loading'
  | 'unavailable';

export class ModelError extends Error {
  override readonly name = 'ModelError';
  readonly kind: ModelErrorKind;
  /** The same request would fail again now. If false, the client has already tried again as often as it does. */
  readonly fatal: boolean;
  /** Seconds the server asked to wait. */
  readonly retryAfter: number | null;

  constructor(
    kind: ModelErrorKind,
    message: string,
    { fatal = true, retryAfter = null }: { fatal?: boolean; retryAfter?: number | null } = {},
  ) {
    super(message);
    this.kind = kind;
    this.fatal = fatal;
    this.retryAfter = retryAfter;
  }
}

/** A server that asks for a longer wait is not waited for. */
const LONGEST_WAIT = 60;

export interface ModelConfig {
  /** left out for servers that need none */
  apiKey?: string | undefined;
  baseURL: string;
  model: string;
  /** seconds of silence after which the server counts as hanging, before its reply begins and within it */
  timeout?: number;
  /** seconds for which a server that is away or in trouble is asked again; a minute if left out */
  patience?: number;
}

/** The address as it may be shown: a base URL can hold a password or, in its query, a key. */
export function describeServer(baseURL: string): string {
  if (!URL.canParse(baseURL)) return 'The model server';
  const { origin, pathname } = new URL(baseURL);
  return `The model server at ${origin}${pathname.replace(/\/$/, '')}`;
}

/**
 * Turns what the `openai` client and the reader of its answer throw into a ModelError. The original error is not kept
 * as its cause: it holds headers, and a server may have echoed the key.
 */
export function explainFailure(error: unknown, config: ModelConfig): ModelError {
  const server = describeServer(config.baseURL);
  if (error instanceof NoModelServer)
    return new ModelError(
      'bad_request',
      `${server} did not answer with a chat completion${quote(error.said, config)}; check OPENAI_BASE_URL, which usually ends in /v1.`,
    );
  const isAnswer =
    error instanceof ErrorInAnswer ||
    (error instanceof OpenAI.APIError && !(error instanceof OpenAI.APIConnectionError));
  if (!isAnswer) {
    const reason =
      error instanceof OpenAI.APIConnectionError ? 'could not be reached' : 'broke off its reply';
    const code = systemErrorCode(error);
    return new ModelError(
      'unavailable',
      `${server} ${reason}${code ? ` (${code})` : ''}. Check that it is running and that OPENAI_BASE_URL is its address.`,
      { fatal: false },
    );
  }

  const said: ServerError =
    error instanceof ErrorInAnswer ? error.said : ((error.error as ServerError | undefined) ?? NOTHING_SAID);
  const headers = error instanceof ErrorInAnswer ? undefined : error.headers;
  const status = error instanceof ErrorInAnswer ? statusOf(said) : (error.status ?? 500);
  const words = quote(said, config);
  const answer = error instanceof ErrorInAnswer ? `an error in its answer${words}` : `${status}${words}`;

  if (status === 402 || said.code === 'insufficient_quota')
    return new ModelError(
      'rate_limited',
      `${server} says that the account has no credit left (${answer}). Add credit or use another key in OPENAI_API_KEY.`,
    );
  if (said.code === 'model_not_found' || (status === 404 && /\bmodel\b/i.test(words)))
    return new ModelError(
      'unknown_model',
      `${server} does not know the model \`${config.model}\`: set OPENAI_MODEL to one that it offers (${answer}).`,
    );
  if (status === 404)
    return new ModelError(
      'unknown_model',
      `${server} answered ${answer}: either it does not know the model \`${config.model}\` (set OPENAI_MODEL), or ` +
        'OPENAI_BASE_URL is not the address of its API, which usually ends in /v1.',
    );
  if (status === 401)
    return new ModelError(
      'wrong_key',
      config.apiKey
        ? `${server} refused the key: set OPENAI_API_KEY to a valid one.`
        : `${server} asks for a key: set OPENAI_API_KEY.`,
    );
  if (status === 403)
    return new ModelError(
      'wrong_key',
      `${server} does not allow this to the key in OPENAI_API_KEY (${answer}). Use a key that may use the model \`${config.model}\`.`,
    );

  const retryAfter = requestedWait(headers);
  const tooLong = retryAfter !== null && retryAfter > LONGEST_WAIT;
  const wait = retryAfter === null ? '' : ` and asks to wait ${Math.ceil(retryAfter)} s`;
  if (status === 429)
    return new ModelError(
      'rate_limited',
      `${server} limits how much may be asked (${answer})${wait}. Try again later or raise the limit of the account.`,
      { fatal: tooLong, retryAfter },
    );
  if ((status >= 500 || status === 425) && LOADING.test(said.message))
    return new ModelError(
      'loading',
      `${server} is still loading the model \`${config.model}\` (${answer})${wait}. Try again when it has.`,
      { fatal: tooLong, retryAfter },
    );
  if (status >= 500 || status === 408 || status === 409 || status === 425)
    return new ModelError(
      'unavailable',
      `${server} has trouble answering (${answer})${wait}. Try again later.`,
      { fatal: tooLong, retryAfter },
    );
  return new ModelError(
    'bad_request',
    `${server} did not accept the request for the model \`${config.model}\` (${answer}).`,
  );
}

/** A server that says nothing for its whole time is not asked again; one that stopped in mid-reply is. */
export function explainSilence(seconds: number, answered: boolean, config: ModelConfig): ModelError {
  return new ModelError(
    'unavailable',
    `${describeServer(config.baseURL)} ${answered ? 'stopped in the middle of its reply and' : ''} sent nothing for ${seconds} s. ` +
      'Check that it is not overloaded, or allow it more time with OPENAI_TIMEOUT.',
    { fatal: !answered },
  );
}

/** An error in an answer that began well has no HTTP status of its own; many servers put it into the code. */
function statusOf({ code, message }: ServerError): number {
  if (Number(code) >= 400 && Number(code) < 600) return Number(code);
  const words = `${code}`;
  if (/rate.?limit|too.?many|throttl/i.test(words)) return 429;
  if (/invalid|bad.?request|context.?length|unsupported/i.test(words)) return 400;
  return /maximum context length|context (?:length|window|size)/i.test(message) ? 400 : 500;
}

const NOTHING_SAID: ServerError = { message: '', code: null, param: null };

/** Of a model that is not yet there, but on its way: llama.cpp, Hugging Face, vLLM, LM Studio and their like. */
const LOADING =
  /\b(?:load(?:ing|s)|warming[ -]?up|starting(?: up)?|initiali[sz]ing|booting|spinning up|cold[ -]start|not (?:yet )?(?:been )?(?:ready|loaded|initiali[sz]ed))\b/i;

/** What the server said, as it is put behind its status: in one line, and without what must not be shown. */
function quote({ message }: ServerError, { apiKey, baseURL }: ModelConfig): string {
  const secrets = [apiKey, ...new URL(baseURL).searchParams.values()].filter((secret) => secret?.trim());
  let words = message;
  for (const secret of secrets)
    if (secret) words = words.replaceAll(secret, '[key]').replaceAll(encodeURIComponent(secret), '[key]');
  const sentence = words.replace(/\s+/g, ' ').trim();
  return sentence ? `: ${sentence.length > 500 ? `${sentence.slice(0, 500)}…` : sentence}` : '';
}

/** Seconds from `retry-after-ms` or `Retry-After` (a number or a date). */
function requestedWait(headers: Headers | undefined): number | null {
  const milliseconds = Number.parseFloat(headers?.get('retry-after-ms') ?? '');
  if (milliseconds >= 0) return milliseconds / 1_000;
  const text = headers?.get('retry-after') ?? '';
  const seconds = /^\d/.test(text) ? Number.parseFloat(text) : (Date.parse(text) - Date.now()) / 1_000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

/** ECONNREFUSED and the like: `fetch` wraps the system's error once or twice. */
function systemErrorCode(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
  return null;
}
