/** How a reply ended, from the many words that servers have for it. */

export type Ending =
  /** The model ended it by itself. */
  | 'stop'
  /** It was cut off at a limit. */
  | 'length'
  /** It was stopped for what it says. */
  | 'filter'
  /** Something else, such as an error: it may not be whole. */
  | 'unknown';

const FILTER =
  /filter|safety|recitation|refus|block|prohibited|spii|moderat|flagged|sensitive|toxic|guardrail|polic|violation/i;
const LENGTH = /length|max|limit|truncat|incomplete|budget|window|context|exhausted/i;
const STOP =
  /^(?:\w+\.)?(?:stop(?:ped)?|stop[_-]?(?:sequence|str|string|token|word|criteria)|eos(?:[_-]?token)?|end(?:[_-]?(?:of[_-]?)?(?:turn|text))?|(?:tool|function)[_-]?(?:calls?|use)|completed?|done|finish(?:ed)?|success|normal|ok|null|none)$/i;

/** `reason`: null where the server has proper ends but names no reasons. */
export function endingOf(reason: string | null): Ending {
  if (reason === null || STOP.test(reason)) return 'stop';
  if (FILTER.test(reason)) return 'filter';
  return LENGTH.test(reason) ? 'length' : 'unknown';
}
