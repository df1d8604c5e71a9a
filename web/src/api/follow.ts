/**
 * Following an execution live.
 *
 *   snapshot ─► WebSocket: resume after the snapshot's sequence ─► events … ─► the end
 *                  │ lost                                ▲
 *                  ▼                                     │ again, with back-off
 *               after a few failures in a row: poll the events for a while
 *
 * Events are numbered without gaps. What comes twice is dropped; a gap, or silence, makes us ask again for what
 * comes after the last one; a text too long for a message is read from a new snapshot.
 */
import type { ExecutionEvent } from '../../../functions/events/events.ts';
import { type ExecutionState, fromSnapshot, isFinal, leavesOutText, reduce } from '../execution/reduce.ts';
import type { Client } from './client.ts';
import { ApiError, Unreachable } from './errors.ts';

/** live: by WebSocket. away: the service does not answer; tried again by itself. ended: nothing more will come. */
export type Connection = 'connecting' | 'live' | 'reconnecting' | 'polling' | 'away' | 'ended';

export interface Listener {
  onState(state: ExecutionState): void;
  onConnection(connection: Connection): void;
  /** It cannot be followed: unknown, or not ours. Nothing comes after it. */
  onError(error: Error): void;
}

/** Milliseconds. */
export interface Pace {
  /** First pause before a new try; doubles up to `maxPause`. */
  pause: number;
  maxPause: number;
  /** Between two polls. */
  poll: number;
  /** Silence after which the socket is asked for what it may have missed … */
  silence: number;
  /** … and after which, without an answer, it counts as lost. */
  patience: number;
}

const PACE: Pace = { pause: 500, maxPause: 15_000, poll: 2_000, silence: 20_000, patience: 10_000 };
/** Failures of the WebSocket in a row after which events are polled, and polls after which it is tried again. */
const FAILURES_BEFORE_POLLING = 3;
const POLLS_BEFORE_SOCKET = 15;

/** Follows an execution until it ends. Gives a function that stops following. */
export function followExecution(client: Client, id: string, listener: Listener, pace = PACE): () => void {
  const stop = new AbortController();
  new Follower(client, id, listener, pace, stop.signal).run().catch((error: Error) => {
    if (!stop.signal.aborted) listener.onError(error);
  });
  return () => stop.abort();
}

class Follower {
  private state: ExecutionState | null = null;
  /** An event left out a text that the snapshot has. */
  private textMissing = false;

  constructor(
    private readonly client: Client,
    private readonly id: string,
    private readonly listener: Listener,
    private readonly pace: Pace,
    private readonly signal: AbortSignal,
  ) {}

  async run(): Promise<void> {
    this.listener.onConnection('connecting');
    await this.untilReached(() => this.readSnapshot());
    // What goes wrong there goes wrong here too.
    this.followLine().catch(() => undefined);
    let failures = 0;
    while (this.goesOn()) {
      const heard = await this.listen();
      if (this.textMissing) await this.untilReached(() => this.readSnapshot());
      if (!this.goesOn()) break;
      failures = heard ? 0 : failures + 1;
      if (failures >= FAILURES_BEFORE_POLLING) await this.pollForAWhile();
      else {
        this.listener.onConnection('reconnecting');
        await this.wait(this.backOff(failures));
      }
    }
    this.signal.throwIfAborted();
    this.listener.onConnection('ended');
  }

  /** While an execution waits for its turn no event comes: it is asked for its place in line. */
  private async followLine(): Promise<void> {
    while (this.state?.status === 'queued' && this.state.place_in_line !== null) {
      await this.wait(this.pace.poll);
      const { status, place_in_line } = await this.client.execution(this.id, this.signal);
      if (status !== 'queued') return;
      if (this.state?.status === 'queued') this.set({ ...this.state, place_in_line });
    }
  }

  private goesOn(): boolean {
    return !this.signal.aborted && this.state !== null && !isFinal(this.state.status);
  }

  private async readSnapshot(): Promise<void> {
    const snapshot = await this.client.execution(this.id, this.signal);
    this.textMissing = false;
    this.set(fromSnapshot(snapshot, this.state?.isolation));
  }

