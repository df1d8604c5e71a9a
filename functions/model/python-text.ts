/** Lines of Python, read as far as a reply's reader has to: what is a string or a comment, what goes on in the next. */

const STRING_PREFIX = /(?<![\p{L}\p{N}_])(?:[bfrtu]|[bft]r|r[bft])$/iu;

/** Follows strings, brackets and continuations from line to line. */
export class PythonText {
  /** The quotes of the string in which the last line ends. */
  quote: string | null = null;
  #formatted = false;
  #brackets = 0;
  #continued = false;
  readonly #keepFields: boolean;

  /** `keepFields`: what stands in the braces of f-strings is shown as code. */
  constructor({ keepFields = false } = {}) {
    this.#keepFields = keepFields;
  }

  /** The statement goes on in the next line. */
  get open(): boolean {
    return this.quote !== null || this.#brackets > 0 || this.#continued;
  }

  /** What `read` would give for the next line, which is not taken. */
  peek(line: string): string {
    const copy = new PythonText({ keepFields: this.#keepFields });
    copy.quote = this.quote;
    copy.#formatted = this.#formatted;
    return copy.read(line);
  }

  /** Takes the next line. Gives it with each character of a string as `"` and each of a comment as a blank. */
  read(line: string): string {
    let bare = '';
    let comment = false;
    for (let at = 0; at < line.length; ) {
      const character = line.charAt(at);
      let end = at + 1;
      let by = '"';
      if (this.quote !== null) {
        if (character === '\\') end++;
        else if (this.#formatted && character === '{') {
          by = '';
          end = line.indexOf('}', at) + 1 || line.length;
        } else if (line.startsWith(this.quote, at)) {
          end = at + this.quote.length;
          this.quote = null;
        } else end = nextOf(IN_STRING, line, end);
      } else if (character === '#') {
        comment = true;
        by = ' ';
        end = line.length;
      } else if ((character === '"' || character === "'") && !isApostrophe(line, at)) {
        this.quote = line.startsWith(character.repeat(3), at) ? character.repeat(3) : character;
        this.#formatted = this.#keepFields && /[ft]r?$/i.test(line.slice(Math.max(0, at - 2), at));
        end = at + this.quote.length;
      } else {
        if ('([{'.includes(character)) this.#brackets++;
        else if (')]}'.includes(character)) this.#brackets = Math.max(0, this.#brackets - 1);
        by = '';
        end = nextOf(IN_CODE, line, end);
      }
      end = Math.min(end, line.length);
      bare += by === '' ? line.slice(at, end) : by.repeat(end - at);
      at = end;
    }
    this.#continued = !comment && line.endsWith('\\') && /(?:^|[^\\])(?:\\\\)*\\$/.test(line.slice(-50));
    // Only triple quotes reach beyond their line, unless it is continued.
    if (this.quote?.length === 1 && !this.#continued) this.quote = null;
    return bare;
  }
}

const IN_STRING = /["'\\{]/g;
const IN_CODE = /["'#()[\]{}]/g;

/** Where the pattern matches next, or the end of the line. */
function nextOf(pattern: RegExp, line: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.exec(line)?.index ?? line.length;
}

/** No string follows a letter, but for those that are its prefix: "don't". */
function isApostrophe(line: string, at: number): boolean {
  if (line[at] !== "'") return false;
  const before = line.slice(Math.max(0, at - 4), at);
  return /[\p{L}\p{N}]$/u.test(before) && !STRING_PREFIX.test(before);
}
