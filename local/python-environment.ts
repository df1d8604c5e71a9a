/**
 * The Python environment with the image's packages, which `npm run packages` makes in the data folder.
 *
 *   DATA_DIR/python/3.13-0f3a9c2b1d4e/   Python's version, and the hash of the requirements that are installed
 *   DATA_DIR/python/.new-4711/           one in the making, by the process of that id; renamed when it is whole
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isAlive } from './is-alive.ts';

/** The image's own pins, by version and hash. */
export const REQUIREMENTS = fileURLToPath(new URL('../sandbox-image/requirements.txt', import.meta.url));

const NAME = /^(3\.\d+\w*)-([0-9a-f]{12})$/;
const IN_THE_MAKING = /^\.new-(\d+)$/;

export interface Environment {
  folder: string;
  python: string;
  /** Whether it has what the requirements ask for today. */
  isCurrent: boolean;
}

export const environmentsFolder = (dataDir: string) => path.join(dataDir, 'python');

/** Where the environment for a Python of this version (`3.13`) belongs. */
export const environmentFolder = (dataDir: string, version: string, requirements = REQUIREMENTS) =>
  path.join(environmentsFolder(dataDir), `${version}-${hashOf(requirements)}`);

export const folderInTheMaking = (dataDir: string) =>
  path.join(environmentsFolder(dataDir), `.new-${process.pid}`);

/** The environment to use: a current one before one of older requirements; null where none works. */
export async function findEnvironment(
  dataDir: string,
  requirements = REQUIREMENTS,
): Promise<Environment | null> {
  const hash = hashOf(requirements);
  const found = names(dataDir).filter((name) => NAME.test(name));
  const environments = found.map((name) => {
    const folder = path.join(environmentsFolder(dataDir), name);
    return { folder, python: path.join(folder, 'bin/python'), isCurrent: name.endsWith(`-${hash}`) };
  });
  for (const environment of environments.sort((a, b) => Number(b.isCurrent) - Number(a.isCurrent))) {
    if (await works(environment)) return environment;
  }
  return null;
}

/** Its Python may have been removed, or replaced by another version, which does not see its packages. */
async function works({ folder, python }: Environment): Promise<boolean> {
  const [, version] = NAME.exec(path.basename(folder)) ?? [];
  return (await pythonVersion(python).catch(() => null)) === version;
}

/** Such as `3.13`; `3.13t` without the global interpreter lock, which needs packages of its own. */
export async function pythonVersion(python: string): Promise<string> {
  const script = 'import sys; print("%d.%d%s" % (*sys.version_info[:2], sys.abiflags))';
  return (await promisify(execFile)(python, ['-c', script])).stdout.trim();
}

/** Removes all environments but `kept` that no process uses, and what broken-off runs have left. */
export function removeOthers(dataDir: string, kept?: string): void {
  for (const name of names(dataDir)) {
    const folder = path.join(environmentsFolder(dataDir), name);
    const [, maker] = IN_THE_MAKING.exec(name) ?? [];
    const isNeeded = maker ? isAlive(Number(maker)) : !NAME.test(name) || isInUse(folder);
    if (folder !== kept && !isNeeded) rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a process runs the Python of an environment in this folder, by the command it was started with. */
export function isInUse(folder: string): boolean {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .some((pid) => read(`/proc/${pid}/cmdline`).startsWith(`${folder}/`));
}

const hashOf = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12);

function names(dataDir: string): string[] {
  try {
    return readdirSync(environmentsFolder(dataDir));
  } catch (error) {
    // Whether the data folder can be one is for whoever opens it to say.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process has ended, or is another user's
  }
}
