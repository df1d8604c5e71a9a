/** Builds the page before the tests, as npm start does. Without Chromium there is nothing to do but to say so. */
import { buildWebIfNeeded } from '../../../local/build-web.ts';
import { findChromium } from './chromium.ts';

export default async function prepare(): Promise<void> {
  if (findChromium()) return buildWebIfNeeded();
  process.stdout.write(
    'There is no Chromium: browser tests are skipped. Install it, or set CHROMIUM_PATH.\n',
  );
}
