/**
 * What others wrote (a program, a model, a server), made fit for a terminal.
 *
 * A terminal obeys what it is sent: it moves the cursor over what stands there, sets the clipboard, renames the window.
 * So of all that is no text only line ends, tabs and colours (SGR) have an effect; the rest is shown as a sign. And
 * what is not ours never looks as if it were: our own lines begin at the left edge with one of MARKS.
 */
import { columnsOf } from '../web/src/text/log-text.ts';

/** What begins a line of ours, and what looks like it. */
const MARKS = /^[✓✔✗✘▸▶►]/u;
/** Stands before lines that are not ours: on a terminal before all of them, elsewhere before those that begin like ours. */
const BAR = '│ ';
const RESET = '\x1b[0m';
const TAB = 8;
/** Characters of colours in force that are kept for the next line. */
const LONGEST_LOOK = 300;

const SGR = String.raw`\x1b\[([0-9;:]{0,60})m`;
/** What is neither text nor a line end or tab: controls, and what turns or hides text. Arabic has signs among them that show. */
const UNSAFE = String.raw`(?![\n\r\t\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]`;
const TOKEN = new RegExp(`${SGR}|\\r\\n|[\\n\\r\\t]|${UNSAFE}|(?:(?!${UNSAFE})[^\\n\\r\\t])+`, 'gu');
const EACH_UNSAFE = new RegExp(UNSAFE, 'gu');
/** The end of a piece that only the next one tells what to make of. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins so
const UNDECIDED = /(?:\r|\x1b(?:\[[0-9;:]{0,60})?|[\ud800-\udbff])$/;

/** A sign for a character that a terminal would obey. */
function sign(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
}

/** A text of others within a line of ours. */
export const inLine = (text: string) => text.trim().replace(/\s+/gu, ' ').replace(EACH_UNSAFE, sign);

/** Lines of ours that hold what others wrote: signs for all that is no text or line end. */
export const inLines = (text: string) => text.replace(EACH_UNSAFE, sign);

/** The same JSON, without characters that JSON allows as they are and terminals obey. */
export const inJson = (json: string) =>
  json.replace(/[\x7f-\x9f\p{Cf}\u2028\u2029]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
      .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
      .join(''),
  );

/** A line of ours, broken before the terminal breaks it, so that no part of it begins at the left edge. */
export function fold(line: string, columns: number): string {
  let folded = '';
  let column = 0;
  const add = (text: string) => {
    folded += text;
    column += columnsOf(text);
  };
  const breakLine = () => {
    folded = `${folded.trimEnd()}\n`;
    column = 0;
    add('  ');
  };
  for (const word of line.split(/(?<= )/)) {
    const isLong = columnsOf(word.trimEnd()) > columns - 2;
    if (!isLong && column + columnsOf(word.trimEnd()) > columns) breakLine();
    // One that no line has room for is broken where the line ends.
    for (const part of isLong ? word : [word]) {
      if (isLong && column + columnsOf(part) > columns) breakLine();
      add(part);
    }
  }
  return folded.trimEnd();
}

export interface PrintableOptions {
  /** Columns of the terminal; undefined: it is a file or a pipe. */
  columns?: number | undefined;
  /** What to do with colours: keep them, leave them out, or show them as what they are made of. */
  colours: 'keep' | 'drop' | 'show';
  /** An SGR sequence for all of it. */
  look?: string;
}

/** Text of others that comes piece by piece, on lines of its own. After each piece the terminal's colours are its own. */
export class Printable {
  readonly #colours: PrintableOptions['colours'];
  readonly #isTerminal: boolean;
  readonly #columns: number;
  #undecided = '';
  #column = 0;
  #isLineBegun = false;
  /** SGR sequences in force. */
  #look: string;
  #isLookSet = false;
  #made = '';

  constructor({ columns, colours, look = '' }: PrintableOptions) {
    this.#colours = colours;
    this.#isTerminal = columns !== undefined;
    this.#columns = Math.max((columns ?? Number.POSITIVE_INFINITY) - BAR.length, TAB);
    this.#look = look;
  }

  /** Whether the last line is not at its end. */
  get isLineBegun(): boolean {
    return this.#isLineBegun;
  }

  /** What to write for the next piece. */
  push(piece: string): string {
    const text = this.#undecided + piece;
    this.#undecided = UNDECIDED.exec(text)?.[0] ?? '';
    return this.#make(text.slice(0, text.length - this.#undecided.length));
  }

  /** What is left to be written at the end; ends the line that was begun. */
  end(): string {
    const rest = this.#make(this.#undecided);
    this.#undecided = '';
    return this.#isLineBegun ? `${rest}${this.#newLine()}` : rest;
  }

  #make(text: string): string {
    this.#made = '';
    for (const [token, sgr] of text.matchAll(TOKEN)) {
      if (sgr !== undefined) this.#colour(token, sgr);
      else if (token === '\n' || token === '\r\n') this.#endLine();
      else if (token === '\r') this.#beginAnew();
      else if (token === '\t') this.#tab();
      else this.#write(token.replace(EACH_UNSAFE, sign));
    }
    this.#unsetLook();
    return this.#made;
  }

  #write(text: string): void {
    let fitting = '';
    for (const character of text) {
      const width = this.#isTerminal ? columnsOf(character) : 0;
      if (this.#column + width > this.#columns) {
        this.#append(fitting);
        fitting = '';
        this.#endLine();
      }
      fitting += character;
      this.#column += width;
    }
    this.#append(fitting);
  }

  #append(text: string): void {
    if (!text) return;
    if (!this.#isLineBegun && (this.#isTerminal || MARKS.test(text))) this.#made += BAR;
    this.#isLineBegun = true;
    if (this.#look && !this.#isLookSet) {
      this.#made += this.#look;
      this.#isLookSet = true;
    }
    this.#made += text;
  }

  #tab(): void {
    this.#write(this.#isTerminal ? ' '.repeat(TAB - (this.#column % TAB)) : '\t');
  }

  #endLine(): void {
    if (!this.#isLineBegun && this.#isTerminal) this.#made += BAR.trimEnd();
    this.#unsetLook();
    this.#made += this.#newLine();
  }

  #newLine(): string {
    this.#isLineBegun = false;
    this.#column = 0;
    return '\n';
  }

  /** A carriage return, by which progress bars are written over: where nothing can be, each state has a line. */
  #beginAnew(): void {
    if (!this.#isLineBegun) return;
    if (this.#isTerminal) {
      this.#unsetLook();
      this.#made += '\r\x1b[K';
      this.#isLineBegun = false;
      this.#column = 0;
    } else this.#endLine();
  }

  #colour(sequence: string, parameters: string): void {
    if (this.#colours === 'show') this.#write(sequence.replace(EACH_UNSAFE, sign));
    if (this.#colours !== 'keep') return;
    this.#unsetLook();
    const isReset = /^0*(?:;|$)/.test(parameters);
    if (/^0*$/.test(parameters)) this.#look = '';
    else if (isReset || this.#look.length > LONGEST_LOOK) this.#look = sequence;
    else this.#look += sequence;
  }

  #unsetLook(): void {
    if (this.#isLookSet) this.#made += RESET;
    this.#isLookSet = false;
  }
}
