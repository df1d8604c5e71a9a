/** When the page is built again: it was before these tests, if need be. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { CACHE, freshOutput } from '../../local/build-inputs.js';
import { findChromium } from './support/chromium.ts';

test.skipIf(!findChromium())('the page depends on all that it was made from, the service’s files too', () => {
  expect(freshOutput('page')).toBe(path.resolve('web/dist'));
  const inputs = Object.keys(JSON.parse(readFileSync(path.join(CACHE, 'page.json'), 'utf8')).inputs);
  const below = (folder: string) => inputs.filter((file) => file.startsWith(path.resolve(folder) + path.sep));
  for (const folder of ['functions', 'web/src', 'web/public', 'node_modules/react']) {
    expect(below(folder)).not.toEqual([]);
  }
  for (const file of ['web/index.html', 'web/vite.config.ts', 'package-lock.json'])
    expect(inputs).toContain(path.resolve(file));
});
