/**
 * The marks in a reply that are neither prose nor code: what a model's chat template puts around turns, answers and
 * thoughts, and what remains of it when a server does not take it off.
 */

interface Thoughts {
  /** at the beginning of a line */
  begin: RegExp;
  end: RegExp;
  /** Some servers leave out the mark that begins the thoughts: then all before this end were thoughts. */
  endAlone?: true;
}

const THOUGHT = '(?:[\\w.]+[:_-])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)';

const THOUGHTS: readonly Thoughts[] = [
  // DeepSeek, Qwen, GLM, Granite and most others; <seed:think> of Seed, <longcat_think> …
  { begin: new RegExp(`^<${THOUGHT}>`, 'i'), end: new RegExp(`</${THOUGHT}>`, 'i'), endAlone: true },
  // Magistral
  { begin: /^\[THINK\]/, end: /\[\/THINK\]/, endAlone: true },
  // Kimi
  { begin: /^◁think▷/, end: /◁\/think▷/, endAlone: true },
  // Command A
  { begin: /^<\|START_THINKING\|>/, end: /<\|END_THINKING\|>/, endAlone: true },
  { begin: /^<\|begin_of_thought\|>/, end: /<\|end_of_thought\|>/, endAlone: true },
  // Apertus
  { begin: /^<\|inner_prefix\|>/, end: /<\|inner_suffix\|>/, endAlone: true },
  // Gemma 4
  { begin: /^<\|channel>thought/, end: /<channel\|>/, endAlone: true },
  // HyperCLOVA, and models that name the channel after the role
  { begin: /^<\|im_start\|>assistant\/(?:think|analysis)\b/, end: /<\|im_end\|>/ },
  // Harmony (gpt-oss): only its final channel is the answer
  {
    begin:
      /^(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary)\b[^<]{0,100}(?:<\|constrain\|>\w+)?<\|message\|>/,
    end: /<\|end\|>|<\|call\|>|(?=<\|start\|>|<\|channel\|>)/,
  },
  // Never begins: it is the end of thoughts that began without a mark.
  { begin: /^(?!)/, end: /<\|channel\|>final\b[^<]{0,100}<\|message\|>/, endAlone: true },
  // Granite 3.2
  { begin: /^here(?: is|['’]s) my thought process:/i, end: /here(?: is|['’]s) my response:/i },
];

/** Harmony without its marks: "analysisThe user wants … assistantfinal```python". */
const BARE_HARMONY: Thoughts = { begin: /^analysis(?=\S)/, end: /assistantfinal/ };

/** What begins at the beginning of the text, if it is thoughts. `first`: the text begins the reply. */
export function beginOfThoughts(text: string, first: boolean): { length: number; end: RegExp } | null {
  if (!first && !/^[<[◁h]/i.test(text)) return null;
  for (const { begin, end } of first ? [...THOUGHTS, BARE_HARMONY] : THOUGHTS) {
    const length = begin.exec(text)?.[0].length;
    if (length) return { length, end };
  }
  return null;
}

/** Where thoughts end in the text whose beginning has no mark. */
export function endOfUnmarkedThoughts(text: string): { index: number; length: number } | null {
  if (!/[>\]▷]/.test(text)) return null;
  for (const { end, endAlone } of THOUGHTS) {
    const found = endAlone && end.exec(text);
    if (found) return { index: found.index, length: found[0].length };
  }
  return null;
}

const ROLES = '(?:assistant|model|system|user|developer|tool)';
const TOKEN = [
  `<\\|(?:im_start|start)\\|>(?:${ROLES}\\b)?`,
  `<\\|start_header_id\\|>${ROLES}?<\\|end_header_id\\|>`,
  `<\\|channel\\|>\\w+`,
  `<start_of_turn>(?:${ROLES}\\b)?`,
  '<[|｜][^<>|｜\\s]{1,60}[|｜]>',
  '</?s>',
  '</?(?:bos|eos|pad|eot|end|endoftext|end_of_text|end_of_turn|end_of_utterance|eos_token)>',
  '\\[/INST\\]',
  '\\[end of text\\]',
].join('|');
/** Tags that some models put around their answer. */
const WRAP = '</?(?:answer|response|solution|output|result|final|code|python)>';

const AT_BEGIN = new RegExp(`^\\s*(?:${TOKEN}|${WRAP})`, 'i');
const AT_END = new RegExp(`(?:${TOKEN}|${WRAP})\\s*$`, 'i');
const LONGEST_TOKEN = 120;

/** The model goes on with what it takes for the next question. */
const USER_TURN =
  /(?:<\|(?:im_start|start)\|>|<start_of_turn>|<\|start_header_id\|>)user\b|<[|｜]user[|｜]>|^\s*\[INST\]/i;

/** Where in a line that begins; -1: nowhere. */
export const userTurnAt = (line: string): number =>
  line.length < 10_000 && /[<[]/.test(line) ? line.search(USER_TURN) : -1;

/** How much of the end of a line such marks take, blanks around them included; 0 if there are none. */
export function marksAtEnd(line: string): number {
  let end = line.length;
  for (;;) {
    const tail = line.slice(Math.max(0, end - LONGEST_TOKEN), end);
    if (!/[>\]]\s*$/.test(tail)) return line.length - end;
    const found = AT_END.exec(tail);
    if (!found) return line.length - end;
    end -= tail.length - found.index;
  }
}

/** Without the marks at its beginning; indentation is kept if there are none. */
export function withoutMarksAtBegin(line: string): string {
  let text = line;
  while (/^\s*[<[]/.test(text.slice(0, LONGEST_TOKEN))) {
    const found = AT_BEGIN.exec(text.slice(0, LONGEST_TOKEN));
    if (!found) break;
    text = text.slice(found[0].length);
  }
  return text;
}

/** Where, in a line that is not yet whole, something may begin that becomes such a mark; the line's length if nowhere. */
export function markMayBegin(line: string): number {
  const tail = line.slice(-LONGEST_TOKEN);
  const at = /<[^\s<>]*>?$/.exec(tail)?.index ?? tail.lastIndexOf('[');
  const begin = tail.slice(at).toLowerCase();
  const may = at !== -1 && (begin.startsWith('<') || IN_BRACKETS.some((mark) => mark.startsWith(begin)));
  const end = may ? line.length - begin.length : line.length;
  return end - marksAtEnd(line.slice(0, end));
}

const IN_BRACKETS = ['[/inst]', '[end of text]'];
