/** Builds the page into web/dist if any of its sources is newer than what is there. */
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WEB = path.join(ROOT, 'web');
/** What the page is made from beside web/ itself. */
const OTHER_SOURCES = ['package-lock.json', 'functions/execution/execution.ts', 'functions/events/events.ts'];

export async function buildWeb(): Promise<void> {
  const built = modified(path.join(WEB, 'dist/index.html'));
  const sources = readdirSync(WEB, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/[\\/](dist|node_modules)([\\/]|$)/.test(`${entry.parentPath}/`))
    .map((entry) => path.join(entry.parentPath, entry.name));
  const newest = Math.max(
    ...[...sources, ...OTHER_SOURCES.map((file) => path.join(ROOT, file))].map(modified),
  );
  if (built >= newest) return;
  process.stdout.write('Building the page …\n');
  const { build } = await import('vite');
  await build({ root: WEB, configFile: path.join(WEB, 'vite.config.ts'), logLevel: 'error' });
}

/** Milliseconds since the epoch; 0 if there is no such file. */
const modified = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
