/** The page's small functions: what they say and how they read. */
import { describe, expect, it } from 'vitest';
import type { Attempt } from '../../functions/execution/execution.ts';
import { LIMITS as API_LIMITS } from '../../functions/execution/execution.ts';
import { demoScenarios } from '../../local/demo-scenarios.ts';
import {
  EMPTY_DRAFT,
  EXAMPLES,
  LIMITS,
  problemOf,
  toDraft,
  toRepeat,
  toRequest,
} from '../../web/src/execution/draft.ts';
import { announcement, progress, whyFailed } from '../../web/src/execution/explain.ts';
import { phasesOf } from '../../web/src/execution/phases.ts';
import { fromSnapshot, reduce } from '../../web/src/execution/reduce.ts';
import { parseRoute } from '../../web/src/hooks/use-route.ts';
import { parseCsv } from '../../web/src/text/csv.ts';
import { ago, bytes, duration } from '../../web/src/text/format.ts';
import { attempt, execution } from './support/executions.ts';

const failed = (given: Parameters<typeof attempt>[0]) => ({
  ...attempt(given),
  run: null,
  chunks: [],
});

describe('whyFailed', () => {
  it.each([
    [
      {
        error_category: 'syntax_error',
        error: "SyntaxError: invalid syntax. Maybe you meant '=='",
        error_line: 3,
      },
      "The code is not valid Python on line 3: invalid syntax. Maybe you meant '=='.",
    ],
    [
      {
        error_category: 'policy_violation',
        error: 'PolicyViolation: line 1: …',
        violations: [
          { line: 1, rule: 'import', message: 'import of os is not allowed' },
          { line: 4, rule: 'call', message: 'eval is not allowed' },
        ],
      },
      'The policy does not allow line 1 (and 1 more place): import of os is not allowed.',
    ],
    [
      { error_category: 'exception', error: 'ZeroDivisionError: division by zero', error_line: 2 },
      'The program stopped with ZeroDivisionError on line 2: division by zero.',
    ],
    [
      { error_category: 'exception', error: 'Killed by signal SIGSEGV' },
      'The program stopped with an error: Killed by signal SIGSEGV.',
    ],
    [
      { error_category: 'test_failure', error: 'AssertionError: left was 4, right was 5' },
      'The program ran, but a test failed: left was 4, right was 5.',
    ],
    [
      { error_category: 'timeout', error: 'Timeout: …' },
      'The program was stopped at the time limit of 30 s.',
    ],
    [
      { error_category: 'memory', error: 'MemoryError' },
      'The program used more memory than it may, and was stopped.',
    ],
    [
      { error_category: 'no_code', error: 'There is no code.' },
      "The model's answer held no program to run: There is no code.",
    ],
    [
      { error_category: 'model_error', error: 'The key is wrong. Set OPENAI_API_KEY.' },
      'The key is wrong. Set OPENAI_API_KEY.',
    ],
    [
      { error_category: 'sandbox_error', error: 'It was lost' },
      'The sandbox failed, not the code: It was lost.',
    ],
  ] as const)('%o', (given, sentence) => {
    expect(
      whyFailed(failed({ ...given, violations: 'violations' in given ? [...given.violations] : [] }), 30),
    ).toBe(sentence);
  });
});