  private set(state: ExecutionState): void {
    this.signal.throwIfAborted();
    this.state = state;
    this.listener.onState(state);
  }

  /** Folds events in order. Gives false if there is a gap before one of them. */
  private fold(events: ExecutionEvent[]): boolean {
    const before = this.state;
    if (!before) return true;
    let state = before;
    let complete = true;
    for (const event of events) {
      if (event.sequence <= state.sequence) continue;
      if (event.sequence > state.sequence + 1) {
        complete = false;
        break;
      }
      state = reduce(state, event);
      this.textMissing ||= leavesOutText(event);
    }
    if (state !== before) this.set(state);
    return complete;
  }

  /** Listens on one WebSocket until it closes or the execution ends. Gives whether anything was heard. */
  private listen(): Promise<boolean> {
    if (!this.state) return Promise.resolve(false);
    const socket = new WebSocket(this.client.socketUrl(this.state));
    return new Promise((resolve) => {
      let heard = false;
      let timer: ReturnType<typeof setTimeout>;
      // Messages are handled one after the other: one may have to wait for a snapshot.
      let work = Promise.resolve();

      const close = () => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', close);
        socket.onmessage = socket.onopen = socket.onclose = null;
        socket.close();
        resolve(heard);
      };
      const lostAfterPatience = () => {
        clearTimeout(timer);
        timer = setTimeout(close, this.pace.patience);
      };
      const resume = () => {
        socket.send(JSON.stringify({ action: 'resume', after: this.state?.sequence ?? 0 }));
        lostAfterPatience();
      };
      const take = async (events: ExecutionEvent[]) => {
        const complete = this.fold(events);
        if (this.textMissing) await this.readSnapshot();
        if (!this.goesOn()) close();
        else if (!complete) resume();
      };

      socket.onopen = resume;
      socket.onclose = close;
      socket.onmessage = ({ data }) => {
        const message = JSON.parse(String(data)) as { events?: ExecutionEvent[] };
        if (!message.events) return close();
        const { events } = message;
        if (!heard) this.listener.onConnection('live');
        heard = true;
        clearTimeout(timer);
        timer = setTimeout(resume, this.pace.silence);
        work = work.then(() => take(events)).catch(close);
      };
      this.signal.addEventListener('abort', close);
      lostAfterPatience();
    });
  }

  private async pollForAWhile(): Promise<void> {
    for (let polls = 0; polls < POLLS_BEFORE_SOCKET && this.goesOn(); polls++) {
      await this.untilReached(async () => {
        const events = await this.client.events(this.id, this.state?.sequence ?? 0, this.signal);
        this.listener.onConnection('polling');
        const complete = this.fold(events);
        if (this.textMissing || !complete) await this.readSnapshot();
      });
      if (this.goesOn()) await this.wait(this.pace.poll);
    }
  }

  /** Tries until the service answers, and not with a fault of its own: that may pass. @throws ApiError */
  private async untilReached(action: () => Promise<void>): Promise<void> {
    for (let failures = 1; ; failures++) {
      try {
        return await action();
      } catch (error) {
        const passes = error instanceof Unreachable || (error instanceof ApiError && error.status >= 500);
        if (!passes) throw error;
        this.listener.onConnection('away');
        await this.wait(this.backOff(failures));
      }
    }
  }

  private backOff(failures: number): number {
    const pause = Math.min(this.pace.pause * 2 ** Math.max(failures - 1, 0), this.pace.maxPause);
    return pause * (0.75 + Math.random() / 2);
  }

  /** Waits, but not after this device is back online. @throws AbortError */
  private wait(milliseconds: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener('online', end);
        this.signal.removeEventListener('abort', end);
        if (this.signal.aborted) reject(this.signal.reason);
        else resolve();
      };
      const timer = setTimeout(end, milliseconds);
      addEventListener('online', end);
      this.signal.addEventListener('abort', end);
      if (this.signal.aborted) end();
    });
  }
}
