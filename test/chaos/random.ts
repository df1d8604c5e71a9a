import { random } from '../support/random.ts';

/** Numbers drawn from a seed: the same seed draws the same ones. */
export class Random {
  /** From 0 up to, but not with, 1. */
  readonly next: () => number;

  constructor(readonly seed: number) {
    this.next = random(seed);
  }

  /** A whole number, the bounds among them. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)] as T;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Numbers of their own, however many are drawn here meanwhile. */
  fork(name: string): Random {
    let seed = this.seed;
    for (const character of name) seed = Math.imul(seed ^ (character.codePointAt(0) ?? 0), 0x01000193);
    return new Random(seed >>> 0);
  }
}