describe('progress', () => {
  const at = (given: Parameters<typeof execution>[0]) => fromSnapshot(execution(given));

  it('says where an execution stands', () => {
    expect(progress(at({}))).toBe('Waiting to begin.');
    expect(progress(at({ place_in_line: 3 }))).toBe('Waiting for its turn: number 3 in line.');
    expect(announcement(at({ place_in_line: 3 }))).toBe('Waiting to begin.');
    expect(progress(at({ status: 'running', results: [attempt({ status: 'generating' })] }))).toBe(
      'Attempt 1 of 5: the model is writing code.',
    );
    const away = reduce(at({ status: 'running', results: [attempt({ status: 'generating' })] }), {
      execution_id: 'x',
      sequence: 1_000,
      at: '2026-11-01T10:00:00.000Z',
      type: 'model.waiting',
      attempt: 1,
      seconds: 7.4,
      reason: 'the model server does not answer',
    });
    expect(progress(away)).toBe('Attempt 1 of 5: the model server does not answer, trying again in 8 s.');
    const checking = at({ status: 'running', results: [attempt({ status: 'checking' })] });
    expect(progress(checking)).toBe('Attempt 1 of 5: checking the code.');
    const waiting = at({ status: 'running', results: [attempt({ status: 'waiting' })] });
    expect(progress(waiting)).toBe('Attempt 1 of 5: waiting for the sandbox.');
    expect(progress(at({ status: 'succeeded', attempts: 2, total_time: 3.21 }))).toBe(
      'Succeeded after 2 attempts in 3.2 s.',
    );
  });

  const timedOut = attempt({ status: 'failed', error_category: 'timeout' });
  const reason = ' Attempt 1 failed: The program was stopped at the time limit of 30 s.';

  it('announces why an attempt failed once, when the next begins', () => {
    const announced = (...results: Attempt[]) => announcement(at({ status: 'running', results }));
    const second = (status: Attempt['status']) => attempt({ attempt: 2, status });
    expect(announced(timedOut)).toBe('Attempt 1 of 5: failed; the next one begins.');
    expect(announced(timedOut, second('generating'))).toBe(
      `Attempt 2 of 5: the model is writing code.${reason}`,
    );
    for (const status of ['checking', 'waiting', 'running'] as const)
      expect(announced(timedOut, second(status))).not.toContain('Attempt 1');
  });

  it('announces at the end why the last attempt failed, and of a success nothing more', () => {
    const ended = { attempts: 1, results: [timedOut] };
    expect(announcement(at({ ...ended, status: 'failed' }))).toBe(`Failed after 1 attempt.${reason}`);
    expect(announcement(at({ ...ended, status: 'succeeded' }))).toBe('Succeeded after 1 attempt.');
  });

  it('announces no more than the beginning of a long reason', () => {
    const results = [attempt({ error_category: 'exception', error: `ValueError: ${'word '.repeat(1_000)}` })];
    const heard = announcement(at({ status: 'failed', attempts: 1, results }));
    expect(heard).toMatch(/stopped with ValueError: (word )+\w*…$/);
    expect(heard.length).toBeLessThan(260);
  });
});

describe('phasesOf', () => {
  const running = failed({
    started_at: '2026-01-01T00:00:00Z',
    generated_at: '2026-01-01T00:00:02Z',
    checked_at: '2026-01-01T00:00:02.5Z',
    run_started_at: '2026-01-01T00:00:03Z',
  });

  it('measures what has passed and what is under way', () => {
    expect(phasesOf(running, Date.parse('2026-01-01T00:00:07Z'))).toEqual([
      { name: 'Writing', seconds: 2, underWay: false },
      { name: 'Checking', seconds: 0.5, underWay: false },
      { name: 'Waiting', seconds: 0.5, underWay: false },
      { name: 'Running', seconds: 4, underWay: true },
    ]);
  });

  it('ends with the attempt', () => {
    const rejected = { ...running, checked_at: null, run_started_at: null };
    const ended = { ...rejected, finished_at: '2026-01-01T00:00:02.5Z' };
    expect(phasesOf(ended, Date.now()).at(-1)).toEqual({ name: 'Checking', seconds: 0.5, underWay: false });
  });
});

