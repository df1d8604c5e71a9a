/** What launchers share that start a sandbox by a command. */
import { execFile, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { ConfigurationError } from '../../functions/service/errors.ts';
import {
  type LaunchedSandbox,
  type SandboxDescription,
  type SandboxObserver,
  sandboxDescriptionSchema,
} from './launcher.ts';

export interface Command {
  command: string;
  args: string[];
  cwd?: string;
  env: NodeJS.ProcessEnv;
}

/** Runs a command as a sandbox. */
export function launchCommand(
  { command, args, cwd, env }: Command,
  observer: SandboxObserver,
): LaunchedSandbox {
  // A process group of its own: Ctrl-C in the terminal is for the runtime, which then stops its tasks in order.
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const kill = () => signalGroup(child.pid, 'SIGKILL');
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => observer.logged(line));
  }
  child.once('spawn', () => observer.started());
  child.once('error', (error) => observer.ended({ notStarted: `${command}: ${error.message}` }));
  child.once('exit', (code, signal) => {
    kill(); // what it left of its process group ends with it
    observer.ended({ exitCode: exitCodeOf(code, signal) });
  });
  return { stop: () => child.kill('SIGTERM'), kill };
}

const exitCodeOf = (code: number | null, signal: NodeJS.Signals | null) =>
  code ?? 128 + (signal ? constants.signals[signal] : 0);

/** Sends a signal to a process group, or to its leader alone; it may have ended. */
export function signalGroup(leader: number | undefined, signal: NodeJS.Signals, leaderOnly = false): void {
  if (!leader) return;
  try {
    process.kill(leaderOnly ? leader : -leader, signal);
  } catch (error) {
    // It has ended already; macOS says so with EPERM.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

/** Runs a command that starts the sandbox program with `--describe`. @throws ConfigurationError */
export async function describeByCommand({ command, args, cwd, env }: Command): Promise<SandboxDescription> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, env }).catch((error) => {
    const said = String(error.stderr || error.message).trim();
    throw new ConfigurationError(`The sandbox program does not run here: ${said}`, { cause: error });
  });
  return sandboxDescriptionSchema.parse(JSON.parse(stdout));
}
