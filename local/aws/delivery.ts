/**
 * Delivers events to functions as S3 and EventBridge do: at least once, tried again where the function fails. Events
 * of one group are delivered one after the other in the order they were sent, groups side by side.
 */
import type { Log } from './log.ts';

const PAUSES_BEFORE_RETRY_MS = [100, 400];
const CLOSE_TIMEOUT_MS = 2000;

export class Delivery<Event> {
  readonly #deliver: (event: Event) => Promise<void>;
  readonly #log: Log;
  readonly #tails = new Map<string, Promise<boolean>>();
  #closed = false;

  constructor(deliver: (event: Event) => Promise<void>, log: Log) {
    this.#deliver = deliver;
    this.#log = log;
  }

  /** Whether the event was delivered, when it is or has been given up; never rejects. */
  send(group: string, event: Event): Promise<boolean> {
    const before = this.#tails.get(group) ?? Promise.resolve(true);
    const tail = before.then(() => this.#try(group, event));
    this.#tails.set(group, tail);
    return tail.finally(() => {
      if (this.#tails.get(group) === tail) this.#tails.delete(group);
    });
  }

  /** What waits is dropped; resolves when the deliveries under way are through, or have had their time. */
  async close(): Promise<void> {
    this.#closed = true;
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    });
    await Promise.race([Promise.all(this.#tails.values()), timeout]);
    clearTimeout(timer);
  }

  async #try(group: string, event: Event): Promise<boolean> {
    for (let tries = 0; !this.#closed; tries++) {
      try {
        await this.#deliver(event);
        return true;
      } catch (error) {
        const pause = PAUSES_BEFORE_RETRY_MS[tries];
        const details = { group, error: String(error), tries: tries + 1 };
        if (pause === undefined) {
          this.#log('error', 'event given up', details);
          return false;
        }
        this.#log('warn', 'event not delivered, trying again', details);
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    return false;
  }
}
