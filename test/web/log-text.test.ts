import { describe, expect, it } from 'vitest';
import { LogText, withoutEscapes } from '../../web/src/text/log-text.ts';

const ESC = '\u001b';

function read(...texts: string[]) {
  const log = new LogText();
  let whole = '';
  for (const text of texts) {
    whole += text;
    log.update(whole);
  }
  return log;
}
const lines = (log: LogText) => Array.from({ length: log.lineCount }, (_, line) => log.plain(line));

describe('LogText', () => {
  it('splits lines', () => {
    expect(lines(read('a\nb\n\nc'))).toEqual(['a', 'b', '', 'c']);
    expect(lines(read('a\n'))).toEqual(['a']);
    expect(lines(read(''))).toEqual([]);
    expect(lines(read('a\r\nb\r\n'))).toEqual(['a', 'b']);
  });

  it('is the same however the text came', () => {
    const text = `one ${ESC}[31mred\ntwo${ESC}[0m\r\n50%\r100%\n\tx\nend`;
    const pieces = read(...text);
    expect(lines(pieces)).toEqual(lines(read(text)));
    expect(pieces.spans(1)).toEqual(read(text).spans(1));
  });

  it('tells when the text is another one', () => {
    const log = new LogText();
    log.update('a\nb');
    const { generation } = log;
    log.update('a\nbc\nd');
    expect(log.generation).toBe(generation);
    log.update('other');
    expect(log.generation).not.toBe(generation);
    expect(lines(log)).toEqual(['other']);
  });

  it('begins a line anew at a carriage return', () => {
    expect(lines(read('10%\r20%\r', '30%'))).toEqual(['30%']);
    expect(lines(read('10%\r'))).toEqual(['10%']);
  });

  it('keeps colours over lines until they end', () => {
    const log = read(`${ESC}[1;31mA\nB${ESC}[0m C`);
    expect(log.spans(0)).toMatchObject([{ text: 'A', look: { color: 1, bold: true } }]);
    expect(log.spans(1)).toMatchObject([
      { text: 'B', look: { color: 1, bold: true } },
      { text: ' C', look: { color: null, bold: false } },
    ]);
  });

  it.each([
    ['94', { color: 12 }],
    ['42', { background: 2 }],
    ['38;5;9', { color: 9 }],
    ['38;5;196', { color: 9 }],
    ['38;2;250;250;250', { color: 15 }],
    ['38:2:0:0:120', { color: 4 }],
    ['48;2;0;200;0;1', { background: 10, bold: true }],
    ['4;3;2', { underline: true, italic: true, dim: true }],
  ])('understands ESC[%sm', (codes, look) => {
    expect(read(`${ESC}[${codes}mx`).spans(0)[0]?.look).toMatchObject(look);
  });

  it.each([
    ['cursor and screen', `${ESC}[2J${ESC}[10;10H${ESC}[?1049hx`],
    ['title', `${ESC}]0;owned\u0007x`],
    ['link', `${ESC}]8;;https://evil.example${ESC}\\x${ESC}]8;;${ESC}\\`],
    ['device control', `${ESC}Pq#0;2;0;0;0${ESC}\\x`],
    ['charset', `${ESC}(0x`],
    ['unfinished', `x${ESC}[31`],
  ])('drops other sequences: %s', (_, text) => {
    expect(lines(read(text))).toEqual(['x']);
    expect(withoutEscapes(text)).toBe('x');
  });

  it('shows control and direction characters instead of obeying them', () => {
    expect(lines(read('a\u0000b\u0007c\u007f'))).toEqual(['a\u2400b\u2407c\u2421']);
    expect(lines(read('user\u202enimda'))).toEqual(['user\ufffdnimda']);
  });

  it('expands tabs', () => {
    expect(lines(read('a\tb'))).toEqual(['a       b']);
    expect(read('a\tb').width(0)).toBe(9);
  });

  it('knows wide characters', () => {
    expect(read('日本').width(0)).toBe(4);
    expect(read('e\u0301').width(0)).toBe(1);
  });

  it('breaks a line that is too long', () => {
    const log = read('x'.repeat(10_000_000));
    expect(log.lineCount).toBe(2_500);
    expect(log.width(0)).toBe(4_000);
  });

  it.each([
    ['escapes', `${ESC}[`.repeat(500_000)],
    ['unfinished titles', `${ESC}]0;`.repeat(300_000)],
    ['colour changes', `${ESC}[31mx${ESC}[32my`.repeat(100_000)],
    ['carriage returns', '\r'.repeat(1_000_000)],
    ['one parameter', `${ESC}[${'1;'.repeat(500_000)}m`],
    ['combining marks', `z${'\u0351'.repeat(1_000_000)}`],
  ])('is not held up by a bomb of %s', { timeout: 10_000 }, (_, text) => {
    const log = read(text);
    const shown = Array.from({ length: Math.min(log.lineCount, 100) }, (_, line) => log.plain(line));
    expect(shown.every((line) => line.length <= 4_000)).toBe(true);
  });
});
