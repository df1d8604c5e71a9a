/**
 * Reads a model's reply line by line into its fenced blocks and the text around them; what the model thinks aloud
 * (`<think>…</think>` and its like) and what its chat template left behind (`<|im_end|>`) is left out. Made for
 * replies as they come: fences that are indented, follow a list marker or a sentence, stand inside a string of the
 * program, or share their line with other things. Each line is looked at a bounded number of times, so hostile
 * replies cost no more than long ones.
 */
import { PythonText } from './python-text.ts';
import {
  beginOfThoughts,
  endOfUnmarkedThoughts,
  markMayBegin,
  marksAtEnd,
  userTurnAt,
  withoutMarksAtBegin,
} from './reply-marks.ts';
import { UnfencedText } from './unfenced-text.ts';

export interface Block {
  /** first word after the fence, in lower case; '' if there is none */
  language: string;
  /** the name of the Python file that the reply says it is */
  file: string | null;
  lines: string[];
  closed: boolean;
}

interface Fence {
  marks: string;
  indent: number;
  language: string;
  file: string | null;
}

/** A longer line is no fence. */
const LONGEST_FENCE_LINE = 200;
/** Of a longer line that is not yet whole, nothing is held back. */
const LONGEST_HELD_LINE = 2_000;

export class ReplyReader {
  readonly blocks: Block[] = [];
  /** what stands outside of blocks */
  text = new UnfencedText();

  readonly #thoughtsCount: boolean;
  /** What ends the thoughts that the reply is in. */
  #endOfThoughts: RegExp | null = null;
  #thoughtBefore = false;
  #begun = false;
  /** The model went on with the next question. */
  #over = false;
  /** the last text since the last block */
  #label = '';
  #fence: Fence | null = null;
  #python = new PythonText();
  /** Where the open block would end if fences inside of strings counted: index of the first such line. */
  #fenceInString: number | null = null;
  #stringsMatter = true;
  /** The last line of the open block ended with the mark that ends a turn. */
  #turnEnded = false;

  /** `thoughtsCount`: read what the model thinks aloud as if it were part of the answer. */
  constructor({ thoughtsCount = false } = {}) {
    this.#thoughtsCount = thoughtsCount;
  }

  /** The reply so far ends within the model's thoughts. */
  get thinking(): boolean {
    return this.#endOfThoughts !== null;
  }

  /** The block that the next line belongs to. */
  get openBlock(): Block | null {
    return this.#fence ? (this.blocks.at(-1) ?? null) : null;
  }

