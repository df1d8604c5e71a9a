// @ts-check
/**
 * `node local/bundled.js local/main.ts …` runs a program, with all that it imports in one file: esbuild makes that once, and
 * again when an input of it has changed. To read and translate a thousand files would take longer than all else of a start.
 */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import module from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { CACHE, freshOutput, noteBuild, ROOT } from './build-inputs.js';

/** Not for a bundle: binaries, and what builds the page. */
const EXTERNAL = ['libsql', 'vite'];

const [, , program = '', ...args] = process.argv;
const entry = path.resolve(program);
// Programs of the same name in different folders are different programs.
const name = `${path.basename(entry, '.ts')}-${createHash('sha256').update(entry).digest('hex').slice(0, 12)}`;
const bundle = freshOutput(name) ?? (await makeBundle());
process.argv.splice(1, 2 + args.length, entry, ...args);
// From Node 22 on.
module.enableCompileCache?.(path.join(CACHE, 'compiled'));
await import(pathToFileURL(path.join(bundle, 'bundle.mjs')).href);

/** @returns {Promise<string>} its folder */
async function makeBundle() {
  const { build } = await import('esbuild');
  const begun = Date.now();
  const folder = path.join(CACHE, `${name}-${begun}-${process.pid}`);
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    outfile: path.join(folder, 'bundle.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: `node${process.versions.node}`,
    minifyWhitespace: true,
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    logLevel: 'error',
    external: EXTERNAL,
    // What packages in CommonJS call.
    banner: {
      js: "import{createRequire as createRequireHere}from'node:module';const require=createRequireHere(import.meta.url);",
    },
    plugins: [{ name: 'keep-addresses', setup: keepAddresses }],
  });
  const inputs = Object.keys(metafile.inputs).map((file) => path.resolve(ROOT, file));
  const own = inputs.filter((file) => !isPackaged(file));
  // An import whose name is put together takes in what is new in its folder.
  const folders = new Set(own.map((file) => path.dirname(file)));
  const makers = ['bundled.js', 'build-inputs.js'].map((file) => path.join(ROOT, 'local', file));
  const before = noteBuild(name, folder, [...inputs, ...folders, ...makers], begun);
  if (before) rmSync(before, { recursive: true, force: true });
  return folder;
}

/** @param {string} file */
function isPackaged(file) {
  return file.includes(`${path.sep}node_modules${path.sep}`);
}

/**
 * Files find others by their own address, which is not that of the bundle.
 * @param {import('esbuild').PluginBuild} build
 */
function keepAddresses(build) {
  build.onLoad({ filter: /\.[jt]s$/ }, ({ path: file }) => {
    if (isPackaged(file)) return undefined;
    const contents = readFileSync(file, 'utf8')
      .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(file).href))
      .replaceAll('import.meta.dirname', JSON.stringify(path.dirname(file)));
    return { contents, loader: file.endsWith('.ts') ? 'ts' : 'js' };
  });
}
