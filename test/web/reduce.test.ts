import { describe, expect, it } from 'vitest';
import { type ExecutionState, fromSnapshot, leavesOutText, reduce } from '../../web/src/execution/reduce.ts';
import { attempt, events, execution, summary } from './support/executions.ts';

const start = () => fromSnapshot(execution());
const play = (...script: Parameters<typeof events>) =>
  events(...script).reduce<ExecutionState>(reduce, start());

describe('reduce', () => {
  it('tells an execution from its events', () => {
    const state = play(
      { type: 'execution.started', execution: summary() },
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.delta', attempt: 1, text: 'print(' },
      { type: 'code.delta', attempt: 1, text: '1)' },
      { type: 'code.completed', attempt: 1, code: 'print(1)' },
      { type: 'sandbox.ready', isolation: { seccomp: 'on' } },
      { type: 'run.started', attempt: 1 },
      { type: 'run.output', attempt: 1, run: 1, chunk: 1, text: '1\n' },
      {
        type: 'attempt.finished',
        attempt: 1,
        result: attempt({
          status: 'succeeded',
          success: true,
          code: 'print(1)',
          output: '1\n',
          usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
        }),
      },
      {
        type: 'execution.finished',
        execution: summary({ status: 'succeeded', success: true, attempts: 1, total_time: 2 }),
      },
    );
    expect(state).toMatchObject({
      status: 'succeeded',
      success: true,
      sequence: 10,
      isolation: { seccomp: 'on' },
      usage: { total_tokens: 15 },
      total_time: 2,
      results: [{ status: 'succeeded', code: 'print(1)', output: '1\n' }],
    });
  });

  it('shows each step of an attempt while it happens', () => {
    const state = play({ type: 'attempt.started', attempt: 1, total_attempts: 5 });
    expect(state).toMatchObject({ status: 'running', attempts: 1, results: [{ status: 'generating' }] });
    const checking = play(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.completed', attempt: 1, code: 'x' },
    );
    expect(checking.results[0]).toMatchObject({
      status: 'checking',
      generated_at: '2026-01-01T00:00:02.000Z',
    });
    const waiting = play(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.completed', attempt: 1, code: 'x' },
      { type: 'check.passed', attempt: 1 },
    );
    expect(waiting.results[0]).toMatchObject({ status: 'waiting', checked_at: '2026-01-01T00:00:03.000Z' });
  });

  it('drops an event that came before', () => {
    const [first, second] = events(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.delta', attempt: 1, text: 'a' },
    );
    if (!first || !second) throw new Error('no events');
    const state = [first, second, second, first].reduce<ExecutionState>(reduce, start());
    expect(state.results[0]?.code).toBe('a');
  });

  it('begins the code anew when its generation starts over', () => {
    const state = play(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.delta', attempt: 1, text: 'lost' },
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.delta', attempt: 1, text: 'new' },
    );
    expect(state.results).toHaveLength(1);
    expect(state.results[0]?.code).toBe('new');
  });

  it('begins the output anew when the attempt runs in another sandbox', () => {
    const state = play(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'run.output', attempt: 1, run: 1, chunk: 1, text: 'lost' },
      { type: 'run.output', attempt: 1, run: 2, chunk: 1, text: 'a' },
      { type: 'run.output', attempt: 1, run: 2, chunk: 2, text: 'b' },
    );
    expect(state.results[0]?.output).toBe('ab');
  });

  it('puts chunks that come late into their place, and one that comes twice once', () => {
    const state = play(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'run.output', attempt: 1, run: 1, chunk: 2, text: 'b' },
      { type: 'run.output', attempt: 1, run: 1, chunk: 4, text: 'd' },
      { type: 'run.output', attempt: 1, run: 1, chunk: 1, text: 'a' },
      { type: 'run.output', attempt: 1, run: 1, chunk: 2, text: 'b' },
      { type: 'run.output', attempt: 1, run: 1, chunk: 3, text: 'c' },
    );
    expect(state.results[0]?.output).toBe('abcd');
  });

  it('puts a late chunk behind what a snapshot brought', () => {
    const running = attempt({ status: 'running', output: 'one\n' });
    const snapshot = fromSnapshot(execution({ status: 'running', results: [running], sequence: 0 }));
    const late = events(
      { type: 'run.output', attempt: 1, run: 1, chunk: 3, text: 'three\n' },
      { type: 'run.output', attempt: 1, run: 1, chunk: 2, text: 'two\n' },
    );
    expect(late.reduce(reduce, snapshot).results[0]?.output).toBe('one\ntwo\nthree\n');
  });

  it('goes on with the output that a snapshot brought', () => {
    const running = attempt({ status: 'running', output: 'one\n' });
    const snapshot = fromSnapshot(execution({ status: 'running', results: [running], sequence: 0 }));
    const [next] = events({ type: 'run.output', attempt: 1, run: 1, chunk: 2, text: 'two\n' });
    if (!next) throw new Error('no event');
    expect(reduce(snapshot, next).results[0]?.output).toBe('one\ntwo\n');
  });

  it('keeps what was streamed where an event leaves a long text out', () => {
    const script = events(
      { type: 'attempt.started', attempt: 1, total_attempts: 5 },
      { type: 'code.delta', attempt: 1, text: 'long code' },
      { type: 'code.completed', attempt: 1, code: null },
      { type: 'run.output', attempt: 1, run: 1, chunk: 1, text: 'long output' },
      {
        type: 'attempt.finished',
        attempt: 1,
        result: attempt({
          code: null,
          output: null,
          generated_at: '2026-01-01T00:00:01Z',
          execution_time: 1,
        }),
      },
    );
    expect(script.map(leavesOutText)).toEqual([false, false, true, false, true]);
    expect(script.reduce<ExecutionState>(reduce, start()).results[0]).toMatchObject({
      code: 'long code',
      output: 'long output',
    });
  });

  it('does not take a text that never was for one left out', () => {
    const [event] = events({
      type: 'attempt.finished',
      attempt: 1,
      result: attempt({ error_category: 'model_error', code: null, output: null }),
    });
    expect(event && leavesOutText(event)).toBe(false);
  });
});
