/**
 * A Python Lambda function on this machine.
 *
 * One child process serves all calls, one after the other as a Lambda instance does, since starting Python costs more
 * than the calls do. A child that exits or exceeds the time limit takes with it only the call it was at: that one is
 * rejected, the calls behind it get a new child. Errors have the names that AWS gives them.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const RUNTIME = fileURLToPath(new URL('./python_runtime.py', import.meta.url));

export interface PythonFunctionOptions {
  /** The command of Python ≥ 3.11. */
  python: string;
  /** Where the packages of the function are; also its working folder. */
  folder: string;
  /** `package.module.function` */
  handler: string;
  /** Of one call. Default: 30 */
  timeoutSeconds?: number;
}

type Reply = { result: unknown } | { error: { name: string; message: string; trace: string } };

export class PythonFunction {
  readonly #options: PythonFunctionOptions;
  #process: PythonProcess;
  /** Settles when the calls made so far have ended. */
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: PythonFunctionOptions) {
    this.#options = options;
    this.#process = new PythonProcess(options);
  }

  /** Rejects with an Error named as the Python exception, `Sandbox.Timedout` or `Runtime.ExitError`. */
  invoke(event: unknown): Promise<unknown> {
    const reply = this.#queue.then(() => this.#call(event));
    this.#queue = reply.catch(() => {});
    return reply;
  }

  /** Ends the child; a call that it is at is rejected. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#process.kill();
    await this.#process.ended;
  }

  async #call(event: unknown): Promise<unknown> {
    const { handler, timeoutSeconds = 30 } = this.#options;
    if (this.#closed) throw new Error(`${handler} is closed`);
    if (this.#process.hasEnded) this.#process = new PythonProcess(this.#options);

    const python = this.#process;
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      python.kill();
    }, timeoutSeconds * 1000);
    const line = await python.ask(JSON.stringify(event));
    clearTimeout(timer);

    if (line !== undefined) return unwrap(JSON.parse(line) as Reply);
    if (timedOut) throw named('Sandbox.Timedout', `${handler} took longer than ${timeoutSeconds} s`);
    throw named('Runtime.ExitError', `${handler} ended without an answer (${await python.ended})`);
  }
}

/** One child that answers a line with a line. */
class PythonProcess {
  /** Settles with how it ended, once it has. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #answer: (line: string | undefined) => void = () => {};

  constructor({ python, folder, handler }: PythonFunctionOptions) {
    const child = spawn(python, [RUNTIME, handler], {
      cwd: folder,
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8', PYTHONPATH: folder },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    createInterface(child.stdout).on('line', (line) => this.#answer(line));
    // Writing to a child that has just gone fails; `close` tells that it is gone.
    child.stdin.on('error', () => {});
    this.ended = new Promise((resolve) => {
      let failure: string | undefined;
      child.once('error', (error) => {
        failure = error.message;
      });
      child.once('close', (code, signal) => {
        resolve(failure ?? signal ?? `exit code ${code}`);
        this.#answer(undefined);
      });
    });
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The next line that it writes, or undefined if it ends instead. */
  ask(line: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#child.stdin.write(`${line}\n`);
    });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

function unwrap(reply: Reply): unknown {
  if ('result' in reply) return reply.result;
  const { name, message, trace } = reply.error;
  throw named(name, message, trace);
}

function named(name: string, message: string, stack?: string): Error {
  return Object.assign(new Error(message), stack === undefined ? { name } : { name, stack });
}
