/**
 * Finds the program in a model's reply.
 *
 * One fenced block of Python is asked for and is nearly always what comes. Else, in this order:
 * - several blocks of Python: parts that build on each other are joined, of versions the later whole one counts,
 *   quotations of lines of the program do not (`chooseProgram`);
 * - blocks that do not say what they are, if they look like Python;
 * - no block at all: the lines that look like Python, without the prose before and after them.
 * A program that was cut off is never used, even if it would run: it could end before it prints anything and
 * pass for a success.
 */
import { LIMITS } from '../execution.ts';
import { type Block, isPython, looksLikePython, ReplyReader } from './reply-reader.ts';

/** With an error, `code` is what there is of a program that was cut off. */
export type Extracted = { code: string } | { error: string; code?: string };

/** `finishReason` as the model server gives it; `error` is a sentence for people and for the model. */
export function extractCode(reply: string, finishReason: string | null): Extracted {
  const lines = reply.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  const cutOff = finishReason === 'length';
  let reader = readLines(lines, new ReplyReader());
  // Some models never end their thoughts: then the program is among them.
  if (reader.thinking && !cutOff) reader = readLines(lines, new ReplyReader({ thoughtsCount: true }));

  const blocks = programBlocks(reader.blocks);
  const whole = blocks.every((block) => block.closed) && (blocks.length > 0 || !cutOff);
  const code = tidy(
    blocks.length > 0 ? chooseProgram(blocks.map(({ lines }) => lines)) : unfencedProgram(reader.prose),
  );
  if (!whole) return { error: cutOff ? CUT_OFF : NO_END, ...(code && { code: code.slice(0, LIMITS.code) }) };
  if (code === '') return { error: describeReplyWithoutCode(reader.prose, finishReason) };
  if (code.length > LIMITS.code)
    return {
      error: `The program has ${code.length} characters, but at most ${LIMITS.code} are allowed: write a shorter one.`,
    };
  return { code };
}

const CUT_OFF =
  "The reply was cut off at the model's length limit: write a shorter program, and nothing around it.";
const NO_END =
  'The reply was cut off, its code block has no end: write a shorter program, and nothing around it.';

/** The blocks that say they are Python, or, if none does, those that say nothing and look like it. */
function programBlocks(blocks: Block[]): Block[] {
  const python = blocks.filter((block) => isPython(block) && !isBlank(block));
  if (python.length > 0) return python;
  return blocks.filter((block) => block.language === '' && block.lines.some(looksLikePython));
}

function readLines(lines: string[], reader: ReplyReader): ReplyReader {
  for (const line of lines) reader.read(line);
  reader.finish();
  return reader;
}

/** Several blocks are the parts of one program, or versions of it, or one program and quotations from it. */
function chooseProgram(blocks: string[][]): string[] {
  let program: string[] = [];
  let names = new Set<string>();
  // Nobody writes more parts than that.
  for (const block of withoutQuotations(blocks.slice(-20))) {
    const { functions, variables, bound } = namesIn(block);
    const used = block.flatMap((line) => line.match(/[A-Za-z_]\w*/g) ?? []);
    const isVersion = functions.some((name) => names.has(name));
    if (!isVersion && used.some((name) => names.has(name) && !bound.has(name))) {
      program = [...program, '', ...block];
      names = new Set([...names, ...functions, ...variables]);
    } else if (size(block) >= size(program) / (isVersion ? 2 : 1)) {
      // A new version may be shorter, but a snippet that only shows a change is no program.
      program = block;
      names = new Set([...functions, ...variables]);
    }
  }
  return program;
}

function withoutQuotations(blocks: string[][]): string[][] {
  return blocks.filter((block, index) => {
    const isQuotedFrom = (other: string[], otherIndex: number) => {
      if (size(other) < size(block) || (size(other) === size(block) && otherIndex <= index)) return false;
      const lines = new Set(other.map((line) => line.trim()));
      return block.every((line) => line.trim() === '' || lines.has(line.trim()));
    };
    return !blocks.some(isQuotedFrom);
  });
}