  /** A line of the open block without the indentation that its fence has. */
  unindent(line: string): string {
    let at = 0;
    while (at < (this.#fence?.indent ?? 0) && (line[at] === ' ' || line[at] === '\t')) at++;
    return line.slice(at);
  }

  /** How much of a line of the open block that is not yet whole is code for certain. */
  certain(line: string): number {
    if (line.length > LONGEST_HELD_LINE) return line.length;
    const bare = this.#tracksStrings() ? this.#python.peek(line) : line;
    const fence = bare.search(/`{3}|`{1,2}$/);
    const end = fence === -1 ? bare.length : fence;
    return markMayBegin(bare.slice(0, end));
  }

  /** Takes the next line, without its line end. */
  read(line: string): void {
    if (this.#over) return;
    if (this.#fence) this.#readCode(line);
    else this.#readText(line);
  }

  /** Call once after the last line. */
  finish(): void {
    const block = this.openBlock;
    if (!block || !this.#fence) return;
    if (this.#fenceInString !== null) {
      // A string that never ends is a mistake of the program; then the fence in it was the end of the block.
      const rest = block.lines.splice(this.#fenceInString).slice(1);
      this.#stringsMatter = false;
      this.#close(block);
      for (const line of rest) this.read(line);
      this.finish();
      return;
    }
    const last = block.lines.findLastIndex((line) => line.trim() !== '');
    const line = block.lines[last]?.trimEnd();
    if (line?.endsWith(this.#fence.marks)) {
      block.lines[last] = line.slice(0, -this.#fence.marks.length);
      this.#close(block);
    } else if (this.#turnEnded) {
      this.#close(block);
    }
  }

  #readText(line: string): void {
    // Within a string of a program without a fence all is the program's.
    if (this.text.insideString) {
      this.text.read(line);
      return;
    }
    const text = this.#withoutThoughts(line);
    if (text === null) return;
    const end = this.blocks.length > 0 || this.text.begun ? userTurnAt(text) : -1;
    this.#over = end !== -1;
    const answer = withoutMarksAtBegin(end === -1 ? text : text.slice(0, end));
    const shown = answer.slice(0, answer.length - marksAtEnd(answer));
    const fence = openingFence(shown);
    if (!fence) {
      this.text.read(shown);
      if (shown.trim() !== '') this.#label = shown;
    } else if (!/^(markdown|md)$/.test(fence.language)) {
      // Where a whole reply is wrapped as Markdown, what matters is inside.
      this.#open(fence);
    }
  }

  #open(fence: Fence): void {
    this.text.interrupt();
    this.#fence = fence;
    const file = fence.file ?? fileNamedIn(this.#label);
    this.blocks.push({ language: fence.language, file, lines: [], closed: false });
    this.#label = '';
  }

  /** What of the line is not thought; null if it ends within a thought. */
  #withoutThoughts(line: string): string | null {
    let text = line;
    for (;;) {
      if (this.#endOfThoughts === null) {
        const begin = beginOfThoughts(text.trimStart(), !this.#begun);
        if (begin) {
          text = text.trimStart().slice(begin.length);
          this.#thoughtBefore = true;
          if (!this.#thoughtsCount) this.#endOfThoughts = begin.end;
          continue;
        }
        this.#begun ||= text.trim() !== '';
        const end = endOfUnmarkedThoughts(text);
        if (!end || (this.#thoughtBefore && !this.#thoughtsCount)) return text;
        if (!this.#thoughtsCount) this.#forget();
        text = (this.#thoughtsCount ? text.slice(0, end.index) : '') + text.slice(end.index + end.length);
        continue;
      }
      const end = this.#endOfThoughts.exec(text);
      if (!end) return null;
      this.#endOfThoughts = null;
      text = text.slice(end.index + end[0].length);
    }
  }

  /** All so far were thoughts. */
  #forget(): void {
    this.#thoughtBefore = true;
    this.blocks.length = 0;
    this.text = new UnfencedText();
  }

  #readCode(line: string): void {
    const block = this.openBlock;
    if (!block || !this.#fence) return;
    const inString = this.#python.quote !== null;
    if (inString && isOnlyFence(line, this.#fence)) this.#fenceInString ??= block.lines.length;
    const thoughtsEnd = !inString && !this.#thoughtsCount && endOfUnmarkedThoughts(line);
    if (thoughtsEnd && thoughtsEnd.index === line.search(/\S/)) {
      // The block was part of thoughts that ended without its end.
      this.#close(block);
      this.#thoughtBefore = false;
      this.#readText(line);
      return;
    }
    const bare = this.#tracksStrings() ? this.#python.peek(line) : line;
    const turn = userTurnAt(bare);
    if (turn !== -1) {
      this.#addCode(block, line.slice(0, turn), bare.slice(0, turn));
      this.#close(block);
      this.#over = true;
      return;
    }
    const at = this.#fenceAt(bare);
    if (at !== -1) {
      if (line.slice(0, at).trim() !== '') this.#addCode(block, line.slice(0, at), bare.slice(0, at));
      const behind = line.slice(at).replace(/^[`~]+/, '');
      this.#close(block);
      const word = behind.slice(0, behind.length - marksAtEnd(behind)).trim();
      // No end of this block, but the beginning of the next one.
      if (/^\S+$/.test(behind.trimEnd()) && LANGUAGE.test(word)) this.#readText(line.slice(at));
      else if (word !== '') this.#readText(behind);
      return;
    }
    this.#addCode(block, line, bare);
  }

  #addCode(block: Block, line: string, bare: string): void {
    const marks = marksAtEnd(bare);
    const code = line.slice(0, line.length - marks);
    if (marks > 0) this.#turnEnded = true;
    else if (line.trim() !== '') this.#turnEnded = false;
    if (marks > 0 && code.trim() === '') return;
    block.lines.push(this.unindent(code));
    if (this.#tracksStrings()) this.#python.read(code);
  }

  /** Where in a line of the open block, its strings masked, the closing fence is. -1: nowhere. */
  #fenceAt(bare: string): number {
    const marks = this.#fence?.marks ?? '';
    const first = bare.search(/\S/);
    if (first !== -1 && bare.startsWith(marks, first)) return first;
    // Behind code there are backticks only where the block ends: they are no Python.
    return marks.startsWith('`') && this.#tracksStrings() ? bare.indexOf(marks) : -1;
  }

  #tracksStrings(): boolean {
    const block = this.openBlock;
    return this.#stringsMatter && block !== null && isPython(block);
  }

  #close(block: Block): void {
    block.closed = true;
    this.#fence = null;
    this.#fenceInString = null;
    this.#turnEnded = false;
    this.#python = new PythonText();
  }
}

/** What may follow the marks of an opening fence if nothing else does. */
const LANGUAGE = /^(?:[a-z][\w+#-]*|[\w./\\:-]+\.\w{1,5})$/i;
const PYTHON_FILE = /^[^\s"'=:]*?(?:[=:]["']?)?([\w./\\-]+\.pyw?)\b/i;

export function isPython({ language }: Pick<Block, 'language'>): boolean {
  return /^(?:i|c|micro)?py(?:thon)?[-_]?[\d.]*$|^tool_code$|\.pyw?$/.test(language);
}

/** A line that names a file and nothing else: `**utils.py**`, `# utils.py`, `File: utils.py`. */
export function fileNamedIn(line: string): string | null {
  if (line.length > LONGEST_FENCE_LINE) return null;
  return (
    /^[^\w./]*(?:\d+[.)]\s*)?(?:file(?:\s?name)?\s*:\s*)?[^\w./]*([\w./\\-]+\.pyw?)\W*$/i.exec(line)?.[1] ??
    null
  );
}

function openingFence(line: string): Fence | null {
  if (line.length <= LONGEST_FENCE_LINE) {
    const found = /^((?:[ \t]*(?:[-*+]|\d{1,3}[.)]))?[ \t]*)(`{3,}|~{3,})([^`]*)$/.exec(line);
    if (found) {
      const [, before = '', marks = '', info = ''] = found;
      const language = /^[\s{.]*([\w+#.-]*)/.exec(info)?.[1]?.toLowerCase() ?? '';
      const file = info.split(/[\s,]+/).flatMap((word) => PYTHON_FILE.exec(word)?.[1] ?? [])[0] ?? null;
      // ```main.py, ```src/main.py, ```title="main.py"
      const isNamed = file !== null && PYTHON_FILE.test(info.trim());
      return { marks, indent: before.length, language: isNamed ? 'python' : language, file };
    }
  }
  // "Here is the program: ```python"
  const [, marks = '', language = ''] =
    /[^`](`{3,})[ \t]*(python3?|py3?)[ \t]*$/i.exec(line.slice(-40)) ?? [];
  return marks ? { marks, indent: 0, language: language.toLowerCase(), file: null } : null;
}

/** A closing fence that no string of a program would hold by chance but for Markdown. */
function isOnlyFence(line: string, { marks }: Fence): boolean {
  if (line.length > LONGEST_FENCE_LINE) return false;
  const text = line.slice(0, line.length - marksAtEnd(line)).trim();
  return text.startsWith(marks) && (/^`+$/.test(text) || /^~+$/.test(text));
}
