// @vitest-environment jsdom
/** Each part of the page in its states. */
import { cleanup, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Artifact } from '../../functions/execution/execution.ts';
import type { Health } from '../../functions/service/health.ts';
import type { Client } from '../../web/src/api/client.ts';
import { ArtifactGallery } from '../../web/src/components/ArtifactGallery.tsx';
import { AttemptTimeline } from '../../web/src/components/AttemptTimeline.tsx';
import { CodeViewer } from '../../web/src/components/CodeViewer.tsx';
import { ExecutionLog } from '../../web/src/components/ExecutionLog.tsx';
import { Failure } from '../../web/src/components/Failure.tsx';
import { Header } from '../../web/src/components/Header.tsx';
import { HistoryList } from '../../web/src/components/HistoryList.tsx';
import { PromptSidebar } from '../../web/src/components/PromptSidebar.tsx';
import { SignIn } from '../../web/src/components/SignIn.tsx';
import { StatusBar } from '../../web/src/components/StatusBar.tsx';
import { type Draft, EMPTY_DRAFT } from '../../web/src/execution/draft.ts';
import { type AttemptState, fromSnapshot } from '../../web/src/execution/reduce.ts';
import type { HistoryState } from '../../web/src/hooks/use-history.ts';
import { attempt, execution, summary } from './support/executions.ts';

const editor = vi.hoisted(() => ({ loads: true }));
vi.mock('../../web/src/editor/CodeEditor.tsx', () => ({
  default: ({ code, failure }: { code: string; failure?: { line: number } | null }) => {
    if (!editor.loads) throw new Error('cannot be loaded');
    return <pre data-testid="editor">{`${code}${failure ? ` [line ${failure.line} failed]` : ''}`}</pre>;
  },
}));
vi.mock('../../web/src/editor/CodeDiff.tsx', () => ({
  default: ({ before, after }: { before: string; after: string }) => (
    <pre data-testid="diff">{`${before} -> ${after}`}</pre>
  ),
}));

beforeEach(() => {
  editor.loads = true;
  vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
});
afterEach(() => {
  cleanup();
  localStorage.clear();
  sessionStorage.clear();
  vi.unstubAllGlobals();
});

const state = (given: Parameters<typeof attempt>[0] = {}): AttemptState => ({
  ...attempt(given),
  run: null,
  chunks: [],
});

describe('PromptSidebar', () => {
  function Prompt({
    onRun = () => {},
    error = null as Error | null,
    starting = false,
    serviceProblem = null as string | null,
  }) {
    const [draft, setDraft] = useState<Draft>(EMPTY_DRAFT);
    return (
      <PromptSidebar
        draft={draft}
        onChange={setDraft}
        onRun={onRun}
        starting={starting}
        error={error}
        defaults={{ max_retries: 5, timeout: 30, policy: 'strict' }}
        serviceProblem={serviceProblem}
        promptRef={null}
      />
    );
  }
  const runButton = () => screen.getByRole<HTMLButtonElement>('button', { name: 'Run' });

  it('says beside the prompt that the model has no key', () => {
    const { rerender } = render(<Prompt serviceProblem="No model key is set yet." />);
    screen.getByText('No model key is set yet.');
    rerender(<Prompt />);
    expect(screen.queryByText('No model key is set yet.')).toBeNull();
  });

  it('runs what is typed, by button or Ctrl+Enter', async () => {
    const onRun = vi.fn();
    render(<Prompt onRun={onRun} />);
    expect(runButton().disabled).toBe(true);
    await userEvent.type(screen.getByLabelText(/What should/), 'Do it{Enter}now');
    expect(onRun).not.toHaveBeenCalled();
    await userEvent.click(runButton());
    await userEvent.type(screen.getByLabelText(/What should/), '{Control>}{Enter}{/Control}');
    expect(onRun).toHaveBeenCalledTimes(2);
  });

  it('takes an example', async () => {
    render(<Prompt />);
    await userEvent.click(screen.getByRole('button', { name: /quicksort/ }));
    expect(screen.getByLabelText<HTMLTextAreaElement>(/What should/).value).toMatch(/quicksort/);
    expect(runButton().disabled).toBe(false);
  });

  it('says what is wrong with the settings', async () => {
    const onRun = vi.fn();
    render(<Prompt onRun={onRun} />);
    await userEvent.type(screen.getByLabelText(/What should/), 'Do it');
    await userEvent.type(screen.getByLabelText('Attempts at most'), '11');
    screen.getByText(/whole number from 1 to 10/);
    expect(runButton().disabled).toBe(true);
    await userEvent.type(screen.getByLabelText('Attempts at most'), '{Control>}{Enter}{/Control}');
    expect(onRun).not.toHaveBeenCalled();
  });

  it('shows the defaults of the service', () => {
    render(<Prompt />);
    expect(screen.getByLabelText<HTMLInputElement>('Seconds a run may take').placeholder).toBe('30');
    screen.getByText(/as the service has it \(strict\)/);
  });

  it('says why nothing was started, and does not start twice', () => {
    render(<Prompt error={new Error('Too many. Wait a minute.')} starting />);
    expect(screen.getByRole('alert').textContent).toBe('Too many. Wait a minute.');
    expect(runButton().disabled).toBe(true);
  });
});

