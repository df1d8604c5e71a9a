/**
 * Tells the code from the prose of a reply that has no fence, line by line. Prose that is taken for code is an error
 * that everybody sees; code that is taken for prose is a program that does something else, in silence. So only what
 * cannot be Python, and reads like prose besides, counts as prose.
 */
import { PythonText } from './python-text.ts';

/**
 * What a line at the beginning of a statement is:
 * - `code`: Python that does something;
 * - `neutral`: Python that does nothing (a comment, a literal, a name), or what could be a program's output;
 * - `prose`: cannot be Python and reads like a sentence, a heading or an item of a list;
 * - `unclear`: cannot be Python, but may be meant to be.
 */
export type Kind = 'code' | 'neutral' | 'prose' | 'unclear';

/** A longer line is not looked at closely. */
const LONGEST_LINE = 2_000;

const BLOCKS = 'if|elif|else|for|while|try|except|finally|with|def|class|async|match|case';
const STATEMENTS = new RegExp(
  `^(?:${BLOCKS}|pass|break|continue|return|raise|del|global|nonlocal|import|from|assert|await|yield|lambda|print|exec|type)\\b`,
);
const OPERATORS = 'and|or|not|in|is|if|else|for|from|import|as|async|await|lambda|yield';
/** Two words, numbers or strings side by side, neither of them a keyword, are no Python. */
const NEIGHBOURS = new RegExp(
  `(?<![\\p{L}\\p{N}_.])(?!(?:${OPERATORS}|${BLOCKS}|pass|return|raise|del|global|nonlocal|assert)\\b)(?:[\\p{L}_][\\p{L}\\p{N}_]*|\\d[\\w.]*)[ \\t]+(?!(?:${OPERATORS})\\b)[\\p{L}\\p{N}_]`,
  'u',
);
/** `match x:`, `type X = int`, and Python 2's `print "x"`. */
const SOFT_KEYWORD = /^(?:match|case|type|print|exec)\b/;
/** Marks of lists, headings, quotations, emphasis and tables of Markdown. */
const MARKS = /^(?:[-+*•▪◦>|#\s]|\d{1,3}[.)]\s|\p{Extended_Pictographic}|\uFE0F|[_*]{1,3}(?=\S))+/u;

function kindOf(line: string): Kind {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return 'neutral';
  if (text.length > LONGEST_LINE) return 'unclear';
  // Commands of notebooks and shells: the check of the program says what is wrong with them.
  if (/^(?:[!%]{1,2}\w|>>>|\$ )/.test(text)) return 'unclear';
  if (/^([-=*_])\1{2,}$/.test(text)) return text.startsWith('_') ? 'neutral' : 'prose';
  const bare = new PythonText().read(text);
  if (isPossible(bare)) return isWithoutEffect(bare) ? 'neutral' : 'code';
  if (readsLikeProse(text, bare)) return 'prose';
  const mayBeOutput = /^(?:\p{Lu}|\p{Lo}|\d|[-•])/u.test(text) && !STATEMENTS.test(bare.toLowerCase());
  return mayBeOutput && !hasCodeSigns(bare) ? 'neutral' : 'unclear';
}

/** Whether a line could begin or be a statement of Python, with an error in it or not. */
function isPossible(bare: string): boolean {
  const text = bare.trimEnd();
  if (SOFT_KEYWORD.test(text)) return true;
  // A name of many letters that have no case is a sentence of a language that writes without blanks.
  if (/^\p{Lo}{4,}$/u.test(text)) return false;
  return !(
    /[?$`]|!(?!=)|[^\p{ASCII}\p{L}\p{N}\p{M}\s]/u.test(text) ||
    /[\p{L}\p{N}_]'\p{L}/u.test(text) ||
    /^(?:[|>/<=,.:)\]}](?!\.\.)|\*\*|\d+\))/.test(text) ||
    /^[*+] /.test(text) ||
    (/[^\d.]\.$/.test(text) && !text.endsWith('...')) ||
    (text.endsWith(':') && !STATEMENTS.test(text)) ||
    NEIGHBOURS.test(text)
  );
}

function isWithoutEffect(bare: string): boolean {
  const text = bare.replace(/[=!<>]=/g, '  ');
  if (STATEMENTS.test(text) || text.startsWith('@')) return false;
  return !/[=;@\\]|[\p{L}\p{N}_)\]}"]\(|[\p{Ll}_] +\(|\b(?:await|yield|lambda)\b/u.test(text);
}

function readsLikeProse(text: string, bare: string): boolean {
  const words = text.match(/[\p{L}\p{M}][\p{L}\p{M}\p{N}’'-]*/gu) ?? [];
  if (text.includes('`')) return words.length > 1;
  if (/^(?:\*\*|\|)/.test(text)) return true;
  const marked = MARKS.exec(text)?.[0] ?? '';
  const sentence = text.slice(marked.length);
  const caseless = (sentence.match(/\p{Lo}/gu) ?? []).length;
  const isCapital = /^[^\p{L}]*(?:\p{Lu}|\p{Lt}|\p{Lo})/u.test(sentence) || /\S/.test(marked);
  const end = /([.!?:…。！？：؟।])[\s"'”’»)*_\p{Extended_Pictographic}]*$/u.exec(text)?.[1];
  const ends = end !== undefined && !/[:：]/.test(end);
  const likeCode = hasCodeSigns(bare);
  const likeStatement = STATEMENTS.test(sentence.toLowerCase());
  if (caseless >= 2 && !likeCode && !likeStatement && (end || words.length >= 3 || caseless >= 4))
    return true;
  if (isCapital) {
    const enough = /[-*•.)]\s/.test(marked) ? 2 : 3;
    if (!likeCode && !likeStatement && (words.length >= enough || (end && words.length > 0))) return true;
    return words.length >= 4 && (ends || (end !== undefined && !likeStatement));
  }
  if (likeCode || words.length < 3) return false;
  if (ends) return words.length >= 4;
  return end !== undefined && !likeStatement && words.some((word) => COMMON.has(word.toLowerCase()));
}

/** A line that begins with a small letter and ends with a colon is prose only with one of these in it. */
const COMMON = new Set(
  'the this that these here a an it its you your code following output program script example result'.split(
    ' ',
  ),
);

/** What prose hardly ever holds. A complexity such as O(n) is no call. */
function hasCodeSigns(bare: string): boolean {
  return /[=;{}\\@"]|[\p{L}\p{N}_\])](?:\(|\[)/u.test(bare.replace(/\b[OΘΩ]\([^()]*\)/g, ''));
}

/** Tells code from prose line by line where no fence does. */
export class UnfencedText {
  readonly lines: { text: string; kind: Kind }[] = [];
  readonly #python = new PythonText();
  #indent: number | null = null;
  /** the kind of the statement that the next line may belong to */
  #statement: Kind = 'prose';

  get insideString(): boolean {
    return this.#python.quote !== null;
  }

  /** Code has been found. */
  get begun(): boolean {
    return this.#indent !== null;
  }

  /** Takes the next line; gives what it is. */
  read(text: string): Kind {
    const kind = this.#kindOf(text);
    this.lines.push({ text, kind });
    if (kind !== 'prose') this.#python.read(text);
    if (text.trim() !== '') this.#statement = kind;
    if (kind === 'code') this.#indent ??= text.search(/\S/);
    return kind;
  }

  /** Something else than text stands here. */
  interrupt(): void {
    this.lines.push({ text: '', kind: 'prose' });
    this.#statement = 'prose';
  }

  #kindOf(text: string): Kind {
    if (this.#python.open) return this.#statement;
    if (text.trim() === '') return 'neutral';
    const isBody = this.#indent !== null && text.search(/\S/) > this.#indent;
    if (isBody && this.#statement !== 'prose') return this.#statement;
    // The word after the opening fence, of which the marks were lost.
    if (!this.begun && /^\s*(?:python3?|py)\s*$/i.test(text)) return 'prose';
    return kindOf(text);
  }
}

/** Whether any of the lines does something. */
export function hasCode(lines: string[]): boolean {
  const text = new UnfencedText();
  for (const line of lines) text.read(line);
  return text.begun;
}
