import { CUT } from '../functions/execution/answer-size.ts';

/** Characters that the mark of a cut may have. */
const LONGEST_MARK = 80;

/**
 * What is still to be shown of a text whose beginning was shown as it came: `whole` without `shown`, however much of
 * its middle was cut out. null if `whole` is another text.
 */
export function remainder(shown: string, whole: string): string | null {
  if (whole.startsWith(shown)) return whole.slice(shown.length);
  // A text that ends in line ends may have lost them.
  if (shown.startsWith(whole) && shown.slice(whole.length).trim() === '') return '';
  // Where they part there is a cut, whose mark may by chance begin as what was shown goes on.
  const from = Math.max(0, commonStart(shown, whole) - LONGEST_MARK);
  const cut = CUT.exec(whole.slice(from, from + 2 * LONGEST_MARK));
  if (!cut) return null;
  const [mark, atLeast, number, unit] = cut;
  const at = from + cut.index;
  const tail = whole.slice(at + mark.length);
  const [size, without] =
    unit === 'bytes' ? [Buffer.byteLength, withoutBytes] : [lengthOf, withoutCharacters];
  const shownOfCut = size(shown.slice(at));
  const left = Number(number) - shownOfCut;
  if (atLeast || left > 0)
    return `\n… ${atLeast ?? ''}${atLeast ? number : left} ${unit} left out …\n${tail}`;
  return without(tail, -left);
}

function commonStart(one: string, other: string): number {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  return at;
}

const lengthOf = (text: string) => text.length;
const withoutCharacters = (text: string, count: number) => text.slice(count);
const withoutBytes = (text: string, count: number) => Buffer.from(text).subarray(count).toString();
