/** How much an API function may answer with: what is larger never reaches the caller. */

/**
 * Bytes of an answer's body that leave room for the rest. Lambda gives back 6,291,556 at most, and counts the body as
 * the JSON string that it is there, so the quotes and line breaks in it twice.
 */
const ANSWER_BYTES = 5_000_000;

const answerSize = (body: unknown) => Buffer.byteLength(JSON.stringify(JSON.stringify(body)));

/** The first of `items` that fit into one answer; at least one. */
export function fitting<T>(items: readonly T[]): T[] {
  let bytes = 0;
  const end = items.findIndex((item, index) => {
    bytes += answerSize(item);
    return index > 0 && bytes > ANSWER_BYTES;
  });
  return end === -1 ? [...items] : items.slice(0, end);
}

/** What stands where a text was cut: here, or (in bytes) by the sandbox. */
export const CUT = /\n… (more than )?(\d+) (bytes|characters) left out …\n/;

/** Cuts the outputs of attempts in the middle, the longest ones, where they are more than one answer holds. */
export function withFittingOutputs<T extends { output: string | null; output_truncated: boolean }>(
  attempts: readonly T[],
): T[] {
  const sizes = attempts.map(({ output }) => answerSize(output));
  // The last one is in the answer twice: as the final result too. All else (code, errors) takes its part.
  const parts = attempts.length + 1;
  const whole = sizes.reduce((sum, size) => sum + size, sizes.at(-1) ?? 0);
  const room = ANSWER_BYTES / 2;
  if (whole <= room) return [...attempts];
  return attempts.map((attempt, index) => {
    const share = room / parts / (sizes[index] ?? 1);
    if (share >= 1 || attempt.output === null) return attempt;
    return {
      ...attempt,
      output: cutMiddle(attempt.output, share, attempt.output_truncated),
      output_truncated: true,
    };
  });
}

/** `isCut`: it lacks its middle already, so that more is left out than is seen here. */
function cutMiddle(text: string, share: number, isCut: boolean): string {
  const kept = Math.floor((text.length * share) / 2);
  const left = text.length - 2 * kept;
  return `${text.slice(0, kept)}\n… ${isCut ? 'more than ' : ''}${left} characters left out …\n${text.slice(left + kept)}`;
}
