/** The processes of this machine, from /proc. */
import { readdirSync, readFileSync } from 'node:fs';

export interface RunningProcess {
  pid: number;
  /** with its arguments */
  command: string;
  /** What it calls itself: `sandbox`, `sandbox-zygote` and `sandbox-attempt` are the parts of a sandbox. */
  name: string;
}

/** The living children of `parent`. */
export function children(parent: number): RunningProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
    .map((pid) => ({
      pid,
      command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' '),
      name: read(`/proc/${pid}/comm`).trim(),
    }));
}

export const descendants = (parent: number): RunningProcess[] =>
  children(parent).flatMap((child) => [child, ...descendants(child.pid)]);

export const isAlive = (pid: number): boolean => parentOf(pid) !== null;

/** null for a process that has ended, also one that waits to be reaped. */
function parentOf(pid: number): number | null {
  const stat = read(`/proc/${pid}/stat`);
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return !parent || state === 'Z' || state === 'X' ? null : Number(parent);
}

/** Empty if the process has ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
