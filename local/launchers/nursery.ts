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
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Log } from '../aws/log.ts';
import { isAlive } from '../is-alive.ts';
import { signalGroup } from './command.ts';
import type { LaunchedSandbox, Launcher, SandboxDescription, SandboxObserver } from './launcher.ts';
import { ProcessLauncher, programEnvironment, type SandboxOptions, sandboxVariables } from './process.ts';

export interface NurseryOptions extends SandboxOptions {
  /** The command of Python ≥ 3.11. */
  python: string;
  log: Log;
  /** Milliseconds that no fork at all may come while some are waited for. default: 10 s */
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
    try {
      const template = new Template(this.#options);
      this.#template = template;
      void template.ended.then((how) => this.#startAgain(how, template.hasComeUp));
    } catch (error) {
      this.#startAgain((error as Error).message, false); // there is no room for its folder
    }
  }

  #startAgain(how: string, hasComeUp: boolean): void {
    this.#template = null;
    if (this.#isClosed) return;
    this.#options.log('error', 'the template that sandboxes are forked from has ended', { how });
    const pause = hasComeUp ? RESTART_AFTER_MS : RETRY_AFTER_MS;
    this.#restart = setTimeout(() => this.#start(), pause).unref();
  }
}

/** What the nursery says, among the lines that its sandboxes log. */
const wordSchema = z.object({
  nursery: z.object({ socket: z.string(), pid: z.int(), exit_code: z.int() }).partial(),
});

function wordIn(line: string): z.infer<typeof wordSchema>['nursery'] | undefined {
  if (!line.startsWith('{"nursery"')) return undefined;
  try {
    return wordSchema.safeParse(JSON.parse(line)).data?.nursery;
  } catch {
    return undefined; // a line like any other
  }
}

/** The name of a template's folder begins with it; then comes the process that started the template. */
const FOLDER = 'sandbox-nursery-';

/** Removes the folders of templates that were killed together with the process that would have done it. */
function removeForgotten(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(name.startsWith(FOLDER) ? name.slice(FOLDER.length).split('-')[0] : Number.NaN);
    if (!Number.isInteger(pid) || isAlive(pid)) continue;
    try {
      rmSync(path.join(tmpdir(), name), { recursive: true, force: true });
    } catch (error) {
      // It is another user's.
      if (!['EACCES', 'EPERM'].includes(String((error as NodeJS.ErrnoException).code))) throw error;
    }
  }
}

class Template {
  /** Settles with how it ended. */
  readonly ended: Promise<string>;
  hasComeUp = false;
  readonly #child: ChildProcess;
  readonly #forkTimeout: number;
  /** Of forks that are waited for. */
  readonly #waiting = new Set<Socket>();
  #watchdog: NodeJS.Timeout | undefined;
  /** Where it listens, once it does; null if it has ended instead. */
  readonly #socket: Promise<string | null>;

  constructor({ python, cwd, log, forkTimeout = FORK_MS }: NurseryOptions) {
    this.#forkTimeout = forkTimeout;
    // Not in the data folder, whose path may be too long for a socket's.
    removeForgotten();
    const folder = mkdtempSync(path.join(tmpdir(), `${FOLDER}${process.pid}-`));
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
    this.#waiting.add(connection);
    this.#watchdog ??= this.#watch();
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
        this.#waitedFor(connection);
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
      this.#waitedFor(connection);
      resolve(null); // unless there has been one
      end(null); // the template, which would have told, is gone
    });
    connection.write(`${JSON.stringify(variables)}\n`);
    return promise;
  }

  end(): void {
    this.#child.kill('SIGTERM');
  }

  #waitedFor(connection: Socket): void {
    if (!this.#waiting.delete(connection)) return;
    clearTimeout(this.#watchdog);
    this.#watchdog = this.#waiting.size > 0 ? this.#watch() : undefined;
  }

  /** On a busy machine many forks may take long, but one comes after the other. */
  #watch(): NodeJS.Timeout {
    return setTimeout(() => {
      for (const connection of this.#waiting) connection.destroy();
      this.#kill(); // it hangs
    }, this.#forkTimeout);
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
