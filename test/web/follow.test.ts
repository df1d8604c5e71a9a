// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient } from '../../web/src/api/client.ts';
import { type Connection, followExecution, type Pace } from '../../web/src/api/follow.ts';
import type { ExecutionState } from '../../web/src/execution/reduce.ts';
import { attempt, execution, summary } from './support/executions.ts';
import { type Service, startService } from './support/service.ts';

const PACE: Pace = { pause: 1, maxPause: 5, poll: 5, silence: 10_000, patience: 10_000 };
const ATTEMPT = { type: 'attempt.started', attempt: 1, total_attempts: 5 } as const;
const END = {
  type: 'execution.finished',
  execution: summary({ status: 'succeeded', success: true }),
} as const;
const delta = (text: string) => ({ type: 'code.delta', attempt: 1, text }) as const;

let service: Service;
let stop = () => {};

beforeEach(async () => {
  service = await startService();
});
afterEach(async () => {
  stop();
  await service.close();
});

function follow(pace: Partial<Pace> = {}) {
  const seen = { states: [] as ExecutionState[], connections: [] as Connection[], errors: [] as Error[] };
  stop = followExecution(
    createClient({ origin: service.url }),
    'e1',
    {
      onState: (state) => seen.states.push(state),
      onConnection: (connection) => seen.connections.push(connection),
      onError: (error) => seen.errors.push(error),
    },
    { ...PACE, ...pace },
  );
  return {
    ...seen,
    get state() {
      return seen.states.at(-1);
    },
    get connection() {
      return seen.connections.at(-1);
    },
    get code() {
      return seen.states.at(-1)?.results[0]?.code;
    },
  };
}

describe('followExecution', () => {
  it('reads the snapshot of an ended execution and opens no socket', async () => {
    service.snapshot = execution({ status: 'succeeded' });
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('ended'));
    expect(service.requests).toEqual(['GET /api/executions/e1']);
  });

  it('tells events as they happen, to the end', async () => {
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    service.emit(ATTEMPT, delta('a'));
    await vi.waitFor(() => expect(seen.code).toBe('a'));
    service.emit(delta('b'), END);
    await vi.waitFor(() => expect(seen.connection).toBe('ended'));
    expect(seen.state).toMatchObject({ status: 'succeeded', results: [{ code: 'ab' }] });
    await vi.waitFor(() => expect(service.listeners()).toBe(0));
  });

  it('resumes after what the snapshot holds', async () => {
    service.emit(ATTEMPT, delta('a'));
    service.snapshot = execution({
      status: 'running',
      results: [attempt({ status: 'generating', code: 'a' })],
      sequence: 2,
    });
    const seen = follow();
    await vi.waitFor(() => expect(service.messages).toEqual([{ action: 'resume', after: 2 }]));
    service.emit(delta('b'));
    await vi.waitFor(() => expect(seen.code).toBe('ab'));
  });

  it('misses nothing when the socket is lost', async () => {
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    service.emit(ATTEMPT, delta('a'));
    await vi.waitFor(() => expect(seen.code).toBe('a'));
    service.dropSockets();
    service.emit(delta('b'));
    await vi.waitFor(() => expect(seen.code).toBe('ab'));
    expect(seen.connections).toEqual(['connecting', 'live', 'reconnecting', 'live']);
  });

  it('asks again for a message that was lost', async () => {
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    service.pushes = false;
    service.emit(ATTEMPT, delta('a'));
    service.pushes = true;
    service.emit(delta('b'));
    await vi.waitFor(() => expect(seen.code).toBe('ab'));
    expect(service.messages.map(({ after }) => after)).toEqual([0, 0]);
  });

  it('notices after silence that the last message was lost', async () => {
    const seen = follow({ silence: 20 });
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    service.pushes = false;
    service.emit(ATTEMPT, END);
    await vi.waitFor(() => expect(seen.connection).toBe('ended'));
  });

  it('polls while there is no WebSocket', async () => {
    service.sockets = false;
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('polling'));
    service.emit(ATTEMPT, delta('a'));
    await vi.waitFor(() => expect(seen.code).toBe('a'));
    service.emit(END);
    await vi.waitFor(() => expect(seen.connection).toBe('ended'));
  });

  it('returns from polling to the WebSocket', async () => {
    service.sockets = false;
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('polling'));
    service.sockets = true;
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
  });

  it.each([429, 502, 503, 504])('goes on after a gateway answered with %i', async (status) => {
    service.refuse = { status };
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    expect(seen.connections).toEqual(['connecting', 'away', 'live']);
    expect(seen.errors).toEqual([]);
  });

  it('goes on after a fault of the service', async () => {
    service.refuse = { status: 500, detail: 'Something went wrong on our side.' };
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    expect(seen.errors).toEqual([]);
  });

  it('goes on when a service that was away is back', async () => {
    service.answers = false;
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('away'));
    service.answers = true;
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    expect(seen.errors).toEqual([]);
  });

  it('reads from a new snapshot what was too long for a message', async () => {
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    const ended = attempt({ status: 'succeeded', code: 'long', output: 'long', execution_time: 1 });
    service.snapshot = execution({ status: 'succeeded', results: [ended], sequence: 3 });
    service.emit(
      ATTEMPT,
      { type: 'attempt.finished', attempt: 1, result: { ...ended, code: null, output: null } },
      END,
    );
    await vi.waitFor(() => expect(seen.connection).toBe('ended'));
    expect(seen.state?.results[0]).toMatchObject({ code: 'long', output: 'long' });
  });

  it('reports an execution that is not there', async () => {
    service.refuse = { status: 404, detail: 'There is no execution "e1".' };
    const seen = follow();
    await vi.waitFor(() => expect(seen.errors).toMatchObject([{ message: 'There is no execution "e1".' }]));
  });

  it('stops when told to', async () => {
    const seen = follow();
    await vi.waitFor(() => expect(seen.connection).toBe('live'));
    stop();
    await vi.waitFor(() => expect(service.listeners()).toBe(0));
    service.emit(ATTEMPT);
    expect(seen.state?.results).toEqual([]);
    expect(seen.errors).toEqual([]);
  });
});
