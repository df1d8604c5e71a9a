/**
 * The whole product for a test: the local runtime in this process, with the real sandbox program, the real workflow
 * file and the real openai client, against a scripted model server. One for each test file: see vitest.config.ts.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { WebSocket } from 'ws';
import type { ExecutionEvent } from '../../functions/events/events.ts';
import type { Execution } from '../../functions/execution/execution.ts';
import type { Runtime } from '../../local/runtime.ts';
import { type ModelServer, startModelServer } from './model-server.ts';
import { recordCalls } from './record-calls.ts';
import { transport } from './transport.ts';

export interface ProductOptions {
  env?: Record<string, string>;
  warmSandboxes?: number;
  /** Executions that run, and that may wait for their turn. */
  executionsAtOnce?: number;
  queuedExecutions?: number;
  /** Milliseconds from RunTask to the start of a sandbox. */
  sandboxStartDelay?(): number;
  /** Milliseconds from an upload to the event that tells of it. */
  uploadEventDelay?(): number;
  /** Is told what a function answered to the workflow or an event. */
  onAnswer?(functionName: string, answer: unknown): void;
}

export interface Answer<T> {
  status: number;
  headers: Headers;
  body: T;
}

/** A problem document. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: { pointer: string; detail: string }[];
  request_id: string;
}

export interface Product {
  url: string;
  runtime: Runtime;
  model: ModelServer;
  dataDir: string;
  call<T>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<T>>;
  /** Starts an execution and does not wait for it. */
  start(request: object): Promise<Execution>;
  /** Starts an execution and follows it by WebSocket to its end. */
  run(request: object): Promise<Execution>;
  get(id: string): Promise<Execution>;
  follow(execution: Execution, after?: number): Follower;
  close(): Promise<void>;
}

/** Follows an execution by WebSocket. */
export interface Follower {
  events: ExecutionEvent[];
  /** Resolves with the first event, past or to come, that `matches`. */
  seen(matches: (event: ExecutionEvent) => boolean): Promise<ExecutionEvent>;
  ended: Promise<void>;
  close(): void;
}

export async function startProduct({
  env = {},
  warmSandboxes = 0,
  executionsAtOnce = 20,
  queuedExecutions = 100,
  sandboxStartDelay,
  uploadEventDelay,
  onAnswer,
}: ProductOptions = {}): Promise<Product> {
  const model = await startModelServer();
  const dataDir = await mkdtemp(path.join(tmpdir(), 'executor-test-'));
  Object.assign(process.env, {
    OPENAI_BASE_URL: model.url,
    OPENAI_API_KEY: 'test-key',
    OPENAI_MODEL: 'test-model',
    ...env,
  });
  const { startRuntime } = await import('../../local/runtime.ts');
  const runtime = await startRuntime(
    {
      port: 0,
      host: '127.0.0.1',
      awsPort: 0,
      dataDir,
      sandbox: 'auto',
      warmSandboxes,
      executionsAtOnce,
      queuedExecutions,
      hasModel: true,
    },
    { transport: transport(), sandboxStartDelay, uploadEventDelay, onAnswer },
  );
  const { url } = runtime;
  if (process.env.RECORD_AWS_CALLS) await recordCalls(process.env.RECORD_AWS_CALLS);

  async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(url + path, {
      method,
      redirect: 'manual',
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      body: isRaw ? (body as string | Uint8Array<ArrayBuffer> | undefined) : JSON.stringify(body),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      body: (isJson ? JSON.parse(text) : text) as T,
    };
  }

  const get = async (id: string) => (await call<Execution>('GET', `/api/executions/${id}`)).body;

  async function start(request: object): Promise<Execution> {
    const answer = await call<Execution>('POST', '/api/execute', request, { prefer: 'respond-async' });
    if (answer.status !== 202)
      throw new Error(`POST /execute: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  const follow = (execution: Execution, after = 0) => followExecution(url, execution, after);

  return {
    url,
    runtime,
    model,
    dataDir,
    call,
    start,
    get,
    follow,
    async run(request) {
      const execution = await start(request);
      const follower = follow(execution);
      await follower.ended;
      follower.close();
      return get(execution.execution_id);
    },
    async close() {
      await runtime.close();
      await model.close();
      await rm(dataDir, { recursive: true });
    },
  };
}

export function followExecution(url: string, { execution_id, ticket }: Execution, after = 0): Follower {
  const query = new URLSearchParams({ execution: execution_id, ticket });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?${query}`);
  const events: ExecutionEvent[] = [];
  let waiting: { matches(event: ExecutionEvent): boolean; resolve(event: ExecutionEvent): void }[] = [];
  const failed = new Promise<never>((_, reject) => socket.once('error', reject));
  failed.catch(() => undefined);
  socket.on('open', () => socket.send(JSON.stringify({ action: 'resume', after })));
  socket.on('message', (data) => {
    for (const event of JSON.parse(String(data)).events as ExecutionEvent[]) {
      if (events.some(({ sequence }) => sequence === event.sequence)) continue;
      events.push(event);
      events.sort((a, b) => a.sequence - b.sequence);
      waiting = waiting.filter(({ matches, resolve }) => !matches(event) || resolve(event));
    }
  });
  const seen = (matches: (event: ExecutionEvent) => boolean) => {
    const past = events.find(matches);
    const future = new Promise<ExecutionEvent>((resolve) => waiting.push({ matches, resolve }));
    return past ? Promise.resolve(past) : Promise.race([future, failed]);
  };
  return {
    events,
    seen,
    ended: seen(({ type }) => type === 'execution.finished').then(() => undefined),
    close: () => socket.close(),
  };
}
