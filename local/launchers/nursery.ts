/**
 * A sandbox is a fork of one template, which has loaded Python and the libraries once: sandbox-image/sandbox/nursery.py.
 *
 *   coming up ─► up ─► gone ─► coming up …
 *
 * coming up   The template loads. What is launched meanwhile waits for it: a start of its own would take as long.
 * up          Each connection to its socket is a sandbox.
 * gone        It has died, or did not answer and was killed. Its sandboxes live on. It is started again after a pause;
 *             what is launched meanwhile, and what it was to fork and has not, is started as a process of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Log } from '../aws/log.ts';
import { signalGroup } from './command.ts';
import type { LaunchedSandbox, Launcher, SandboxDescription, SandboxObserver } from './launcher.ts';
import { ProcessLauncher, programEnvironment, type SandboxOptions, sandboxVariables } from './process.ts';

export interface NurseryOptions extends SandboxOptions {
  /** The command of Python ≥ 3.11. */
  python: string;
  log: Log;
  /** Milliseconds from a connection to the word of the fork that it is there. default: 10 s */
  forkTimeout?: number;
}

/** Until the template has loaded Python and the libraries. */
const LOADING_MS = 120_000;
const FORK_MS = 10_000;
const RESTART_AFTER_MS = 1_000;
/** One that could not even come up is likely to fail again. */
const RETRY_AFTER_MS = 60_000;

/** Starts the template at once, so that it loads beside what else has to be done. */
export class NurseryLauncher implements Launcher {
  readonly #options: NurseryOptions;
  readonly #processes: ProcessLauncher;
  #template: Template | null = null;
  #restart: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: NurseryOptions) {
    this.#options = options;
    this.#processes = new ProcessLauncher({ ...options, command: options.python });
    this.#start();
  }

  describe(): Promise<SandboxDescription> {
    return this.#processes.describe();
  }

  launch(name: string, environment: Record<string, string>, observer: SandboxObserver): LaunchedSandbox {
    const template = this.#template;
    const launchProcess = () => this.#processes.launch(name, environment, observer);
    if (!template) return launchProcess();
    const variables = { ...environment, ...sandboxVariables(this.#options, name) };
    return new PendingSandbox(template.fork(variables, observer), launchProcess, observer);
  }

  cleanUp(name: string): Promise<void> {
    return this.#processes.cleanUp(name);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    this.#template?.end();
    await this.#template?.ended;
  }

  #start(): void {
    const template = new Template(this.#options);
    this.#template = template;
    void template.ended.then((how) => {
      this.#template = null;
      if (this.#isClosed) return;
      this.#options.log('error', 'the template that sandboxes are forked from has ended', { how });
      const pause = template.hasComeUp ? RESTART_AFTER_MS : RETRY_AFTER_MS;
      this.#restart = setTimeout(() => this.#start(), pause).unref();
    });
  }
}

/** What the nursery says, among the lines that its sandboxes log. */
const wordSchema = z.object({
  nursery: z.object({ socket: z.string(), pid: z.int(), exit_code: z.int() }).partial(),
});

function wordIn(line: string): z.infer<typeof wordSchema>['nursery'] | null {
  return line.startsWith('{"nursery"') ? wordSchema.parse(JSON.parse(line)).nursery : null;
}

class Template {
  /** Settles with how it ended. */
  readonly ended: Promise<string>;
  hasComeUp = false;
  readonly #child: ChildProcess;
  readonly #forkTimeout: number;
  /** Where it listens, once it does; null if it has ended instead. */
  readonly #socket: Promise<string | null>;

  constructor({ python, cwd, log, forkTimeout = FORK_MS }: NurseryOptions) {
    this.#forkTimeout = forkTimeout;
    // Not in the data folder, whose path may be too long for a socket's.
    const folder = mkdtempSync(path.join(tmpdir(), 'sandbox-nursery-'));
    const child = spawn(python, ['-m', 'sandbox', '--nursery', folder], {
      cwd,
      env: programEnvironment(),
      // It ends when its input does, so not even a runtime that is killed leaves it behind.
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    // A killed one leaves it.
    void this.ended.then(() => rmSync(folder, { recursive: true, force: true }));
    const loading = setTimeout(() => this.#kill(), LOADING_MS).unref();
    const listening = new Promise<string>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const { socket } = wordIn(line) ?? {};
        if (socket === undefined) {
          log('warn', line);
          return;
        }
        this.hasComeUp = true;
        clearTimeout(loading);
        resolve(socket);
      });
    });
    createInterface({ input: child.stderr }).on('line', (line) => log('warn', line));
    this.#socket = Promise.race([listening, this.ended.then(() => null)]);
  }

  /** A sandbox that is a fork of it, once it is there; null if there will be none. */
  async fork(variables: Record<string, string>, observer: SandboxObserver): Promise<LaunchedSandbox | null> {
    const socket = await this.#socket;
    if (socket === null) return null;
    const connection = connect(socket);
    const { promise, resolve } = Promise.withResolvers<LaunchedSandbox | null>();
    const giveUp = setTimeout(() => {
      connection.destroy();
      this.#kill(); // it hangs
    }, this.#forkTimeout);
    let group: number | undefined;
    const end = (exitCode: number | null) => {
      if (group === undefined) return;
      signalGroup(group, 'SIGKILL'); // what it left of its process group ends with it
      group = undefined;
      observer.ended({ exitCode });
    };
    const lines = createInterface({ input: connection });
    lines.on('line', (line) => {
      const word = wordIn(line);
      if (word?.pid !== undefined) {
        clearTimeout(giveUp);
        group = word.pid;
        resolve({
          stop: () => signalGroup(group, 'SIGTERM', true),
          kill: () => signalGroup(group, 'SIGKILL'),
        });
        observer.started();
      } else if (word?.exit_code !== undefined) end(word.exit_code);
      else if (line) observer.logged(line);
    });
    connection.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') this.#kill(); // nobody can reach it any more
    });
    lines.on('error', () => {}); // told of the same; the connection closes
    connection.once('close', () => {
      clearTimeout(giveUp);
      resolve(null); // unless there has been one
      end(null); // the template, which would have told, is gone
    });
    connection.write(`${JSON.stringify(variables)}\n`);
    return promise;
  }

  end(): void {
    this.#child.kill('SIGTERM');
  }

  #kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** A sandbox that is to be a fork of the template and, where that cannot be had, is a process of its own. */
class PendingSandbox implements LaunchedSandbox {
  #sandbox: LaunchedSandbox | undefined;
  #asked: 'stop' | 'kill' | undefined;

  constructor(
    forked: Promise<LaunchedSandbox | null>,
    launchProcess: () => LaunchedSandbox,
    observer: SandboxObserver,
  ) {
    void forked.then((fork) => {
      if (!fork && this.#asked) {
        observer.ended({ notStarted: 'stopped before it was started' });
        return;
      }
      this.#sandbox = fork ?? launchProcess();
      if (this.#asked) this.#sandbox[this.#asked]();
    });
  }

  stop(): void {
    this.#ask('stop');
  }

  kill(): void {
    this.#ask('kill');
  }

  #ask(what: 'stop' | 'kill'): void {
    this.#asked = what;
    this.#sandbox?.[what]();
  }
}
