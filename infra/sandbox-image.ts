/** What programs find in the sandbox image, read from the files that it is built from. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './bundle.ts';

const read = (file: string) => readFileSync(join(root, 'sandbox-image', file), 'utf8');

/** Version of its Python, such as `3.13.9`. */
export function imagePython(): string {
  const [, version] = /^ARG BASE_IMAGE=\S+python:(\d+\.\d+\.\d+)/m.exec(read('Dockerfile')) ?? [];
  if (!version) throw new Error('sandbox-image/Dockerfile does not name the version of its Python.');
  return version;
}

/** Its packages as pins, such as `numpy==2.4.6`. */
export const imagePackages = (): string[] => read('requirements.txt').match(/^[a-z][\w-]*==[\w.]+/gm) ?? [];