describe('CodeViewer', () => {
  it('says when there is no code yet, or none at all', () => {
    const { rerender } = render(<CodeViewer attempt={state({ code: null })} attempts={[]} />);
    screen.getByText('The model has not written anything yet.');
    rerender(
      <CodeViewer attempt={state({ code: null, finished_at: '2026-01-01T00:00:01Z' })} attempts={[]} />,
    );
    screen.getByText('This attempt has no code.');
  });

  it('marks the failing line', async () => {
    render(<CodeViewer attempt={state({ error_line: 1, error: 'No' })} attempts={[]} />);
    expect((await screen.findByTestId('editor')).textContent).toContain('[line 1 failed]');
  });

  it('shows plain code where the editor cannot be loaded', () => {
    editor.loads = false;
    const quiet = vi.spyOn(console, 'error').mockReturnValue();
    render(<CodeViewer attempt={state({ code: 'a = 1\nb = 2' })} attempts={[]} />);
    expect(within(screen.getByLabelText('Code, plain')).getAllByRole('listitem')).toHaveLength(2);
    quiet.mockRestore();
  });

  it('compares an earlier attempt with a later one', async () => {
    const attempts = [state({ code: 'one' }), state({ attempt: 2, code: 'two' })];
    render(<CodeViewer attempt={attempts[1] as AttemptState} attempts={attempts} />);
    await userEvent.selectOptions(screen.getByLabelText('Compare with'), 'attempt 1');
    expect((await screen.findByTestId('diff')).textContent).toBe('one -> two');
    await userEvent.selectOptions(screen.getByLabelText('Compare with'), 'nothing');
    await screen.findByTestId('editor');
  });
});

describe('ExecutionLog', () => {
  it.each([
    [{ status: 'generating' }, /is shown here/],
    [{ status: 'running' }, /Nothing has been printed yet/],
    [{ status: 'failed', finished_at: '2026-01-01T00:00:01Z' }, /was not run/],
    [{ status: 'succeeded', finished_at: '2026-01-01T00:00:01Z', execution_time: 1 }, /printed nothing/],
    [
      { status: 'succeeded', finished_at: '2026-01-01T00:00:01Z', output: ' \n\n', without_output: true },
      /ran without output: it printed nothing and left no file/,
    ],
  ] as const)('is empty for a reason: %o', (given, reason) => {
    render(<ExecutionLog attempt={state(given)} />);
    screen.getByText(reason);
  });

  it('shows output as text, in colour', () => {
    render(<ExecutionLog attempt={state({ output: '\u001b[31m<b>red</b>\u001b[0m\nplain\n' })} />);
    expect(screen.getByText('<b>red</b>').className).toBe('ansi-1');
    screen.getByText('2 lines');
  });

  it('finds, and goes round', async () => {
    render(<ExecutionLog attempt={state({ output: 'one\ntwo\none\n' })} />);
    const search = screen.getByLabelText('Search in the output');
    await userEvent.type(search, 'one');
    await screen.findByText('1 of 2');
    await userEvent.type(search, '{Enter}');
    screen.getByText('2 of 2');
    await userEvent.type(search, '{Enter}');
    screen.getByText('1 of 2');
    await userEvent.type(search, '{Shift>}{Enter}{/Shift}');
    screen.getByText('2 of 2');
    await userEvent.type(search, 'x');
    await screen.findByText('not found');
    await userEvent.type(search, '{Escape}');
    expect((search as HTMLInputElement).value).toBe('');
  });

  it('copies without colours', async () => {
    const user = userEvent.setup();
    render(<ExecutionLog attempt={state({ output: '\u001b[31mred\u001b[0m' })} />);
    await user.click(screen.getByRole('button', { name: 'Copy output' }));
    expect(await navigator.clipboard.readText()).toBe('red');
    expect((await screen.findAllByText('Copied')).length).toBeGreaterThan(0);
  });
});