/** What a block defines at its top level, and all names that it binds anywhere; about, not exactly. */
function namesIn(block: string[]): { functions: string[]; variables: string[]; bound: Set<string> } {
  const functions: string[] = [];
  const variables: string[] = [];
  const bound: string[] = [];
  const words = (text = '') => text.match(/[A-Za-z_]\w*/g) ?? [];
  for (const line of block.map((line) => line.slice(0, 1_000))) {
    functions.push(...words(/^(?:async def|def|class) (\w+)/.exec(line)?.[1]));
    variables.push(...words(/^(?:import|from \S+ import) (.*)/.exec(line)?.[1]));
    variables.push(...words(/^(\w+(?:, \w+)*)(?: ?:[^=]*)? ?=(?!=)/.exec(line)?.[1]));
    for (const [, parameters, loop, name] of line.matchAll(
      /\bdef \w+\((.*)|\bfor ([\w, ]+) in\b|(\w+) ?=(?!=)/g,
    ))
      bound.push(...words(parameters), ...words(loop), ...words(name));
  }
  return { functions, variables, bound: new Set([...functions, ...variables, ...bound]) };
}

/** The lines from the first to the last that look like code; prose in between is left to Python to complain about. */
function unfencedProgram(lines: string[]): string[] {
  let first = lines.findIndex((line) => looksLikePython(line.trimStart()));
  if (first === -1) return [];
  const indent = lines[first]?.search(/\S/) ?? 0;
  while (first > 0 && lines[first - 1]?.startsWith('#', indent)) first--;
  const text = lines.slice(first).map((line) => line.slice(Math.min(indent, Math.max(0, line.search(/\S/)))));
  const last = text.findLastIndex(
    (line) => looksLikePython(line) || /^(\s+\S|[)\]}]|else:|elif .*:|except.*:|finally:|#)/.test(line),
  );
  return text.slice(0, last + 1);
}

function tidy(lines: string[]): string {
  const text = dedent(lines);
  const first = text.findIndex((line) => line.trim() !== '');
  return first === -1 ? '' : text.slice(first).join('\n').trimEnd();
}

/** Takes away the indentation that all lines have. */
function dedent(lines: string[]): string[] {
  let indent = Number.POSITIVE_INFINITY;
  for (const line of lines) if (line.trim() !== '') indent = Math.min(indent, line.search(/\S/));
  return indent === 0 || indent === Number.POSITIVE_INFINITY
    ? lines
    : lines.map((line) => line.slice(indent));
}

function describeReplyWithoutCode(prose: string[], finishReason: string | null): string {
  if (finishReason === 'content_filter') return "The model server's content filter stopped the reply.";
  const said = prose.join(' ').slice(0, 2_000).replace(/\s+/g, ' ').trim();
  if (said === '') return 'The reply holds no Python code: it is empty.';
  return `The reply holds no Python code. It says: ${said.length > 200 ? `${said.slice(0, 200)}…` : said}`;
}

const isBlank = (block: Block) => block.lines.every((line) => line.trim() === '');
const size = (lines: string[]) => lines.reduce((sum, line) => sum + line.trim().length, 0);

/**
 * Shows the code of a reply while the reply is being written. What was given out is never taken back, so where
 * a reply turns out to be unusual, `extractCode` on the whole of it may find other code.
 *
 *     const stream = new CodeStream();
 *     stream.push('Sure!\n```python\npri');  // 'pri'
 *     stream.push('nt(1)\n```\nDone');       // 'nt(1)\n'
 */
export class CodeStream {
  #reader = new ReplyReader();
  /** the line that is being written */
  #line = '';
  /** A part of that line has been given out. */
  #lineBegun = false;
  /** The reply holds code without a fence. */
  #unfenced = false;

  /** Takes the next piece of the reply; returns the code that became visible by it. */
  push(text: string): string {
    const [first = '', ...others] = text.replaceAll('\r', '').split('\n');
    let visible = this.#write(first);
    for (const piece of others) visible += this.#endLine() + this.#write(piece);
    return visible;
  }

  #write(piece: string): string {
    this.#line += piece;
    if (this.#lineBegun) return piece;
    // Blanks and marks may still become the closing fence.
    if (!this.#inShownBlock() || /^[ \t]{0,200}[`~]{0,200}[ \t]{0,200}$/.test(this.#line)) return '';
    this.#lineBegun = true;
    return this.#reader.unindent(this.#line);
  }

  #endLine(): string {
    const line = this.#line;
    const begun = this.#lineBegun;
    this.#line = '';
    this.#lineBegun = false;

    const shown = this.#inShownBlock();
    const unindented = this.#reader.unindent(line);
    this.#reader.read(line);
    if (begun) return '\n';
    // Still in the block: the line was not its closing fence.
    if (shown) return this.#inShownBlock() ? `${unindented}\n` : '';

    if (this.#reader.thinking || this.#reader.blocks.length > 0) return '';
    this.#unfenced ||= looksLikePython(line);
    return this.#unfenced ? `${line}\n` : '';
  }

  /** Blocks of Python, and a first one that does not say what it is. */
  #inShownBlock(): boolean {
    const block = this.#reader.openBlock;
    return block !== null && (isPython(block) || (block.language === '' && this.#reader.blocks.length === 1));
  }
}
