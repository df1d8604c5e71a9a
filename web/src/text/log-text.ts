/**
 * A program's output, split into lines for a virtual list. Built for output that is long, grows, and is hostile:
 *
 * - Adding text costs what the added text costs; a line is parsed when it is shown.
 * - A line ends at a newline or after MAX_LINE characters, so no line is expensive.
 * - A carriage return begins the line anew, as progress bars expect.
 * - Of the escape sequences only colours and weights (SGR) have an effect; all others are dropped. A colour becomes
 *   the nearest one of the page's palette, so that everything is readable in both themes.
 * - Control and direction characters are shown as signs, not obeyed.
 */

/** What a run of characters looks like. Colours are numbers of the 16-colour palette. */
export interface Look {
  color: number | null;
  background: number | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

export interface Span {
  text: string;
  look: Look;
}

/** Characters, with escape sequences, after which a line is broken. */
const MAX_LINE = 4_000;
const TAB = 8;

const PLAIN: Look = {
  color: null,
  background: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
};

const ESCAPE = new RegExp(
  [
    // CSI: parameters and what to do; without the latter it is a broken one
    String.raw`\x1b\[([0-?]*)[ -/]*([@-~]?)`,
    // titles and links
    String.raw`\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)?`,
    // other strings for the terminal
    String.raw`\x1b[PX^_][^\x1b\n]*(?:\x1b\\)?`,
    // short sequences
    String.raw`\x1b[ -/]*[0-~]?`,
  ].join('|'),
  'g',
);
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const SIMPLE = /^[\x20-\x7e]*$/;
/** East Asian wide characters and emoji take two columns; combining marks none. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Extended_Pictographic}/gu;
const MARKS = /\p{Mn}|\u200d|\ufe0f/gu;

/** Without escape sequences: what a reader would call the text of the output. */
export const withoutEscapes = (text: string) => text.replace(ESCAPE, '');

/** Columns that a visible text takes. */
export function columnsOf(text: string): number {
  if (SIMPLE.test(text)) return text.length;
  return Array.from(text).length + (text.match(WIDE)?.length ?? 0) - (text.match(MARKS)?.length ?? 0);
}

interface Line {
  /** Where it is in the text. */
  start: number;
  end: number;
  /** How it begins to look. */
  look: Look;
  /** Columns that it takes. */
  width: number;
}

export class LogText {
  /** Changes when the text became another one. Within a generation all lines but the last stay as they are. */
  generation = 0;
  private text = '';
  private lines: Line[] = [];
  /** Where the last line begins, before a carriage return: what is added goes on from here. */
  private resume = { start: 0, look: PLAIN };

  /** A newline at the end begins no further line. */
  get lineCount(): number {
    const last = this.lines.at(-1);
    return last && last.width === 0 && this.text.endsWith('\n') ? this.lines.length - 1 : this.lines.length;
  }

  /** Columns that a line takes. */
  width(line: number): number {
    return this.lines[line]?.width ?? 0;
  }

  /** Takes the whole text as it is now. */
  update(text: string): void {
    if (text === this.text) return;
    if (this.text !== '' && text.startsWith(this.text)) {
      this.lines.pop();
    } else {
      this.generation++;
      this.lines = [];
      this.resume = { start: 0, look: PLAIN };
    }
    this.text = text;
    if (text !== '') this.scan();
  }

  /** The visible text of a line. */
  plain(line: number): string {
    return this.spans(line)
      .map((span) => span.text)
      .join('');
  }

  /** A line as it is shown. */
  spans(line: number): Span[] {
    const found = this.lines[line];
    if (!found) return [];
    const source = this.text.slice(found.start, found.end);
    const spans: Span[] = [];
    let { look } = found;
    let column = 0;
    let from = 0;
    const take = (to: number) => {
      const text = show(source.slice(from, to), column);
      if (text === '') return;
      column += columnsOf(text);
      spans.push({ text, look });
    };
    for (const match of source.matchAll(ESCAPE)) {
      take(match.index);
      look = lookAfter(look, match);
      from = match.index + match[0].length;
    }
    take(source.length);
    return spans;
  }

