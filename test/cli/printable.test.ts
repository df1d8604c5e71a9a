/** What others wrote, on a terminal and in a pipe: nothing of it commands the terminal or passes for a line of ours. */
import { describe, expect, test } from 'vitest';
import { fold, inJson, inLine, Printable, type PrintableOptions } from '../../local/printable.ts';
import { random } from '../support/random.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins so
const LOOKS = /\x1b\[[0-9;:]*m/g;

const pipe: PrintableOptions = { colours: 'keep' };
const terminal: PrintableOptions = { columns: 20, colours: 'keep' };

function print(options: PrintableOptions, ...pieces: string[]): string {
  const printable = new Printable(options);
  return pieces.map((piece) => printable.push(piece)).join('') + printable.end();
}

describe('in a pipe', () => {
  test.each([
    ['text and line ends as they are', 'a\tb\r\n\n  ✓ é 漢 😀\nlast', 'a\tb\n\n  ✓ é 漢 😀\nlast\n'],
    ['a title', '\x1b]0;pwned\x07x', '␛]0;pwned␇x\n'],
    ['a title that ends by ST', '\x1b]2;pwned\x1b\\x', '␛]2;pwned␛\\x\n'],
    ['a clear screen', 'a\x1b[2J\x1b[Hb', 'a␛[2J␛[Hb\n'],
    ['the clipboard', '\x1b]52;c;cm0gLXJm\x07', '␛]52;c;cm0gLXJm␇\n'],
    ['a link', '\x1b]8;;http://x\x1b\\text', '␛]8;;http://x␛\\text\n'],
    ['DCS, APC, PM, SOS', '\x1bPa\x1b_b\x1b^c\x1bXd', '␛Pa␛_b␛^c␛Xd\n'],
    ['8-bit controls', '\x9b2J\x9d0;x\x9c\x85', '<U+009B>2J<U+009D>0;x<U+009C><U+0085>\n'],
    ['a reset and a bare escape', '\x1bc\x1b', '␛c␛\n'],
    [
      'a sequence that looks like a colour',
      '\x1b[?31m\x1b[31;mX\x1b[31 m',
      '␛[?31m\x1b[31;mX␛[31 m\x1b[0m\n',
    ],
    ['backspaces, bells, NUL and DEL', 'no\b\bok\x07\0\x7f', 'no␈␈ok␇␀␡\n'],
    ['vertical tabs and form feeds', 'a\vb\fc', 'a␋b␌c\n'],
    ['turned text', 'a\u202eb\u2066c', 'a<U+202E>b<U+2066>c\n'],
    ['text without width', 'a\u200bb\ufeff', 'a<U+200B>b<U+FEFF>\n'],
    ['separators', 'a\u2028b', 'a<U+2028>b\n'],
    ['half a character', 'a\ud800b', 'a<U+D800>b\n'],
    ['each state of a progress bar', ' 10%\r 20%\r\n', ' 10%\n 20%\n'],
    ['a line that begins like ours', '✓ succeeded in 1 ms\n▸ x', '│ ✓ succeeded in 1 ms\n│ ▸ x\n'],
    ['one that is written over', 'failed\r✓ succeeded', 'failed\n│ ✓ succeeded\n'],
    ['one behind a colour', '\x1b[32m✓ succeeded', '│ \x1b[32m✓ succeeded\x1b[0m\n'],
    ['colours over several lines', '\x1b[1;31ma\nb\x1b[0mc', '\x1b[1;31ma\x1b[0m\n\x1b[1;31mb\x1b[0mc\n'],
    ['nothing', '', ''],
  ])('%s', (_, text, printed) => {
    expect(print(pipe, text)).toBe(printed);
    const units = Array.from({ length: text.length }, (_, index) => text[index] ?? '');
    const withoutLooks = (shown: string) => shown.replace(LOOKS, '');
    expect(withoutLooks(print(pipe, ...units))).toBe(withoutLooks(printed));
  });

  test('colours can be left out, or shown as what they are', () => {
    expect(print({ colours: 'drop' }, '\x1b[31mred\x1b[0m')).toBe('red\n');
    expect(print({ colours: 'show' }, '\x1b[31mred')).toBe('␛[31mred\n');
  });

  test('after each piece the colours are those of the terminal', () => {
    const printable = new Printable(pipe);
    expect(printable.push('\x1b[31mred')).toBe('\x1b[31mred\x1b[0m');
    expect(printable.push(' still\x1b[')).toBe('\x1b[31m still\x1b[0m');
    expect(printable.push('0m over')).toBe(' over');
  });
});

describe('on a terminal', () => {
  test.each([
    ['each line has its bar', 'a\n\nb', '│ a\n│\n│ b\n'],
    ['a long line does not reach the edge', `${'x'.repeat(18)}✓ yes`, `│ ${'x'.repeat(18)}\n│ ✓ yes\n`],
    ['wide characters take two columns', '漢'.repeat(10), `│ ${'漢'.repeat(9)}\n│ 漢\n`],
    ['tabs are columns', 'a\tb', '│ a       b\n'],
    ['a progress bar is written over', '10%\r20%\n', '│ 10%\r\x1b[K│ 20%\n'],
    ['the bar has no colour', '\x1b[31ma\nb', '│ \x1b[31ma\x1b[0m\n│ \x1b[31mb\x1b[0m\n'],
  ])('%s', (_, text, printed) => {
    expect(print(terminal, text)).toBe(printed);
  });
});

const PARTS = [
  '\x1b',
  '\x1b[',
  '31',
  ';',
  'm',
  '\x1b[0m',
  '\x1b]0;',
  '\x07',
  '\x1b\\',
  '\r',
  '\n',
  '\t',
  '\x9b',
  '2J',
];
PARTS.push('✓ ', '▸ ', '\u202e', '\u200d', '\ud83d', '\ude00', '漢', ' ', 'text', '\x1b[38;5;0m', '\x1b[8');

test('whatever the bytes and however they are split: only colours, signs and our own bar', () => {
  for (let seed = 0; seed < 400; seed++) {
    const draw = random(seed);
    const next = (below: number) => Math.floor(draw() * below);
    const pieces = Array.from({ length: next(20) }, () =>
      next(2)
        ? Array.from({ length: next(8) }, () => PARTS[next(PARTS.length)]).join('')
        : Buffer.from(Array.from({ length: next(40) }, () => next(256))).toString(
            next(2) ? 'utf8' : 'latin1',
          ),
    );
    const columns = 20 + next(40);
    for (const options of [pipe, { columns, colours: 'keep' }, { columns, colours: 'drop' }] as const) {
      const printed = print(options, ...pieces);
      const where = `seed ${seed}, ${JSON.stringify(pieces)}`;
      // Ours are the returns of a progress bar.
      const text = printed.replace(LOOKS, '').replaceAll('\r\x1b[K', '\n');
      expect(text, where).not.toMatch(
        /(?![\n\t\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2])[\p{Cc}\p{Cf}\p{Cs}]/u,
      );
      if (options.colours === 'drop') expect(printed.match(LOOKS), where).toBeNull();
      for (const line of text.split('\n')) {
        expect(line, where).not.toMatch(/^[✓▸]/);
        if ('columns' in options && line) expect(line, where).toMatch(/^│/);
      }
      // Nothing is left in force for what is printed next.
      expect(printed.match(LOOKS)?.at(-1) ?? '\x1b[0m', where).toBe('\x1b[0m');
    }
  }
});

test('in a line of ours there are no line ends, colours or commands', () => {
  expect(inLine('a.txt\n✓ succeeded\r\x1b[2J\u202e')).toBe('a.txt ✓ succeeded ␛[2J<U+202E>');
});

test('a line of ours is broken between words, or in one that is too long', () => {
  expect(fold('✗ a long error', 10)).toBe('✗ a long\n  error');
  expect(fold('✗ 漢漢漢漢 x', 8)).toBe('✗ 漢漢漢\n  漢 x');
  expect(fold('▸ abcdefghij klm', 8)).toBe('▸ abcdef\n  ghij\n  klm');
  expect(fold('exactly ten', 11)).toBe('exactly ten');
  for (const line of fold(`${'word '.repeat(30)}${'x'.repeat(50)}✓ end`, 20)
    .split('\n')
    .slice(1)) {
    expect(line).toMatch(/^ {2}.{1,18}$/);
  }
});

test('JSON stays the same JSON', () => {
  const value = { text: '\x00\x1b[2J\x7f\x9b2J\u202e\u2028\u{e0001}"é漢😀', list: [1, null] };
  const printed = inJson(JSON.stringify(value, null, 2));
  expect(JSON.parse(printed)).toEqual(value);
  expect(printed).not.toMatch(/[^\n\P{C}]/u);
  expect(printed).toContain('é漢😀');
});
