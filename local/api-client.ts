/** The API as the command line uses it. */
import type { ExecutionEvent } from '../functions/events/events.ts';
import type { ExecuteRequest, Execution } from '../functions/execution/execution.ts';
import type { Health } from '../functions/service/health.ts';

/** The API refused (the message is the problem document's detail) or cannot be reached. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
}

export class ApiClient {
  constructor(private readonly baseUrl: string) {}

  start(request: ExecuteRequest): Promise<Execution> {
    return this.#call<Execution>('POST', '/api/execute', request, { prefer: 'respond-async' });
  }

  get(id: string): Promise<Execution> {
    return this.#call<Execution>('GET', `/api/executions/${id}`);
  }

  cancel(id: string): Promise<Execution> {
    return this.#call<Execution>('DELETE', `/api/executions/${id}`);
  }

  async events(id: string, after: number): Promise<ExecutionEvent[]> {
    const { events } = await this.#call<{ events: ExecutionEvent[] }>(
      'GET',
      `/api/executions/${id}/events?after=${after}`,
    );
    return events;
  }

  async #call<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<T> {
    const answered = async () => {
      const response = await fetch(this.baseUrl + path, {
        method,
        headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      return { response, answer: (await response.json()) as T & { detail?: string } };
    };
    const { response, answer } = await answered().catch((cause) => {
      throw new ApiError(`The service at ${this.baseUrl} does not answer (any more).`, { cause });
    });
    if (!response.ok) throw new ApiError(answer.detail ?? `${method} ${path} answered ${response.status}`);
    return answer;
  }
}

/** The health of the runtime at `baseUrl`; null if none of ours is running there. */
export async function probe(baseUrl: string): Promise<Health | null> {
  try {
    const response = await fetch(`${baseUrl}/api/health`, { signal: AbortSignal.timeout(2_000) });
    const health = (await response.json()) as Health;
    return health.service === 'Recursive AI Executor' ? health : null;
  } catch {
    return null;
  }
}
