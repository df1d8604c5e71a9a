/** Builds the page into web/dist. */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Plugin } from 'vite';
import { freshOutput, noteBuild, ROOT } from './build-inputs.js';

const WEB = path.join(ROOT, 'web');
const DIST = path.join(WEB, 'dist');

/** Builds the page if it is not there or anything that it is made from has changed. */
export async function buildWebIfNeeded(): Promise<void> {
  if (freshOutput('page') && existsSync(path.join(DIST, 'index.html'))) return;
  process.stdout.write('Building the page …\n');
  await buildWeb();
}

export async function buildWeb(): Promise<void> {
  const { build } = await import('vite');
  const begun = Date.now();
  const modules = new Set<string>();
  const recordModules: Plugin = {
    name: 'record-modules',
    generateBundle() {
      // Not those that a plugin makes up, and without what is asked of a file (`?worker`).
      for (const id of this.getModuleIds()) {
        const file = id.split('?', 1)[0] ?? '';
        if (path.isAbsolute(file) && existsSync(file)) modules.add(file);
      }
    },
  };
  await build({
    root: WEB,
    configFile: path.join(WEB, 'vite.config.ts'),
    logLevel: 'error',
    plugins: [recordModules],
  });
  // The page, its settings, and what is copied are no modules, and styles are made of whatever is there.
  noteBuild('page', DIST, [...modules, ...sources(WEB)], begun);
}

/** The files below a folder, and the folders. */
const sources = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).reduce<string[]>(
    (files, entry) => {
      const file = path.join(folder, entry.name);
      if (!entry.isDirectory()) files.push(file);
      else if (!['dist', 'node_modules'].includes(entry.name)) files.push(...sources(file));
      return files;
    },
    [folder],
  );
