/**
 * Finds the program in a model's reply.
 *
 * One fenced block of Python is asked for and is nearly always what comes. Else, in this order:
 * - several blocks of Python: parts that build on each other are joined, of several whole programs the last one
 *   counts, quotations of lines and snippets that only show a change do not (`chooseProgram`);
 * - blocks that do not say what they are, if they look like Python;
 * - no block at all: all but the prose before and after the code. Prose in its midst is not guessed away.
 * A program that was cut off is never used, even if it would run: it could end before it prints anything and
 * pass for a success.
 */
import { LIMITS } from '../execution/execution.ts';
import { type Ending, endingOf } from './finish-reason.ts';
import { PythonText } from './python-text.ts';
import { type Block, fileNamedIn, isPython, ReplyReader } from './reply-reader.ts';
import { hasCode, type Kind, type UnfencedText } from './unfenced-text.ts';

/** With an error, `code` is what there is of a program that was cut off. */
export type Extracted = { code: string } | { error: string; code?: string };

/** `finishReason` as the model server gives it; `error` is a sentence for people and for the model. */
export function extractCode(reply: string, finishReason: string | null): Extracted {
  const lines = reply.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  const ending = endingOf(finishReason);
  let reader = readLines(lines, new ReplyReader());
  // Some models never end their thoughts: then the program is among them.
  if (reader.thinking && ending !== 'length')
    reader = readLines(lines, new ReplyReader({ thoughtsCount: true }));

  const blocks = programBlocks(reader.blocks);
  const files = filesOf(blocks);
  const { program, unclear } =
    blocks.length > 0
      ? { program: chooseProgram(blocks.map(({ lines }) => lines)), unclear: null }
      : unfencedProgram(reader.text);
  const code = tidy(program);
  const whole = blocks.every((block) => block.closed) && (blocks.length > 0 || ending === 'stop');
  if (!whole && (code !== '' || ending !== 'stop')) {
    const cut = code === '' ? {} : { code: code.slice(0, LIMITS.code) };
    return { error: ending === 'stop' ? NO_END : describeEnding(ending, finishReason), ...cut };
  }
  if (files.length > 1)
    return {
      error: `The reply holds several files (${files.join(', ')}), but one program is run: put all of it into one. ${FORM}`,
    };
  if (unclear !== null)
    return {
      error: `It is not clear which lines of the reply are the program, as it stands in no fence and has prose in it ("${shorten(unclear, 80)}"). ${FORM}`,
    };
  if (code === '') return { error: describeReplyWithoutCode(reader, reply) };
  if (code.length > LIMITS.code)
    return {
      error: `The program has ${code.length} characters, but at most ${LIMITS.code} are allowed: write a shorter one.`,
    };
  return { code };
}

const FORM = 'Answer with the whole program in one ```python block.';
const CUT_OFF =
  "The reply was cut off at the model's length limit: write a shorter program, and nothing around it.";
const NO_END =
  'The reply was cut off, its code block has no end: write a shorter program, and nothing around it.';

function describeEnding(ending: Ending, finishReason: string | null): string {
  if (ending === 'length') return CUT_OFF;
  if (ending === 'filter') return "The model server's content filter stopped the reply.";
  return `The model server ended the reply with the reason "${shorten(finishReason ?? '', 50)}", so it may not be whole.`;
}

/** The blocks that say they are Python, or, if none does, those that say nothing and hold code. */
function programBlocks(blocks: Block[]): Block[] {
  const python = blocks.filter((block) => isPython(block) && !isBlank(block));
  if (python.length > 0) return python;
  return blocks.filter((block) => block.language === '' && hasCode(block.lines));
}

/** The names of the files that the blocks say they are, if they say so. */
function filesOf(blocks: Block[]): string[] {
  const files = blocks.map(({ file, lines }) => {
    const first = lines.find((line) => line.trim() !== '')?.trim() ?? '';
    return file ?? (first.startsWith('#') ? fileNamedIn(first) : null);
  });
  return [...new Set(files.flatMap((file) => file?.split(/[\\/]/).at(-1)?.toLowerCase() ?? []))];
}

function readLines(lines: string[], reader: ReplyReader): ReplyReader {
  for (const line of lines) reader.read(line);
  reader.finish();
  return reader;
}

