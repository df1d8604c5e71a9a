// @vitest-environment jsdom
/** What the viewers of code and output tell, and what they do not do twice. */
import { cleanup, render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CodeViewer } from '../../web/src/components/CodeViewer.tsx';
import { ExecutionLog } from '../../web/src/components/ExecutionLog.tsx';
import type { AttemptState } from '../../web/src/execution/reduce.ts';
import { LogSearch, search } from '../../web/src/text/log-search.ts';
import { LogText } from '../../web/src/text/log-text.ts';
import { attempt } from './support/executions.ts';

vi.mock('../../web/src/editor/CodeEditor.tsx', () => ({ default: () => null }));
vi.mock('../../web/src/editor/CodeDiff.tsx', () => ({ default: () => null }));

afterEach(cleanup);

const state = (given: Parameters<typeof attempt>[0] = {}): AttemptState => ({
  ...attempt(given),
  run: null,
  chunks: [],
});

describe('CodeViewer', () => {
  it.each([1, 2])('says which side is which, when attempt %i is shown', async (shown) => {
    const attempts = [state(), state({ attempt: 2 })];
    render(<CodeViewer attempt={attempts[shown - 1] as AttemptState} attempts={attempts} />);
    screen.getByText(`attempt ${shown}, 1 line`);
    await userEvent.selectOptions(screen.getByLabelText('Compare with'), `attempt ${3 - shown}`);
    screen.getByText('attempt 1 → attempt 2');
  });
});

describe('ExecutionLog', () => {
  it('stays at the match that was chosen while more are printed', async () => {
    const { rerender } = render(<ExecutionLog attempt={state({ output: 'one\none\n' })} />);
    const input = screen.getByLabelText('Search in the output');
    await userEvent.type(input, 'one');
    await screen.findByText('1 of 2');
    await userEvent.type(input, '{Enter}{Enter}');
    screen.getByText('1 of 2');
    rerender(<ExecutionLog attempt={state({ output: 'one\none\none\n' })} />);
    await screen.findByText('1 of 3');
    await userEvent.type(input, '{Shift>}{Enter}{/Shift}');
    screen.getByText('3 of 3');
    rerender(<ExecutionLog attempt={state({ output: 'one\none\none\none\n' })} />);
    await screen.findByText('3 of 4');
  });

  it('keeps dim text readable by its colour, not by opacity', () => {
    render(<ExecutionLog attempt={state({ output: '\u001b[2;31mpale' })} />);
    expect(screen.getByText('pale').className).toBe('ansi-1 ansi-dim');
  });
});

describe('LogSearch', () => {
  const grow = (pieces: string[], check: (log: LogText) => void) => {
    const log = new LogText();
    let text = '';
    for (const piece of pieces) {
      text += piece;
      log.update(text);
      check(log);
    }
  };

  it('finds what a search from the beginning finds, however the log grows', () => {
    const searches = new LogSearch();
    const pieces = [
      'no',
      'ne\n',
      'one one',
      '\rnone',
      ' on',
      'e\n',
      '\n\none',
      '\r\n',
      'o'.repeat(5_000),
      'ne',
    ];
    grow(pieces, (log) => expect(searches.update(log, 'ONE')).toEqual(search(log, 'ONE')));
  });

  it('begins anew with another query or another text', () => {
    const searches = new LogSearch();
    const log = new LogText();
    log.update('one\ntwo\n');
    expect(searches.update(log, 'one')).toHaveLength(1);
    expect(searches.update(log, 'two')).toMatchObject([{ line: 1 }]);
    log.update('two\none\n');
    expect(searches.update(log, 'two')).toMatchObject([{ line: 0 }]);
    expect(searches.update(log, '')).toEqual([]);
  });

  it('reads no line again that stays as it is', () => {
    const searches = new LogSearch();
    const pieces = Array.from({ length: 100 }, (_, line) => `line ${line}\n`);
    const read = vi.spyOn(LogText.prototype, 'plain');
    grow(pieces, (log) => searches.update(log, 'line'));
    expect(read.mock.calls.length).toBeLessThan(300);
    read.mockRestore();
  });
});
