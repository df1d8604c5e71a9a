/** Measuring on a noisy machine: many short runs, the median, and always a reference in the same run. */
import { performance } from 'node:perf_hooks';

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/**
 * Times several works in turn, so that what disturbs the machine disturbs all alike; gives each one's median in ms.
 * `prepare` comes before each round and is not timed.
 */
export async function medians<K extends string>(
  rounds: number,
  works: Record<K, () => Promise<unknown>>,
  prepare: () => Promise<unknown> = async () => undefined,
): Promise<Record<K, number>> {
  const names = Object.keys(works) as K[];
  const times = new Map<K, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    await prepare();
    for (const name of names) {
      const time = await timed(works[name]);
      // The first round warms up.
      if (round > 0) times.get(name)?.push(time);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(times.get(name) ?? [])])) as Record<K, number>;
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]];
  return (low + high) / 2;
}

/** One line of the report: a promise of the README and what was measured for it. */
export function report(promise: string, measured: string, kept: boolean | null): void {
  const verdict = kept === null ? 'not measured' : kept ? 'kept' : 'NOT KEPT';
  process.stdout.write(`${verdict.padEnd(13)}${promise}\n${' '.repeat(13)}${measured}\n`);
}

export const ms = (time: number) => `${time.toFixed(1)} ms`;
export const ratio = (of: number, to: number) => `${(of / to).toFixed(2)} ×`;
