/** What programs find in the sandbox image, read from the files that it is built from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const read = (file: string) => readFileSync(join(import.meta.dirname, '../sandbox-image', file), 'utf8');

/** Version of its Python, such as `3.13.9`. */
export function imagePython(): string {
  const [, version] = /^ARG BASE_IMAGE=\S+python:(\d+\.\d+\.\d+)/m.exec(read('Dockerfile')) ?? [];
  if (!version) throw new Error('sandbox-image/Dockerfile does not name the version of its Python.');
  return version;
}

/** Names of the packages that it is made to offer, the most used first. */
export const offeredPackages = (): string[] => read('requirements.in').match(/^[a-z][\w-]*$/gm) ?? [];

/** Packages, named or pinned: those that the image is made to offer by their use, then the others as they come. */
export function mostUsedFirst(packages: string[]): string[] {
  const offered = offeredPackages();
  const rank = (name = '') => (offered.includes(name) ? offered.indexOf(name) : offered.length);
  return packages.toSorted((a, b) => rank(a.split('==')[0]) - rank(b.split('==')[0]));
}

/** Its packages as pins, such as `numpy==2.4.6`, the most used first. */
export const imagePackages = (): string[] =>
  mostUsedFirst(read('requirements.txt').match(/^[a-z][\w-]*==[\w.]+/gm) ?? []);
