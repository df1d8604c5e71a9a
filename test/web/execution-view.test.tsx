// @vitest-environment jsdom
/** An execution and what is around it in the states that are seldom seen: before, beyond and without its attempts. */
import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Attempt } from '../../functions/execution/execution.ts';
import type { Client } from '../../web/src/api/client.ts';
import { ExecutionView } from '../../web/src/components/ExecutionView.tsx';
import { HistoryList } from '../../web/src/components/HistoryList.tsx';
import { PromptSidebar } from '../../web/src/components/PromptSidebar.tsx';
import { StatusBar } from '../../web/src/components/StatusBar.tsx';
import { EMPTY_DRAFT, LIMITS } from '../../web/src/execution/draft.ts';
import { fromSnapshot } from '../../web/src/execution/reduce.ts';
import { attempt, execution, summary } from './support/executions.ts';

vi.mock('../../web/src/editor/CodeEditor.tsx', () => ({
  default: ({ code }: { code: string }) => <pre>{code}</pre>,
}));

afterEach(cleanup);

describe('ExecutionView', () => {
  const onRepeat = vi.fn();
  const view = (given: Parameters<typeof execution>[0], wanted: number | null = null) => (
    <ExecutionView
      client={{} as Client}
      execution={fromSnapshot(execution(given))}
      wanted={wanted}
      starting={false}
      onCancel={() => {}}
      onRepeat={onRepeat}
      onEdit={() => {}}
    />
  );
  const whyFailed = () => screen.queryByRole('region', { name: 'Why it failed' });

  it('waits for its first attempt', () => {
    render(view({ status: 'running' }));
    screen.getByText('Starting …');
    screen.getByRole('button', { name: 'Cancel' });
    expect(screen.queryByRole('navigation')).toBeNull();
  });

  it('says that it ended before its first attempt, and why', () => {
    const { rerender } = render(view({ status: 'cancelled' }));
    screen.getByText('It ended before its first attempt.');
    rerender(view({ status: 'failed', error: 'There is no sandbox.' }));
    screen.getByText('It ended before its first attempt.');
    screen.getByText('There is no sandbox.');
    screen.getByRole('button', { name: 'Run again' });
  });

  it('gives its own error beside that of its last attempt, and not the same one twice', () => {
    const results = [attempt({ error: 'ValueError: no' })];
    const { rerender } = render(view({ status: 'failed', error: 'It took too long.', results }));
    screen.getByText('It took too long.');
    rerender(view({ status: 'failed', error: 'ValueError: no', results }));
    // The details of the attempt hold it.
    expect(screen.getAllByText('ValueError: no')).toHaveLength(1);
  });

  it('offers to run again under standard where strict alone was in the way', () => {
    const offer = () => screen.queryByRole('button', { name: 'Run again under standard' });
    const refused = attempt({ error_category: 'policy_violation', standard_permits: true });
    const failed = { status: 'failed', policy: 'strict' } as const;
    const { rerender } = render(view({ ...failed, results: [attempt(), { ...refused, attempt: 2 }] }));
    fireEvent.click(offer() as HTMLElement);
    expect(onRepeat).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ policy: 'strict' }),
      'standard',
    );
    const elsewhere: Parameters<typeof execution>[0][] = [
      { ...failed, results: [refused, attempt({ attempt: 2 })] },
      { ...failed, status: 'running', results: [refused] },
      { ...failed, status: 'cancelled', results: [refused] },
      { ...failed, policy: 'standard', results: [refused] },
    ];
    for (const given of elsewhere) {
      rerender(view(given));
      expect(offer()).toBeNull();
    }
  });

  it('says from where it runs again, and of what it is the continuation', () => {
    const done = attempt({ error_category: 'exception', started_at: new Date().toISOString() });
    const refused = { ...done, attempt: 2, error_category: 'model_error' } as const;
    const failed = { status: 'failed', error_category: 'model_error' } as const;
    const { rerender } = render(view({ ...failed, results: [done, refused] }));
    fireEvent.click(screen.getByRole('button', { name: 'Run again from attempt 2' }));
    expect(onRepeat).toHaveBeenLastCalledWith(expect.objectContaining(failed));
    expect(screen.queryByRole('link', { name: /earlier run/ })).toBeNull();

    rerender(view({ ...failed, error_category: 'exception', results: [done], resumes: 'e0' }));
    screen.getByRole('button', { name: 'Run again' });
    expect(screen.getByRole('link', { name: /earlier run/ }).getAttribute('href')).toBe('/executions/e0');
  });

  it('has a place for files that were all left out, and tells how the process ended', () => {
    const artifacts_skipped = [{ name: 'huge.bin', reason: 'larger than 10 MB' }];
    const failed = {
      artifacts_skipped,
      error: 'Killed',
      exit_code: null,
      signal: 'SIGSEGV',
      peak_memory_bytes: 48_000_000,
    };
    render(view({ status: 'failed', results: [attempt(failed)] }));
    screen.getByRole('region', { name: 'Files' });
    screen.getByText('huge.bin');
    screen.getByText('The process: ended by SIGSEGV, at most 48.0 MB of memory.');
  });

  it('shows what was kept by an earlier version', () => {
    const { artifacts_skipped: _, without_output: __, exit_code: ___, ...earlier } = attempt({ error: 'E' });
    render(view({ status: 'failed', results: [earlier as Attempt] }));
    expect(screen.queryByText(/The process/)).toBeNull();
    expect(screen.queryByRole('region', { name: 'Files' })).toBeNull();
  });

  it('explains a failed attempt when it was asked for or nothing follows', () => {
    const results = [attempt({ error_category: 'timeout' })];
    const { rerender } = render(view({ status: 'running', results }));
    expect(whyFailed()).toBeNull();
    rerender(view({ status: 'running', results }, 1));
    expect(whyFailed()).not.toBeNull();
    rerender(view({ status: 'failed', results }));
    expect(whyFailed()).not.toBeNull();
  });

  it('shows of a long task the beginning, and all of it on demand', async () => {
    render(view({ prompt: 'Do this, and then that. '.repeat(30) }));
    const heading = screen.getByRole('heading', { level: 1 });
    expect(heading.className).toContain('line-clamp');
    await userEvent.click(screen.getByRole('button', { name: 'Show the whole task' }));
    expect(heading.className).not.toContain('line-clamp');
    await userEvent.click(screen.getByRole('button', { name: 'Show less' }));
    expect(heading.className).toContain('line-clamp');
  });
});

