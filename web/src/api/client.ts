/**
 * The service's HTTP API, typed: for the page, the command line and tests. Shapes are those of functions/; errors are
 * ApiError and Unreachable.
 */
import type { ExecutionEvent } from '../../../functions/events/events.ts';
import type {
  ExecuteRequest,
  Execution,
  History,
  ResumeRequest,
} from '../../../functions/execution/execution.ts';
import type { Health } from '../../../functions/service/health.ts';
import { ApiError, type ProblemDocument, Unreachable } from './errors.ts';

export type { Health };

export interface ClientOptions {
  /** Where the service is, as `location.origin` tells it. */
  origin: string;
  /** Headers that tell who calls. */
  credentials?: () => Record<string, string>;
  /** Called when the service does not accept the credentials. */
  onUnauthorized?: () => void;
}

/** Tries of a request that starts something; the Idempotency-Key makes them safe. */
const EXECUTE_TRIES = 3;

export type Client = ReturnType<typeof createClient>;

export function createClient({ origin, credentials = () => ({}), onUnauthorized = () => {} }: ClientOptions) {
  /** @throws ApiError, Unreachable, and AbortError if `init.signal` is aborted */
  async function request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...credentials(), ...(init.headers as Record<string, string>) };
    const response = await reached(fetch(`${origin}/api${path}`, { ...init, headers }), init.signal);
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error instanceof ApiError && error.unauthorized) onUnauthorized();
    throw error;
  }

  async function json<T>(path: string, init?: RequestInit): Promise<T> {
    const response = await request(path, init);
    return reached(response.json() as Promise<T>, init?.signal);
  }

  const execution = (id: string) => `/executions/${encodeURIComponent(id)}`;

  return {
    /** Also of a service that is not well. */
    async health(signal?: AbortSignal): Promise<Health> {
      const response = await reached(fetch(`${origin}/api/health`, { signal }), signal);
      if (!response.ok && !isJson(response)) throw await errorOf(response);
      return reached(response.json() as Promise<Health>, signal);
    },

    /** Starts an execution and answers at once. */
    async execute(body: ExecuteRequest | ResumeRequest): Promise<Execution> {
      const init = {
        method: 'POST',
        body: JSON.stringify(body),
        headers: {
          'content-type': 'application/json',
          prefer: 'respond-async',
          'idempotency-key': randomKey(),
        },
      };
      for (let tries = 1; ; tries++) {
        try {
          return await json<Execution>('/execute', init);
        } catch (error) {
          if (!(error instanceof Unreachable) || tries === EXECUTE_TRIES) throw error;
          await new Promise((resolve) => setTimeout(resolve, 300 * tries));
        }
      }
    },

    execution: (id: string, signal?: AbortSignal) => json<Execution>(execution(id), { signal }),

    /** The events after sequence number `after`. */
    async events(id: string, after: number, signal?: AbortSignal): Promise<ExecutionEvent[]> {
      const { events } = await json<{ events: ExecutionEvent[] }>(`${execution(id)}/events?after=${after}`, {
        signal,
      });
      return events;
    },

    /** A page of the history, newest first. */
    executions(cursor: string | null, signal?: AbortSignal): Promise<History> {
      const query = new URLSearchParams({ limit: '30', ...(cursor && { cursor }) });
      return json<History>(`/executions?${query}`, { signal });
    },

    cancel: (id: string) => json<Execution>(execution(id), { method: 'DELETE' }),

    /** A file that an attempt left. Untrusted: its type is for the caller to decide. */
    async artifact(id: string, attempt: number, name: string, signal?: AbortSignal): Promise<Blob> {
      // API Gateway decodes a path twice and ends it at a question mark; a query arrives as it is.
      const path = name.replace(/[%?]/g, '_').split('/').map(encodeURIComponent).join('/');
      const query = new URLSearchParams({ attempt: String(attempt), ...(/[%?]/.test(name) && { name }) });
      const response = await request(`${execution(id)}/artifacts/${path}?${query}`, { signal });
      return reached(response.blob(), signal);
    },

    /** An execution that has ended, as a Jupyter notebook. */
    async notebook(id: string): Promise<Blob> {
      return reached((await request(`${execution(id)}/notebook`)).blob());
    },

    /** The program, output and files of an execution that has ended, as a ZIP file. */
    async archive(id: string): Promise<Blob> {
      return reached((await request(`${execution(id)}/archive`)).blob());
    },

    /** The WebSocket that tells what happens in an execution; the ticket is the permission. */
    socketUrl({ execution_id, ticket }: Pick<Execution, 'execution_id' | 'ticket'>): string {
      const query = new URLSearchParams({ execution: execution_id, ticket });
      return `${origin.replace(/^http/, 'ws')}/ws?${query}`;
    },
  };
}

const isJson = (response: Response) => response.headers.get('content-type')?.startsWith('application/json');

/** What the network is to bring, the body too, may break off. @throws Unreachable, and AbortError */
async function reached<T>(answer: Promise<T>, signal?: AbortSignal | null): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    signal?.throwIfAborted();
    throw new Unreachable(error);
  }
}

/** crypto.randomUUID exists on https and localhost only; the page may be served from elsewhere. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

/** What a gateway says of a moment that passes: its own limit is reached, or no function is free or answers. */
const PASSING = [429, 502, 503, 504];

async function errorOf(response: Response): Promise<ApiError | Unreachable> {
  const { status } = response;
  const isJson = response.headers.get('content-type')?.includes('json');
  const body = (isJson ? await response.json().catch(() => ({})) : {}) as Partial<
    ProblemDocument & { message: string }
  >;
  // API Gateway says so of a caller whom the authorizer refuses; a firewall's 403 is another.
  const unauthorized = status === 401 || (status === 403 && body.message === 'Forbidden');
  if (body.detail) return new ApiError(status, body as ProblemDocument, unauthorized);
  // Not from the API itself but from something in front of it.
  if (PASSING.includes(status))
    return new Unreachable(response, 'The service is busy. Try again in a moment.');
  const detail = unauthorized
    ? 'Your key is not accepted. Check it, or ask for a new one.'
    : `The service answered with status ${status}. Try again in a moment.`;
  const problem = { type: 'about:blank', title: 'Error', status, detail, request_id: '' };
  return new ApiError(status, problem, unauthorized);
}