describe('AttemptTimeline', () => {
  it('names each attempt, what came of it and how long its phases took', () => {
    const results = [
      attempt({
        error_category: 'syntax_error',
        generated_at: '2026-01-01T00:00:02Z',
        finished_at: '2026-01-01T00:00:03Z',
      }),
      attempt({ attempt: 2, status: 'running', run_started_at: '2026-01-01T00:00:01Z' }),
    ];
    render(<AttemptTimeline execution={fromSnapshot(execution({ results }))} shown={2} />);
    const [first, second] = screen.getAllByRole('link');
    expect(first?.textContent).toMatch(/Attempt 1.*Syntax error.*Writing 2.0 s.*Checking 1.0 s/);
    expect(first?.getAttribute('href')).toBe('/executions/e1#attempt-1');
    expect(second?.textContent).toMatch(/Attempt 2.*Running the code/);
    expect(second?.getAttribute('aria-current')).toBe('page');
  });
});

describe('Failure', () => {
  it('gives a sentence, and details on demand', async () => {
    const failed = state({
      error_category: 'policy_violation',
      error: 'PolicyViolation',
      violations: [{ line: 1, rule: 'import', message: 'import of os is not allowed' }],
      traceback: 'Traceback …',
    });
    render(<Failure attempt={failed} timeout={30} />);
    screen.getByText('The policy does not allow line 1: import of os is not allowed.');
    await userEvent.click(screen.getByText('Details'));
    screen.getByText('Traceback …');
    screen.getByText('(import)');
  });
});

describe('StatusBar', () => {
  it('announces progress and shows the connection', () => {
    const results = [attempt({ status: 'running' })];
    const shown = fromSnapshot(execution({ status: 'running', results }));
    render(<StatusBar followed={{ execution: shown, connection: 'reconnecting', error: null }} />);
    expect(screen.getByRole('status').textContent).toBe('Attempt 1 of 5: running the code.');
    screen.getByText('Reconnecting');
  });

  it('is not there without an execution', () => {
    const { container } = render(
      <StatusBar followed={{ execution: null, connection: 'connecting', error: null }} />,
    );
    expect(container.textContent).toBe('');
  });
});

describe('HistoryList', () => {
  const history = (given: Partial<HistoryState> = {}): HistoryState => ({
    executions: [
      summary({ execution_id: 'a', prompt: 'Draw a circle', status: 'succeeded', attempts: 2 }),
      summary({ execution_id: 'b', prompt: 'Draw a square', status: 'failed', attempts: 1 }),
      summary({ execution_id: 'c', prompt: 'Sort numbers', status: 'running' }),
    ],
    more: false,
    loading: false,
    error: null,
    loadMore: () => {},
    changed: () => {},
    ...given,
  });
  const links = () => screen.queryAllByRole('link').map((link) => link.textContent);

  it('searches and filters', async () => {
    render(<HistoryList history={history()} shown="b" />);
    expect(links()).toHaveLength(3);
    expect(screen.getByRole('link', { current: 'page' }).textContent).toContain('Draw a square');
    await userEvent.type(screen.getByLabelText('Search in the history'), 'DRAW');
    expect(links()).toHaveLength(2);
    await userEvent.selectOptions(screen.getByLabelText('Status'), 'Succeeded');
    expect(links()).toEqual([expect.stringMatching(/Draw a circle.*Succeeded · 2 attempts/)]);
    await userEvent.selectOptions(screen.getByLabelText('Status'), 'Going on');
    screen.getByText('Nothing in the history is like this.');
  });

  it('says so when there is none, or it cannot be read', () => {
    const { rerender } = render(<HistoryList history={history({ executions: [] })} shown={null} />);
    screen.getByText('What you run is kept here.');
    rerender(
      <HistoryList history={history({ executions: [], error: new Error('Not reached.') })} shown={null} />,
    );
    screen.getByText('Not reached.');
  });

  it('loads older ones', async () => {
    const loadMore = vi.fn();
    render(<HistoryList history={history({ more: true, loadMore })} shown={null} />);
    await userEvent.click(screen.getByRole('button', { name: 'Show older' }));
    expect(loadMore).toHaveBeenCalledOnce();
  });
});

