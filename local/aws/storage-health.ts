/**
 * Whether the disk below the data folder takes what is written.
 *
 *   whole ──a write fails, or little room is left──► in trouble ──a trial write succeeds──► whole
 *
 * While it is in trouble no new work is taken (`problem` says why) and functions wait (`whole()`), so that nothing that
 * was acknowledged fails for it. A trial is made once a second; not of a database that is damaged, which the next start
 * sets aside.
 */
import '../polyfill.ts';
import fs from 'node:fs';
import path from 'node:path';
import { storageFailure } from './database.ts';
import type { Log } from './log.ts';

/** bytes that must be free for new work: the files of one attempt, and the records of some */
const ROOM_FOR_WORK = 32 * 1024 * 1024;
/** Files that it must be possible to make, likewise: a disk may run out of inodes before it runs out of bytes. */
const FILES_FOR_WORK = 1_000;
/** Of a small disk no more than this share is asked for. */
const SHARE_OF_DISK = 0.1;
const TRIAL_MS = 1000;

export class StorageHealth {
  readonly #folder: string;
  readonly #log: Log;
  readonly #tryWrite: () => void;
  #problem: string | null = null;
  #closed = false;
  #waiting = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;

  /** `tryWrite` writes to the database and to a file, and throws if that fails. */
  constructor(folder: string, tryWrite: () => void, log: Log) {
    this.#folder = folder;
    this.#tryWrite = tryWrite;
    this.#log = log;
  }

  /** Why no new work is taken now, in a sentence; null if it is. */
  get problem(): string | null {
    if (this.#problem === null && this.#lacksRoom()) this.#takesNoMore('little room is left');
    return this.#problem;
  }

  /** Whether the error is the disk's. If so, it is in trouble from here on. */
  blames(error: unknown): boolean {
    if (!isOfDisk(error)) return false;
    if (storageFailure(error) === 'damaged') {
      this.#enter(
        `What is kept in ${path.resolve(this.#folder)} is damaged (${(error as Error).message}). Stop the service and start it again: it then keeps that aside, says so, and begins anew.`,
        { passes: false },
      );
    } else this.#takesNoMore((error as Error).message);
    return true;
  }

  /** Resolves when writes succeed; at once if nothing is known against it. */
  whole(): Promise<void> {
    return this.#problem === null || this.#closed ? Promise.resolve() : this.#waiting.promise;
  }

  /** Makes a write that must not be lost: waits for room and tries again. At the end of the process it is left undone. */
  async write(work: () => void): Promise<void> {
    while (!this.#closed) {
      try {
        return work();
      } catch (error) {
        if (!this.blames(error)) throw error;
        await this.whole();
      }
    }
  }

  /** Calls what may be called again once the disk is to be blamed for its failure. */
  async call<Result>(work: () => Promise<Result>): Promise<Result> {
    for (;;) {
      await this.whole();
      try {
        return await work();
      } catch (error) {
        if (this.problem === null || this.#closed) throw error;
      }
    }
  }

  /** Lets go of all that wait. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#waiting.resolve();
  }

  #takesNoMore(reason: string): void {
    this.#enter(
      `The disk below ${path.resolve(this.#folder)} takes no more (${reason}). Make room there: the service then goes on by itself, and nothing that it has taken on is lost.`,
    );
  }

  #enter(problem: string, { passes = true } = {}): void {
    if (this.#problem !== null || this.#closed) return;
    this.#problem = problem;
    this.#waiting = Promise.withResolvers();
    this.#log('error', problem);
    if (passes) this.#timer = setInterval(() => this.#try(), TRIAL_MS).unref();
  }

  #try(): void {
    if (this.#lacksRoom()) return;
    try {
      this.#tryWrite();
    } catch (error) {
      if (isOfDisk(error)) return;
      throw error;
    }
    clearInterval(this.#timer);
    this.#problem = null;
    this.#log('error', 'The disk takes writes again: the service goes on.');
    this.#waiting.resolve();
  }

  #lacksRoom(): boolean {
    const { bavail, blocks, bsize, ffree, files } = fs.statfsSync(this.#folder);
    // A file system without a fixed number of inodes says that it has none.
    return (
      bavail * bsize < Math.min(ROOM_FOR_WORK, blocks * bsize * SHARE_OF_DISK) ||
      (files > 0 && ffree < Math.min(FILES_FOR_WORK, files * SHARE_OF_DISK))
    );
  }
}

function isOfDisk(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return storageFailure(error) !== undefined || ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'].includes(code);
}