/** Of blocks that are parts of one program, versions of it, whole programs, or quotations: the program. */
function chooseProgram(blocks: string[][]): string[] {
  let program: string[] = [];
  let names = new Set<string>();
  // Nobody writes more parts than that.
  for (const block of withoutQuotations(blocks.slice(-20))) {
    const { functions, variables, bound, used } = namesIn(block);
    const needsMore = used.some((name) => names.has(name) && !bound.has(name));
    const isVersion = functions.some((name) => names.has(name));
    if (program.length > 0 && isFragment(block)) continue;
    if (needsMore && !isVersion) {
      program = [...program, '', ...block];
      names = new Set([...names, ...functions, ...variables]);
    } else if (program.length === 0 || (!needsMore && isWhole(block, program))) {
      program = block;
      names = new Set([...functions, ...variables]);
    }
  }
  return program;
}

/** Whether the block cannot stand by itself: lines from within a function, or from a session. */
function isFragment(block: string[]): boolean {
  const first = block.find((line) => line.trim() !== '') ?? '';
  return /^(?:\s|>>>|(?:return|yield|elif|else|except|finally)\b)/.test(first);
}

/** Whether the block can stand for the program before it, and does not only show a change or a detail of it. */
function isWhole(block: string[], before: string[]): boolean {
  if (block.some((line) => LEFT_OUT.test(line)) || !hasCode(block)) return false;
  return runsSomething(block) || (!runsSomething(before) && size(block) >= size(before) / 2);
}

/** A line that stands for others: `...` at the top level, `# ... the rest stays as it is`. */
const LEFT_OUT =
  /^\.\.\.$|^\s*#\s*(?:\.\.\.|…)|^\s*#.*(?:\brest of\b|\bremains? (?:the same|unchanged)|\b(?:same|unchanged) as (?:before|above)|\b(?:existing|previous|other) code\b)/i;