describe('a draft', () => {
  it('has the limits of the API, and the demo as examples', () => {
    const { prompt, tests, maxRetries, timeout } = API_LIMITS;
    expect(LIMITS).toEqual({ prompt, tests, maxRetries, timeout });
    expect(EXAMPLES).toEqual(demoScenarios.map((scenario) => scenario.prompt));
  });

  it('becomes a request that leaves to the service what is not set', () => {
    expect(toRequest({ ...EMPTY_DRAFT, prompt: ' Do it ' })).toEqual({ prompt: 'Do it' });
    const whole = {
      prompt: 'Do it',
      max_retries: 3,
      timeout: 5,
      policy: 'standard',
      tests: 'assert True',
    } as const;
    expect(toRequest(toDraft(execution(whole)))).toEqual(whole);
  });

  it('of an execution that is run again goes on where the service failed, unless under another policy', () => {
    const done = attempt({ error_category: 'exception', started_at: new Date().toISOString() });
    const failed = execution({ prompt: 'Do it', status: 'failed', error_category: 'model_error' });
    const anew = { prompt: 'Do it', max_retries: 5, timeout: 30 };
    expect(toRepeat({ ...failed, results: [done] })).toEqual({ resumes: 'e1' });
    expect(toRepeat({ ...failed, results: [done] }, 'standard')).toEqual({ ...anew, policy: 'standard' });
    expect(toRepeat(failed)).toEqual({ ...anew, policy: 'strict' });
    expect(toRepeat({ ...failed, error_category: 'exception', results: [done] })).toEqual({
      ...anew,
      policy: 'strict',
    });
  });

  it.each([
    [{ prompt: ' ' }, /Say first/],
    [{ prompt: 'x', maxRetries: 11 }, /1 to 10/],
    [{ prompt: 'x', maxRetries: 1.5 }, /whole number/],
    [{ prompt: 'x', timeout: 0 }, /more than 0/],
    [{ prompt: 'x', tests: 'x'.repeat(20_001) }, /20000/],
  ])('with %o has a problem', (given, sentence) => {
    expect(problemOf({ ...EMPTY_DRAFT, ...given })).toMatch(sentence);
  });

  it('is fine', () =>
    expect(problemOf({ ...EMPTY_DRAFT, prompt: 'x', maxRetries: 10, timeout: 0.5 })).toBeNull());
});

describe('parseRoute', () => {
  it.each([
    ['/', '', { page: 'start' }],
    ['/executions/a-1', '', { page: 'execution', id: 'a-1', attempt: null }],
    ['/executions/a-1', '#attempt-2', { page: 'execution', id: 'a-1', attempt: 2 }],
    ['/executions/%E0%A4', '', { page: 'start' }],
  ])('%s%s', (pathname, hash, route) => expect(parseRoute({ pathname, hash })).toEqual(route));
});

describe('format', () => {
  it('tells durations', () => {
    expect([0.0204, 0.42, 9.96, 59.6, 60, 185].map(duration)).toEqual([
      '20 ms',
      '0.4 s',
      '10 s',
      '1 min',
      '1 min',
      '3 min 5 s',
    ]);
  });

  it('tells sizes', () =>
    expect([0, 999, 1_500, 999_960].map(bytes)).toEqual(['0 B', '999 B', '1.5 KB', '1.0 MB']));

  it('tells times', () => {
    const now = new Date('2026-03-05T12:00:00');
    expect(ago('2026-03-05T11:59:50', now)).toBe('now');
    expect(ago('2026-03-05T11:48:00', now)).toBe('12 min ago');
    expect(ago('2026-03-05T09:05:00', now)).toMatch(/9:05/);
    expect(ago('2025-03-05T09:05:00', now)).toMatch(/2025/);
  });
});

describe('parseCsv', () => {
  it('reads quotes, separators and line ends', () => {
    expect(parseCsv('\ufeffname;note\r\n"a;b";"say ""hi"""\r\nc;\r\n')).toEqual({
      header: ['name', 'note'],
      rows: [
        ['a;b', 'say "hi"'],
        ['c', ''],
      ],
      cut: false,
    });
  });

  it('takes what is broken as it is', () => {
    expect(parseCsv('a,b\n"open,1\n2').rows).toEqual([['open,1\n2']]);
    expect(parseCsv('')).toEqual({ header: [], rows: [], cut: false });
  });

  it('shows a part of what is large', () => {
    const { rows, cut } = parseCsv(`a\n${'1\n'.repeat(2_000)}`);
    expect(rows).toHaveLength(500);
    expect(cut).toBe(true);
  });
});
