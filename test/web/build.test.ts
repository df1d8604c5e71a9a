/** What is built: small at first, all our own, nothing inline. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const WEB = fileURLToPath(new URL('../../web', import.meta.url));
/** Bytes of compressed script before the editor. */
const BUDGET = 150_000;

let dist: string;
let html: string;

beforeAll(async () => {
  dist = await mkdtemp(path.join(tmpdir(), 'executor-web-'));
  await build({
    root: WEB,
    configFile: path.join(WEB, 'vite.config.ts'),
    logLevel: 'error',
    build: { outDir: dist, emptyOutDir: true },
  });
  html = await readFile(path.join(dist, 'index.html'), 'utf8');
}, 120_000);
afterAll(() => rm(dist, { recursive: true }));

const read = (file: string) => readFile(path.join(dist, file));

/** The scripts of the first load: those of the page and all that these import statically. */
async function firstScripts(): Promise<Map<string, Buffer>> {
  const scripts = new Map<string, Buffer>();
  const add = async (file: string): Promise<void> => {
    if (scripts.has(file)) return;
    const script = await read(file);
    scripts.set(file, script);
    const imports = script.toString().matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g);
    for (const [, name = ''] of imports) await add(`assets/${name}`);
  };
  for (const [, file = ''] of html.matchAll(/(?:src|href)="\/([^"]+\.js)"/g)) await add(file);
  return scripts;
}

describe('the build', () => {
  test(`loads at most ${BUDGET / 1000} KB of compressed script before the editor`, async () => {
    const scripts = await firstScripts();
    const sizes = [...scripts].map(([file, script]) => [file, gzipSync(script).length] as const);
    const total = sizes.reduce((sum, [, size]) => sum + size, 0);
    expect(total, JSON.stringify(sizes)).toBeLessThanOrEqual(BUDGET);
    expect(total).toBeGreaterThan(50_000);
    expect([...scripts.keys()].some((file) => file.includes('monaco'))).toBe(false);
    expect((await readdir(path.join(dist, 'assets'))).some((file) => /^monaco-.*\.js$/.test(file))).toBe(
      true,
    );
  });

  test('has no inline script or style, and nothing from elsewhere', () => {
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)/);
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=/);
    expect(html).not.toMatch(/(?:src|href)="(?!\/)/);
  });

  test('is for production', async () => {
    const [entry] = [...(await firstScripts())].filter(([file]) => file.includes('index-'));
    expect(entry?.[1].toString()).not.toContain('React keys must be passed directly');
  });

  test('tells the service worker what the first load consists of', async () => {
    const worker = (await read('service-worker.js')).toString();
    const files = JSON.parse(/FIRST_LOAD=(\[.*?\])/.exec(worker)?.[1] ?? '[]') as string[];
    const scripts = [...(await firstScripts()).keys()].map((file) => `/${file}`);
    expect(files).toEqual(expect.arrayContaining(scripts));
    expect(files.some((file) => file.endsWith('.css'))).toBe(true);
    await Promise.all(files.map(read));
    // A classic script: registered without type: module.
    expect(worker).not.toMatch(/^\s*(import|export)\b/m);
  });
});
