/**
 * Reads a model's reply line by line into its fenced blocks and the prose around them; what the model thinks
 * aloud (`<think>…</think>`) is left out. Made for replies as they come: fences that are indented, follow a list
 * marker or a sentence, or stand inside a string of the program. Each line is looked at a bounded
 * number of times, so hostile replies cost no more than long ones.
 */

export interface Block {
  /** first word after the fence, in lower case; '' if there is none */
  language: string;
  lines: string[];
  closed: boolean;
}

interface Fence {
  marks: string;
  indent: number;
  language: string;
}

/** A longer line is no fence. */
const LONGEST_FENCE_LINE = 200;

const THINKING_BEGINS = /^\s*<(?:think|thinking|thought|reasoning)>/i;
const THINKING_ENDS = /<\/(?:think|thinking|thought|reasoning)>/i;

export class ReplyReader {
  readonly blocks: Block[] = [];
  readonly prose: string[] = [];
  /** The reply so far ends within the model's thoughts. */
  thinking = false;

  readonly #thoughtsCount: boolean;
  #fence: Fence | null = null;
  #thoughtBefore = false;
  /** Where the open block would end if fences inside of strings counted: index of the first such line. */
  #fenceInString: number | null = null;
  #openQuote: string | null = null;
  #stringsMatter = true;

  /** `thoughtsCount`: read what the model thinks aloud as if it were part of the answer. */
  constructor({ thoughtsCount = false } = {}) {
    this.#thoughtsCount = thoughtsCount;
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

  /** Takes the next line, without its line end. */
  read(line: string): void {
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
    }
  }

  #readText(line: string): void {
    const text = this.#thoughtsCount ? line : this.#withoutThoughts(line);
    if (text === null) return;
    const fence = openingFence(text);
    if (!fence) this.prose.push(text);
    // A whole reply wrapped as Markdown: what matters is inside.
    else if (!/^(markdown|md)$/.test(fence.language)) {
      this.#fence = fence;
      this.blocks.push({ language: fence.language, lines: [], closed: false });
    }
  }

  /** What of the line is not thought; null if it ends within a thought. */
  #withoutThoughts(line: string): string | null {
    let text = line;
    for (;;) {
      if (!this.thinking && THINKING_BEGINS.test(text)) {
        this.thinking = true;
        this.#thoughtBefore = true;
      }
      const end = THINKING_ENDS.exec(text);
      if (!end) return this.thinking ? null : text;
      if (!this.thinking) {
        if (this.#thoughtBefore) return text;
        // Some servers leave out the tag that begins the thoughts: all so far were thoughts.
        this.#thoughtBefore = true;
        this.blocks.length = 0;
        this.prose.length = 0;
      }
      this.thinking = false;
      text = text.slice(end.index + end[0].length);
    }
  }

  #readCode(line: string): void {
    const block = this.openBlock;
    if (!block || !this.#fence) return;
    if (closes(line, this.#fence)) {
      if (this.#openQuote === null) {
        this.#close(block);
        return;
      }
      this.#fenceInString ??= block.lines.length;
    }
    block.lines.push(this.unindent(line));
    if (this.#stringsMatter && isPython(block)) this.#openQuote = openQuoteAfter(line, this.#openQuote);
  }

  #close(block: Block): void {
    block.closed = true;
    this.#fence = null;
    this.#fenceInString = null;
    this.#openQuote = null;
  }
}

export function isPython({ language }: Block): boolean {
  return /^(i?python[\d.]*|py[\d.]*|tool_code)$/.test(language);
}

/** Whether a line, not indented, is one that a person who writes prose would hardly write. */
export function looksLikePython(line: string): boolean {
  if (line.length > 1_000) return false;
  return (
    /^(import [\w., ]+( as \w+)?|from [\w.]+ import [\w*(][\w*, ()]*)( *#.*)?$/.test(line) ||
    /^(async def|def|class) \w+ ?[(:[]/.test(line) ||
    /^@\w[\w.]*(\(.*)?$/.test(line) ||
    /^(if|for|while|with|try)\b.*:( *#.*)?$/.test(line) ||
    /^\w[\w.]*(\[[^\]]*\])?(, ?\w+)*( ?: ?[\w[\], .|]+)? ?[-+*/%]?= ?[^=\s]/.test(line) ||
    /^[a-zA-Z_][\w.]*\((.*[)\]},([{'"])?( *#.*)?$/.test(line) ||
    /^("""|''')/.test(line)
  );
}

function openingFence(line: string): Fence | null {
  if (line.length <= LONGEST_FENCE_LINE) {
    const found = /^((?:[ \t]*(?:[-*+]|\d{1,3}[.)]))?[ \t]*)(`{3,}|~{3,})([^`]*)$/.exec(line);
    if (found) {
      const [, before = '', marks = '', info = ''] = found;
      return {
        marks,
        indent: before.length,
        language: /^[\s{.]*([\w+#.-]*)/.exec(info)?.[1]?.toLowerCase() ?? '',
      };
    }
  }
  // "Here is the program: ```python"
  const [, marks = '', language = ''] =
    /[^`](`{3,})[ \t]*(python3?|py3?)[ \t]*$/i.exec(line.slice(-40)) ?? [];
  return marks ? { marks, indent: 0, language: language.toLowerCase() } : null;
}

function closes(line: string, { marks }: Fence): boolean {
  if (line.length > LONGEST_FENCE_LINE) return false;
  const text = line.trim();
  return text.startsWith(marks) && (/^`+$/.test(text) || /^~+$/.test(text));
}

/** The triple quote in which a line of Python ends, given the one in which it begins. */
function openQuoteAfter(line: string, openBefore: string | null): string | null {
  let open = openBefore;
  for (let at = 0; at < line.length; at++) {
    const character = line[at];
    if (character === '\\') at++;
    else if (open !== null) {
      if (line.startsWith(open, at)) {
        at += open.length - 1;
        open = null;
      }
    } else if (character === '#') break;
    else if (character === '"' || character === "'") {
      const triple = character.repeat(3);
      if (line.startsWith(triple, at)) {
        at += 2;
        open = triple;
      } else {
        at++;
        while (at < line.length && line[at] !== character) at += line[at] === '\\' ? 2 : 1;
      }
    }
  }
  return open;
}