describe('StatusBar', () => {
  it.each([
    ['connecting', 'Connecting'],
    ['live', 'Live'],
    ['reconnecting', 'Reconnecting'],
    ['polling', 'Polling'],
    ['away', 'Service away, trying again'],
    ['ended', 'Up to date'],
  ] as const)('names the connection: %s', (connection, name) => {
    render(<StatusBar followed={{ execution: fromSnapshot(execution()), connection, error: null }} />);
    screen.getByText(name);
    expect(screen.getByRole('status').textContent).toBe('Waiting to begin.');
  });
});

describe('HistoryList', () => {
  it('says how far a search went, and goes on with it', async () => {
    const loadMore = vi.fn();
    const list = (length: number, more = true) => {
      const executions = Array.from({ length }, (_, index) => summary({ execution_id: `e${index}` }));
      const history = { executions, more, loading: false, error: null, loadMore, changed: () => {} };
      return <HistoryList history={history} shown={null} />;
    };
    const { rerender } = render(list(330));
    await userEvent.type(screen.getByLabelText('Search in the history'), 'circle');
    screen.getByText('Not among the newest 330.');
    await userEvent.click(screen.getByRole('button', { name: 'Search older ones' }));
    expect(loadMore).toHaveBeenCalledOnce();
    // It goes on by itself for a while.
    rerender(list(360));
    expect(screen.queryByText(/Not among/)).toBeNull();
    rerender(list(630));
    screen.getByText('Not among the newest 630.');
    rerender(list(640, false));
    screen.getByText('Nothing in the history is like this.');
  });
});

describe('PromptSidebar', () => {
  it('keeps all of a task that is too long, and says so', () => {
    const onChange = vi.fn();
    const onRun = vi.fn();
    const sidebar = (prompt: string) => (
      <PromptSidebar
        draft={{ ...EMPTY_DRAFT, prompt }}
        onChange={onChange}
        onRun={onRun}
        starting={false}
        error={null}
        defaults={null}
        serviceProblem={null}
        promptRef={null}
      />
    );
    const { rerender } = render(sidebar(''));
    const box = screen.getByLabelText<HTMLTextAreaElement>(/What should/);
    expect(box.maxLength).toBe(-1);
    rerender(sidebar('x'.repeat(LIMITS.prompt + 1)));
    screen.getByText(/at most 20000 characters/);
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Run' }).disabled).toBe(true);
    fireEvent.keyDown(box, { key: 'Enter', ctrlKey: true });
    expect(onRun).not.toHaveBeenCalled();
  });
});
