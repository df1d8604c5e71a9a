/** Tools from PyPI that a suite needs: pinned, in a virtual environment that is kept for the next time. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { findPython } from '../../local/python.ts';

const CACHE = path.join(import.meta.dirname, '../../node_modules/.cache');

/** Installs what is missing of `packages` into the environment `name`; gives its folder of commands. */
export async function installTools(name: string, packages: readonly string[]): Promise<string> {
  const venv = path.join(CACHE, name);
  const commands = path.join(venv, 'bin');
  const done = path.join(venv, 'installed.txt');
  if (existsSync(done) && (await readFile(done, 'utf8')) === packages.join('\n')) return commands;
  const run = promisify(execFile);
  await run(await findPython(), ['-m', 'venv', '--clear', venv]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  await run(path.join(commands, 'python3'), [...pip, ...packages]);
  await writeFile(done, packages.join('\n'));
  return commands;
}