  private scan(): void {
    const { text } = this;
    let { start, look } = this.resume;
    let whole = -1;
    for (;;) {
      if (whole < start) {
        const newline = text.indexOf('\n', start);
        whole = newline < 0 ? text.length : newline;
      }
      const end = Math.min(whole, start + MAX_LINE);
      const source = text.slice(start, end);
      // Carriage returns at the end have nothing after them yet, or are one half of a line end.
      const length = lengthWithoutEnd(source);
      const restart = source.slice(0, length).lastIndexOf('\r') + 1;
      const restartLook = looksThrough(look, source.slice(0, restart));
      this.lines.push({
        start: start + restart,
        end: start + length,
        look: restartLook,
        width: shownWidth(source.slice(restart, length)),
      });
      this.resume = { start, look };
      if (end === text.length) return;
      look = looksThrough(restartLook, source.slice(restart));
      start = end === whole ? end + 1 : end;
    }
  }
}

function lengthWithoutEnd(source: string): number {
  let length = source.length;
  while (length > 0 && source[length - 1] === '\r') length--;
  return length;
}

function shownWidth(source: string): number {
  return SIMPLE.test(source) ? source.length : columnsOf(show(withoutEscapes(source), 0));
}

/** Expands tabs and makes control characters visible. `column` is where the text starts. */
function show(text: string, column: number): string {
  if (SIMPLE.test(text)) return text;
  const visible = text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? '\u2421' : '\ufffd';
  });
  if (!visible.includes('\t')) return visible;
  let result = '';
  for (const [index, part] of visible.split('\t').entries()) {
    if (index > 0) result += ' '.repeat(TAB - ((column + columnsOf(result)) % TAB));
    result += part;
  }
  return result;
}

function looksThrough(look: Look, text: string): Look {
  if (!text.includes('\x1b')) return look;
  let after = look;
  for (const match of text.matchAll(ESCAPE)) after = lookAfter(after, match);
  return after;
}

function lookAfter(look: Look, [, parameters, final]: RegExpExecArray): Look {
  if (final !== 'm') return look;
  const codes = (parameters ?? '').split(/[;:]/).map(Number);
  let after = { ...look };
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index] ?? 0;
    if (code === 38 || code === 48) {
      const [color, used] = extendedColor(codes.slice(index + 1, index + 5));
      index += used;
      if (color !== null) after[code === 38 ? 'color' : 'background'] = color;
    } else {
      after = withCode(after, code);
    }
  }
  return after;
}

function withCode(look: Look, code: number): Look {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...look, bold: true };
  if (code === 2) return { ...look, dim: true };
  if (code === 3) return { ...look, italic: true };
  if (code === 4) return { ...look, underline: true };
  if (code === 22) return { ...look, bold: false, dim: false };
  if (code === 23) return { ...look, italic: false };
  if (code === 24) return { ...look, underline: false };
  if (code === 39) return { ...look, color: null };
  if (code === 49) return { ...look, background: null };
  if (code >= 30 && code <= 37) return { ...look, color: code - 30 };
  if (code >= 40 && code <= 47) return { ...look, background: code - 40 };
  if (code >= 90 && code <= 97) return { ...look, color: code - 90 + 8 };
  if (code >= 100 && code <= 107) return { ...look, background: code - 100 + 8 };
  return look;
}

/** The palette's colour of `5;n` or `2;r;g;b`, and how many codes that took. */
function extendedColor([mode, ...values]: number[]): [color: number | null, used: number] {
  if (mode === 5) return [colorOf256(values[0] ?? 0), 2];
  if (mode === 2) return [nearest(values[0] ?? 0, values[1] ?? 0, values[2] ?? 0), 4];
  return [null, 1];
}

function colorOf256(number: number): number {
  if (number < 16) return Math.max(0, number);
  if (number >= 232) {
    const gray = (number - 232) * 10 + 8;
    return nearest(gray, gray, gray);
  }
  const level = (value: number) => (value === 0 ? 0 : value * 40 + 55);
  const index = number - 16;
  return nearest(level(Math.floor(index / 36)), level(Math.floor(index / 6) % 6), level(index % 6));
}

/** The palette's colour with the same primaries, bright ones if any primary is. */
function nearest(red: number, green: number, blue: number): number {
  const strongest = Math.max(red, green, blue);
  if (strongest - Math.min(red, green, blue) < 32) {
    // grays: black, dark gray, light gray, white
    return [0, 8, 7, 15][Math.min(3, Math.floor(strongest / 64))] ?? 7;
  }
  const has = (value: number) => (value > strongest * 0.6 ? 1 : 0);
  return has(red) + has(green) * 2 + has(blue) * 4 + (strongest > 191 ? 8 : 0);
}
