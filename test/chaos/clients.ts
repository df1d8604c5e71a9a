/** Those who ask: each posts its task, repeats what may be repeated, and keeps what it was told. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionEvent } from '../../functions/events/events.ts';
import type { Execution, ExecutionSummary, History } from '../../functions/execution/execution.ts';
import type { ProblemBody } from '../support/product.ts';
import type { Random } from './random.ts';
import type { Task } from './tasks.ts';

export interface Acknowledged {
  task: Task;
  execution_id: string;
  /** Of `performance.now()`, the latest. */
  at: number;
  cancelled: boolean;
}

/** Milliseconds until somebody who got no answer asks again. */
const PAUSE = 300;

export class Clients {
  /** By the name of the task. */
  readonly acknowledged = new Map<string, Acknowledged>();
  /** Names of tasks that were refused, so that nothing may be there of them. */
  readonly refused = new Set<string>();
  /** What was answered and should not have been, a sentence each. */
  readonly faults: string[] = [];
  /** Milliseconds of each POST that was acknowledged at once. */
  readonly latencies: number[] = [];
  readonly #url: string;
  readonly #random: Random;

  /** `url` is the same in every life of the service. */
  constructor(
    url: string,
    random: Random,
    /** Before when what was acknowledged may be lost, of `performance.now()`. */
    private readonly lostBefore: () => number,
  ) {
    this.#url = url;
    this.#random = random;
  }

  /** Posts the task when it is time for it, until it is acknowledged or `given up`. */
  async post(task: Task, givenUp: AbortSignal): Promise<void> {
    const random = this.#random.fork(task.name);
    await sleep(task.postAfter);
    for (;;) {
      const answer = await this.#ask<Pick<Execution, 'execution_id'> & ProblemBody>('POST', '/api/execute', {
        body: JSON.stringify(task.request),
        headers: {
          'content-type': 'application/json',
          prefer: task.prefer,
          ...(task.idempotencyKey && { 'idempotency-key': task.idempotencyKey }),
        },
      });
      if (answer === 'broken') {
        this.refused.delete(task.name);
        // Who asks again without a key may ask for two.
        if (!task.idempotencyKey) return;
      } else if (answer === 'down') {
        // Nobody was there who could have taken it.
      } else if (answer.status === 200 || answer.status === 202) {
        this.refused.delete(task.name);
        this.#acknowledge(task, answer.body.execution_id);
        if (task.prefer === 'respond-async') this.latencies.push(answer.milliseconds);
        // As one who did not get the answer.
        if (!task.idempotencyKey || !random.chance(0.5)) break;
      } else {
        if (!task.idempotencyKey) this.refused.add(task.name);
        const { status, headers, body } = answer;
        if (!([429, 503].includes(status) && Number(headers.get('retry-after')) >= 0)) {
          this.faults.push(`POST for ${task.name} was answered ${status}: ${body.detail}`);
          return;
        }
      }
      if (givenUp.aborted) return;
      await sleep(PAUSE * (1 + random.next()));
    }
    if (task.cancelAfter !== null) await this.#cancel(task, task.cancelAfter, givenUp);
  }

  /** All that are there, newest first; null if the service does not answer. */
  async history(): Promise<ExecutionSummary[] | null> {
    const all: ExecutionSummary[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor && `&cursor=${encodeURIComponent(cursor)}`;
      const page = await this.read<History>(`/api/executions?limit=100${query}`);
      if (page === null) return null;
      all.push(...page.executions);
      cursor = page.next_cursor;
    }
    return all;
  }

  async events(execution_id: string): Promise<ExecutionEvent[]> {
    const all: ExecutionEvent[] = [];
    for (;;) {
      const after = all.at(-1)?.sequence ?? 0;
      const page = await this.read<{ events: ExecutionEvent[] }>(
        `/api/executions/${execution_id}/events?after=${after}`,
      );
      if (!page?.events.length) return all;
      all.push(...page.events);
    }
  }

  /** Null if it is not there, or the service does not answer. */
  async read<T>(path: string): Promise<T | null> {
    const answer = await this.#ask<T>('GET', path);
    if (typeof answer === 'string' || answer.status === 404) return null;
    if (answer.status === 200) return answer.body;
    this.faults.push(`GET ${path} was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return null;
  }

  #acknowledge(task: Task, execution_id: string): void {
    const known = this.acknowledged.get(task.name);
    if (known && known.execution_id !== execution_id && known.at > this.lostBefore())
      this.faults.push(`${task.name} was acknowledged as ${known.execution_id} and ${execution_id}`);
    this.acknowledged.set(task.name, { task, execution_id, at: performance.now(), cancelled: false });
  }

  async #cancel(task: Task, after: number, givenUp: AbortSignal): Promise<void> {
    await sleep(after);
    const acknowledged = this.acknowledged.get(task.name) as Acknowledged;
    while (!givenUp.aborted) {
      const answer = await this.#ask<ProblemBody>('DELETE', `/api/executions/${acknowledged.execution_id}`);
      const { status } = typeof answer === 'string' ? { status: answer } : answer;
      if (status === 200) acknowledged.cancelled = true;
      if (status === 200 || status === 409) return;
      if (status === 404 && acknowledged.at < this.lostBefore()) return;
      if (typeof answer !== 'string' && status !== 503) {
        this.faults.push(`DELETE of ${task.name} was answered ${answer.status}: ${answer.body.detail}`);
        return;
      }
      await sleep(PAUSE);
    }
  }

  /** If there is no answer: whether nobody listens, or somebody did and has gone. */
  async #ask<T>(method: string, path: string, request: RequestInit = {}) {
    try {
      const begun = performance.now();
      const response = await fetch(this.#url + path, { method, ...request });
      const body = (await response.json()) as T;
      const milliseconds = performance.now() - begun;
      return { status: response.status, headers: response.headers, body, milliseconds };
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } };
      return cause?.code === 'ECONNREFUSED' ? 'down' : 'broken';
    }
  }
}
