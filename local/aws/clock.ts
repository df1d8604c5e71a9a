/**
 * What time it is, to whoever checks a time that was written on this machine. Its clock may be set in between: by a person,
 * at the end of a sleep, by the network. What was signed before that is as old as it is by the clock of before, so this
 * one keeps every clock that the machine has shown, as its distance from one that nobody sets.
 */

/** Milliseconds by which a clock is away from what it was if it was set, and not just kept right. */
const SET = 60_000;
const REMEMBERED = 10;

export class Clock {
  readonly #distances: number[] = [];

  constructor(
    readonly wall: () => number = () => Date.now(),
    readonly steady: () => number = () => performance.now(),
  ) {
    this.times();
  }

  /** The time now in milliseconds since the epoch, and what it would be had the clock not been set. */
  times(): number[] {
    const steady = this.steady();
    const distance = this.wall() - steady;
    const known = this.#distances.findIndex((one) => Math.abs(one - distance) < SET);
    if (known >= 0) this.#distances.splice(known, 1);
    this.#distances.unshift(distance);
    this.#distances.splice(REMEMBERED);
    return this.#distances.map((one) => steady + one);
  }
}

/** Of this process. */
export const clock = new Clock();
