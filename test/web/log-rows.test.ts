import { describe, expect, it } from 'vitest';
import { columnsBetween, LogRows } from '../../web/src/text/log-rows.ts';
import { search, withMatches } from '../../web/src/text/log-search.ts';
import { LogText } from '../../web/src/text/log-text.ts';

function rowsOf(text: string, columns: number) {
  const log = new LogText();
  const rows = new LogRows();
  log.update(text);
  rows.update(log, columns);
  const shown = Array.from({ length: rows.count }, (_, row) => {
    const { line, part } = rows.at(row);
    return columnsBetween(log.spans(line), part * columns, (part + 1) * columns)
      .map((span) => span.text)
      .join('');
  });
  return { log, rows, shown };
}

describe('LogRows', () => {
  it('wraps lines', () => {
    expect(rowsOf('abcdefgh\n\nxy', 3).shown).toEqual(['abc', 'def', 'gh', '', 'xy']);
  });

  it('loses nothing of coloured and wide text', () => {
    expect(rowsOf('a\u001b[31mbcd\u001b[0mef', 2).shown).toEqual(['ab', 'cd', 'ef']);
    expect(rowsOf('日本語日本語', 5).shown.join('')).toBe('日本語日本語');
  });

  it('follows a log that grows and a width that changes', () => {
    const { log, rows } = rowsOf('abc\nd', 2);
    expect(rows.count).toBe(3);
    log.update('abc\ndef\ng');
    rows.update(log, 2);
    expect(rows.count).toBe(5);
    rows.update(log, 10);
    expect(rows.count).toBe(3);
    expect(rows.at(2)).toEqual({ line: 2, part: 0 });
  });

  it('knows the row of a column', () => {
    const { rows } = rowsOf('abcdefgh\nxy', 3);
    expect(rows.rowOf(0, 4)).toBe(1);
    expect(rows.rowOf(1, 0)).toBe(3);
  });
});

describe('search', () => {
  it('finds text whatever its case and colour', () => {
    const { log } = rowsOf('An error\nno\nERR\u001b[1mOR and error', 80);
    expect(search(log, 'Error')).toEqual([
      { line: 0, column: 3, nth: 0 },
      { line: 2, column: 0, nth: 0 },
      { line: 2, column: 10, nth: 1 },
    ]);
  });

  it('marks matches across spans', () => {
    const { log } = rowsOf('xER\u001b[1mRy', 80);
    expect(withMatches(log.spans(0), 'err').map(({ text, match }) => [text, match])).toEqual([
      ['x', null],
      ['ER', 0],
      ['R', 0],
      ['y', null],
    ]);
  });
});