/** Whether anything happens beside definitions, imports and assignments. */
function runsSomething(block: string[]): boolean {
  const python = new PythonText();
  return block.some((line) => {
    const begins = !python.open && /^\S/.test(line);
    const bare = python.read(line);
    return (
      begins &&
      !/^(?:@|["#)\]}]|(?:async +def|def|class|import|from)\b)/.test(bare.trimStart()) &&
      bare.trim() !== '' &&
      !/^[\w., ()[\]]+(?::[^=]+)?=(?!=)/.test(bare)
    );
  });
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

/** What a block defines at its top level, all names that it binds anywhere, and those it uses; about, not exactly. */
function namesIn(block: string[]) {
  const python = new PythonText({ keepFields: true });
  const lines = block.map((line) => python.read(line.slice(0, 1_000)));
  const words = (text = '') => text.match(/(?<![\w.])[A-Za-z_]\w*/g) ?? [];
  const functions: string[] = [];
  const variables: string[] = [];
  for (const line of lines) {
    functions.push(...words(/^(?:async def|def|class) (\w+)/.exec(line)?.[1]));
    variables.push(...words(/^(?:import|from \S+ import) (.*)/.exec(line)?.[1]));
    variables.push(...words(/^(\w+(?:, \w+)*)(?: ?:[^=]*)? ?=(?!=)/.exec(line)?.[1]));
  }
  const text = lines.join('\n');
  const bound = new Set([...functions, ...variables]);
  for (const [, parameters, parameter, loop, lambda, alias, name] of text.matchAll(
    /\bdef \w+(?:\[[^\]]{0,200}\])?\(([^()]{0,2000})|(?<=[(,]\s*)(\w+) ?: ?\w|\bfor ([\w, ()*]{1,200}) in\b|\blambda ([\w, *=]{1,200}):|\bas (\w+)|(\w+) ?:?=(?!=)/g,
  )) {
    for (const found of [parameters, parameter, loop, lambda, alias, name])
      for (const word of words(found)) bound.add(word);
  }
  return { functions, variables, bound, used: words(text) };
}

/** The lines from the first to the last that are not prose; `unclear`: prose in their midst. */
function unfencedProgram({ lines }: UnfencedText): { program: string[]; unclear: string | null } {
  const isCode = ({ kind }: { kind: Kind }) => kind === 'code' || kind === 'unclear';
  if (!lines.some(({ kind }) => kind === 'code')) return { program: [], unclear: null };
  let first = lines.findIndex(isCode);
  let last = lines.findLastIndex(isCode);
  // What does nothing belongs to the code that it stands beside.
  while (lines[first - 1]?.kind === 'neutral') first--;
  while (lines[last + 1]?.kind === 'neutral') last++;
  const kept = lines.slice(first, last + 1);
  const indent = kept.find(({ text }) => text.trim() !== '')?.text.search(/\S/) ?? 0;
  return {
    program: kept.map(({ text }) => text.slice(Math.min(indent, Math.max(0, text.search(/\S/))))),
    unclear: kept.find(({ kind }) => kind === 'prose')?.text.trim() ?? null,
  };
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

function describeReplyWithoutCode({ blocks, text }: ReplyReader, reply: string): string {
  const held = describeBlocks(blocks);
  const prose = text.lines.map((line) => line.text).join(' ');
  const unmarked = blocks.filter(({ language }) => language === '').flatMap(({ lines }) => lines);
  const said = shorten(prose.trim() === '' ? unmarked.join(' ') : prose, 200);
  if (held !== '' || said !== '')
    return `The reply holds no Python code${held && `: it holds ${held}, none marked python`}.${said && ` It says: ${said}`}`;
  const thoughts = shorten(reply.replace(/<[^<>]{1,40}>|\[\/?THINK\]/g, ' '), 200);
  return thoughts === ''
    ? 'The reply holds no Python code: it is empty.'
    : `The reply holds no Python code, only the model's thoughts: ${thoughts}`;
}

/** Such as "a block marked json", of those that are marked and hold something. */
function describeBlocks(blocks: Block[]): string {
  const languages = [...new Set(blocks.filter((block) => !isBlank(block)).map(({ language }) => language))];
  const named = languages.filter((language) => language !== '' && !isPython({ language })).slice(0, 5);
  if (named.length === 0) return '';
  const last = named.pop();
  return named.length === 0 ? `a block marked ${last}` : `blocks marked ${named.join(', ')} and ${last}`;
}

/** In one line. */
function shorten(text: string, length: number): string {
  const line = text
    .slice(0, 10 * length)
    .replace(/\s+/g, ' ')
    .trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

const isBlank = (block: Block) => block.lines.every((line) => line.trim() === '');
const size = (lines: string[]) => lines.reduce((sum, line) => sum + line.trim().length, 0);

/** Characters. */
const LONG_LINE = 5_000;

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
  /** How much of that line has been given out, its indentation included. */
  #shown = 0;
  /** Lines without a fence that are shown if code follows. */
  #waiting: string[] = [];
  /** The prose behind code without a fence has begun. */
  #proseFollows = false;

  /** Takes the next piece of the reply; returns the code that became visible by it. */
  push(text: string): string {
    const [first = '', ...others] = text.replaceAll('\r', '').split('\n');
    let visible = this.#write(first);
    for (const piece of others) visible += this.#endLine() + this.#write(piece);
    return visible;
  }

  #write(piece: string): string {
    this.#line += piece;
    // Of a long line all is shown: nobody waits for its end, and it is not looked at again and again.
    if (this.#shown > LONG_LINE) {
      this.#shown += piece.length;
      return piece;
    }
    // Blanks and marks may still become the closing fence.
    if (!this.#inShownBlock() || /^[ \t]{0,200}[`~]{0,200}[ \t]{0,200}$/.test(this.#line)) return '';
    return this.#show(this.#reader.certain(this.#line));
  }

  /** Gives out the line up to `end`. */
  #show(end: number): string {
    const indent = this.#line.length - this.#reader.unindent(this.#line).length;
    const from = Math.max(this.#shown, indent);
    this.#shown = Math.max(this.#shown, end);
    return this.#line.slice(from, this.#shown);
  }

  #endLine(): string {
    const line = this.#line;
    const block = this.#inShownBlock() ? this.#reader.openBlock : null;
    const before = block?.lines.length ?? 0;
    const shown = Math.max(0, this.#shown - (line.length - this.#reader.unindent(line).length));
    this.#reader.read(line);
    this.#line = '';
    this.#shown = 0;
    if (block) {
      // As the reader took it: without the closing fence, and what is no code.
      const code = block.lines.length > before ? block.lines.at(-1) : undefined;
      return code === undefined ? '' : `${code.slice(shown)}\n`;
    }
    return this.#reader.thinking || this.#reader.blocks.length > 0 ? '' : this.#showUnfenced();
  }

  /** The last line that was read, if it and those that wait turn out to be code without a fence. */
  #showUnfenced(): string {
    const { text } = this.#reader;
    const line = text.lines.at(-1);
    if (!line || this.#proseFollows) return '';
    if (line.kind === 'prose') {
      this.#waiting = [];
      this.#proseFollows = text.begun;
      return '';
    }
    if (line.text.trim() !== '' || this.#waiting.length > 0 || text.begun) this.#waiting.push(line.text);
    if (!text.begun || line.text.trim() === '') return '';
    const shown = this.#waiting.splice(0);
    return `${shown.join('\n')}\n`;
  }

  /** Blocks of Python, and a first one that does not say what it is, unless there is code before it. */
  #inShownBlock(): boolean {
    const block = this.#reader.openBlock;
    if (block === null || isPython(block)) return block !== null;
    return block.language === '' && this.#reader.blocks.length === 1 && !this.#reader.text.begun;
  }
}
