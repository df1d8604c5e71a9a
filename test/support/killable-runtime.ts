/** The runtime as a process of its own, for tests that kill it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { descendants } from './processes.ts';

export interface KillableRuntimeOptions {
  /** A descriptor for what it says. default: the test's own standard error */
  log?: number;
}

export class KillableRuntime {
  #process: ChildProcess | undefined;
  #clockAhead = 0;

  constructor(
    private readonly env: Record<string, string>,
    private readonly options: KillableRuntimeOptions = {},
  ) {}

  /** Of the process; undefined if it does not run. */
  get pid(): number | undefined {
    const child = this.#process;
    return child && child.exitCode === null && child.signalCode === null ? child.pid : undefined;
  }

  /** Gives its URL when it is ready. */
  async start(): Promise<string> {
    const child = spawn(process.execPath, ['--import', 'tsx', 'test/support/runtime-process.ts'], {
      env: {
        ...process.env,
        PORT: '0',
        WARM_SANDBOXES: '0',
        OPENAI_API_KEY: 'test-key',
        CLOCK_AHEAD: String(this.#clockAhead),
        ...this.env,
      },
      stdio: ['ignore', 'pipe', this.options.log ?? 'inherit', 'ipc'],
    });
    this.#process = child;
    const [url] = await Promise.race([
      once(createInterface({ input: child.stdout as NonNullable<typeof child.stdout> }), 'line'),
      once(child, 'exit').then(() => Promise.reject(new Error('The runtime ended before it was ready.'))),
    ]);
    return String(url);
  }

  /** Sets its clock by so many milliseconds from the real time, also that of later lives. */
  setClock(ahead: number): void {
    this.#clockAhead = ahead;
    // One that was killed at this moment needs no answer: the next is started with this clock.
    if (this.pid !== undefined && this.#process?.connected)
      this.#process.send({ clockAhead: ahead }, () => undefined);
  }

  /** As `kill -9` does; nothing if it has ended. `all`: with every process that it has started. */
  async kill({ all = false } = {}): Promise<void> {
    const { pid } = this;
    if (pid === undefined) return;
    const others = all ? descendants(pid) : [];
    await this.#end('SIGKILL', () => {
      for (const other of others) kill(other.pid, 'SIGKILL');
    });
  }

  /** As Ctrl-C does; nothing if it has ended. */
  stop(): Promise<void> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals, then = () => {}): Promise<void> {
    const child = this.#process;
    if (!child || this.pid === undefined) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    then();
    await ended;
  }
}

/** Gives false if the process has ended. */
export function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
