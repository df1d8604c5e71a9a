// @ts-check
/**
 * Remembers what a build was made from, so that it is made again when any of that has changed: the page, and the bundle
 * of `npm start`. JavaScript, as it is read before anything is built.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const CACHE = path.join(ROOT, 'node_modules/.cache/recursive-ai-executor');
/** What the installed packages are. */
const INSTALLED = ['package.json', 'package-lock.json', 'node_modules/.package-lock.json'];
/** Folders that are made from others. */
const MADE = ['dist', 'node_modules', '__pycache__'];

/**
 * @typedef {object} Build
 * @property {string} node - version of Node that made it
 * @property {string} output - file or folder that was made
 * @property {Record<string, string>} inputs - fingerprint of each file or folder it was made from
 */

/**
 * What was made, if all that it was made from is as it was.
 * @param {string} name - of the build
 * @returns {string | undefined}
 */
export function freshOutput(name) {
  const build = read(name);
  if (build?.node !== process.version || fingerprint(build.output) === '') return undefined;
  const isFresh = Object.entries(build.inputs).every(([file, known]) => fingerprint(file) === known);
  return isFresh ? build.output : undefined;
}

/**
 * Notes what a build was made from; what it has changed while it was made it is not fresh. Gives the output of the build of
 * that name before.
 * @param {string} name
 * @param {string} output
 * @param {string[]} files - absolute paths of files, and of folders in which a new file would be an input as well
 * @param {number} begun - when the build began, in milliseconds since the epoch
 * @returns {string | undefined}
 */
export function noteBuild(name, output, files, begun) {
  const before = read(name)?.output;
  const installed = INSTALLED.map((file) => path.join(ROOT, file));
  /** @type {Record<string, string>} */
  const inputs = {};
  for (const file of [...files, ...installed]) {
    const changed = statSync(file, { throwIfNoEntry: false });
    const isOld = changed === undefined || changed.isDirectory() || changed.ctimeMs < begun;
    inputs[file] = isOld ? fingerprint(file) : 'changed since';
  }
  /** @type {Build} */
  const build = { node: process.version, output, inputs };
  mkdirSync(CACHE, { recursive: true });
  const incoming = path.join(CACHE, `${name}-${process.pid}.json`);
  writeFileSync(incoming, JSON.stringify(build));
  renameSync(incoming, path.join(CACHE, `${name}.json`));
  return before;
}

/**
 * Another one whenever the file, or the list of files in the folder, has changed; empty if there is none. The time of a
 * file's last change (ctime) can be set by nobody.
 * @param {string} file
 */
function fingerprint(file) {
  const status = statSync(file, { bigint: true, throwIfNoEntry: false });
  if (!status) return '';
  if (!status.isDirectory()) return `${status.ino} ${status.size} ${status.ctimeNs}`;
  return readdirSync(file)
    .filter((entry) => !MADE.includes(entry))
    .sort()
    .join('/');
}

/**
 * @param {string} name
 * @returns {Build | undefined}
 */
function read(name) {
  try {
    return JSON.parse(readFileSync(path.join(CACHE, `${name}.json`), 'utf8'));
  } catch {
    // There is none yet, or it was cut off: then it is made again.
    return undefined;
  }
}