describe('ArtifactGallery', () => {
  const client = (artifact: Client['artifact']) => ({ artifact }) as unknown as Client;
  const gallery = (reads: Client['artifact'], name: string, content_type: string, size = 10) =>
    render(
      <ArtifactGallery
        client={client(reads)}
        execution="e1"
        attempt={1}
        artifacts={[{ name, size, content_type }]}
      />,
    );

  it('shows a table as text', async () => {
    // jsdom's Blob cannot be read.
    const content = Object.assign(new Blob(), { text: async () => 'a,b\n<i>1</i>,2' });
    gallery(async () => content, 'data.csv', 'text/csv');
    expect((await screen.findAllByRole('cell')).map((cell) => cell.textContent)).toEqual(['<i>1</i>', '2']);
  });

  it('shows no picture of a type that can hold scripts', () => {
    const reads = vi.fn();
    gallery(reads, 'drawing.svg', 'image/svg+xml');
    expect(reads).not.toHaveBeenCalled();
    expect(screen.queryByRole('img')).toBeNull();
    screen.getByRole('button', { name: 'Download drawing.svg' });
  });

  it('says when a picture or a download fails', async () => {
    gallery(async () => Promise.reject(new Error('It is gone.')), 'chart.png', 'image/png');
    await screen.findByText('It is gone.');
    await userEvent.click(screen.getByRole('button', { name: 'Download chart.png' }));
    await screen.findByText('Failed. Try again');
  });

  it('names what was left out, with the reason', () => {
    const skipped = [
      { name: 'huge.bin', reason: 'larger than 10 MB' },
      { name: 'line\\nbreak', reason: 'its name has characters that are not allowed' },
    ];
    const artifacts = [{ name: 'a.txt', size: 1, content_type: 'text/plain' }];
    const gallery = (artifacts: Artifact[]) => (
      <ArtifactGallery
        client={client(vi.fn())}
        execution="e1"
        attempt={1}
        artifacts={artifacts}
        skipped={skipped}
      />
    );
    const { rerender } = render(gallery(artifacts));
    screen.getByText('1 file, 2 left out');
    const list = within(screen.getByRole('region', { name: 'Left out' }));
    expect(list.getAllByRole('listitem').map((item) => item.textContent)).toEqual([
      'Left out: huge.bin, larger than 10 MB',
      'Left out: line\\nbreak, its name has characters that are not allowed',
    ]);
    rerender(gallery([]));
    screen.getByText('2 left out');
  });

  it('does not load a table that is too large', () => {
    const reads = vi.fn();
    gallery(reads, 'data.csv', 'text/csv', 50_000_000);
    expect(reads).not.toHaveBeenCalled();
    screen.getByText('50.0 MB');
  });
});

describe('SignIn', () => {
  it('tries the key and says when it is not accepted', async () => {
    const onSignIn = vi
      .fn()
      .mockRejectedValueOnce(new Error('Not a valid key.'))
      .mockResolvedValueOnce(undefined);
    render(<SignIn auth="api-key" reason={null} onSignIn={onSignIn} />);
    await userEvent.type(screen.getByLabelText('API key'), ' secret {Enter}');
    await screen.findByText('Not a valid key.');
    await userEvent.click(screen.getByLabelText('Remember it on this device'));
    await userEvent.click(screen.getByRole('button', { name: 'Sign in' }));
    expect(onSignIn.mock.calls).toEqual([
      ['secret', false],
      ['secret', true],
    ]);
  });

  it('asks for what the environment wants, and says why', () => {
    render(<SignIn auth="jwt" reason="It is over." onSignIn={async () => {}} />);
    screen.getByLabelText('Access token');
    screen.getByText('It is over.');
  });
});

describe('Header', () => {
  it('changes the theme and keeps it', async () => {
    render(<Header health={null} isolation={null} away={false} />);
    await userEvent.click(screen.getByRole('button', { name: /^Theme: as the device/ }));
    expect(document.documentElement.dataset.theme).toBe('light');
    await userEvent.click(screen.getByRole('button', { name: /^Theme: light/ }));
    expect(localStorage.getItem('theme')).toBe('dark');
    await userEvent.click(screen.getByRole('button', { name: /^Theme: dark/ }));
    expect(document.documentElement.dataset.theme).toBeUndefined();
  });

  it('tells model, isolation and packages', () => {
    const health: Health = {
      status: 'healthy',
      service: 'Recursive AI Executor',
      problem: null,
      model: { name: 'some-model', demo: false, problem: null },
      isolation: null,
      sandbox: { python: '3.13.9', packages: [{ name: 'numpy', version: '2.4.6' }] },
      defaults: { max_retries: 5, timeout: 30, policy: 'strict' },
    };
    render(<Header health={health} isolation={{ seccomp: 'on' }} away={false} />);
    screen.getByText('some-model');
    screen.getByText('seccomp');
    screen.getByText(/^Python 3\.13\.9 with these packages:$/);
    expect(screen.getByText('numpy').parentElement?.textContent).toBe('numpy 2.4.6');
  });
});
