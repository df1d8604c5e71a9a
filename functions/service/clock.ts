/** Times as records hold them, from a clock that may be set back while an execution is under way. */

/** The time now, or the latest of `times` where the clock has been set back since: nothing ends before it began. */
export const nowAfter = (...times: (string | null | undefined)[]): string =>
  times.reduce<string>((latest, time) => (time && time > latest ? time : latest), new Date().toISOString());

/** Seconds from one time to another; of a record that was written otherwise not below zero either. */
export const secondsBetween = (from: string, to: string): number =>
  Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
