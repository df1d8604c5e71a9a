/** Bundles the handlers of the functions: all in one run of esbuild, once a process, however many environments there are. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

export const root = join(import.meta.dirname, '..');

/** Gives the CommonJS packages inside a bundle the `require` that an ES module has not. */
const BANNER = `import{createRequire}from'node:module';const require=createRequire(import.meta.url);`;

const bundled = new Map<string, string>();

/**
 * The folder of each handler's bundle, which holds `index.mjs` and its source map. `handlers` are files below
 * functions/ without their ending, such as `api/execute`.
 */
export function bundle<H extends string>(handlers: readonly H[]): Record<H, string> {
  const missing = handlers.filter((handler) => !bundled.has(handler));
  if (missing.length > 0) {
    const outdir = mkdtempSync(join(tmpdir(), 'functions-'));
    process.once('exit', () => rmSync(outdir, { recursive: true, force: true }));
    buildSync({
      absWorkingDir: root,
      entryPoints: missing.map((handler) => ({
        in: `functions/${handler}.ts`,
        out: `${handler}/index`,
      })),
      outdir,
      bundle: true,
      minify: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      outExtension: { '.js': '.mjs' },
      mainFields: ['module', 'main'],
      banner: { js: BANNER },
      sourcemap: true,
      sourcesContent: false,
      legalComments: 'none',
    });
    for (const handler of missing) bundled.set(handler, join(outdir, handler));
  }
  return Object.fromEntries(handlers.map((handler) => [handler, bundled.get(handler)])) as Record<H, string>;
}
