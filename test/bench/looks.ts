/**
 * How often a sandbox that waits `seconds` for a job looks for it: a tenth of the time waited lies between two looks, and
 * a look takes 20 ms.
 */
export const looksForJob = (seconds: number) => Math.round(10 * Math.log(1 + seconds / (10 * 0.02)));
