/** How `npm start` runs: bundled once, and again when anything has changed that the bundle was made from. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CACHE, freshOutput, noteBuild } from '../../local/build-inputs.js';

const BUNDLED = path.resolve('local/bundled.js');
const run = promisify(execFile);

let folder: string;
const write = (name: string, text: string) => fs.writeFileSync(path.join(folder, name), text);

beforeAll(() => {
  folder = fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), 'bundled-')));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

describe('a program', () => {
  /** What it prints, run with the arguments. */
  const start = async (...args: string[]) => {
    const options = ['--enable-source-maps', BUNDLED, path.join(folder, 'program.ts'), ...args];
    return (await run(process.execPath, options)).stdout.trim();
  };
  const bundles = () => fs.readdirSync(CACHE).filter((name) => name.startsWith('program-'));

  beforeAll(() => {
    write('part.ts', 'export const part: string = "one";\n');
    write(
      'program.ts',
      `import { part } from './part.ts';
const kind: string = process.argv[2] ?? 'a';
if (kind === 'fail') throw new Error('as asked');
if (kind === 'where') console.log(import.meta.url, import.meta.dirname);
else console.log(part, (await import(\`./kinds/\${kind}.ts\`)).name, process.argv.slice(2).join());
`,
    );
    fs.mkdirSync(path.join(folder, 'kinds'));
    write('kinds/a.ts', 'export const name = "A";\n');
  });
  afterAll(() => {
    for (const name of bundles()) fs.rmSync(path.join(CACHE, name), { recursive: true });
  });

  test('gets its arguments', async () => {
    expect(await start('a', '--b')).toBe('one A a,--b');
  });

  test('is bundled once', async () => {
    await start();
    const before = bundles();
    expect(before).toHaveLength(2);
    await start();
    expect(bundles()).toEqual(before);
  });

  test('knows its files by their own addresses', async () => {
    expect(await start('where')).toBe(`file://${folder}/program.ts ${folder}`);
  });

  test('is bundled again when a part has changed, whatever the time and the size of it say', async () => {
    await start();
    const file = path.join(folder, 'part.ts');
    const { atime, mtime } = fs.statSync(file);
    write('part.ts', 'export const part: string = "two";\n');
    fs.utimesSync(file, atime, mtime);
    expect(await start()).toBe('two A');
    expect(bundles()).toHaveLength(2);
  });

  test('finds what is new in a folder that it imports from', async () => {
    await start();
    write('kinds/b.ts', 'export const name = "B";\n');
    expect(await start('b')).toBe('two B b');
  });

  test('has stacks that name its sources', async () => {
    await expect(start('fail')).rejects.toMatchObject({
      stderr: expect.stringMatching(/as asked\n\s+at .*program\.ts:3:\d+/),
    });
  });
});

describe('a build', () => {
  let output: string;
  beforeEach(() => {
    output = path.join(folder, 'output');
    write('output', 'made');
    write('input', 'x');
    fs.mkdirSync(path.join(folder, 'inputs'), { recursive: true });
  });
  afterAll(() => fs.rmSync(path.join(CACHE, 'a-test.json')));
  const note = (begun = Date.now() + 1000) =>
    noteBuild('a-test', output, [path.join(folder, 'input'), path.join(folder, 'inputs')], begun);

  test('is fresh as long as nothing has changed', () => {
    expect(freshOutput('never-made')).toBeUndefined();
    note();
    expect(freshOutput('a-test')).toBe(output);
    expect(note()).toBe(output);
  });

  test.each<[string, () => void]>([
    ['an input has changed', () => write('input', 'y')],
    ['an input has gone', () => fs.rmSync(path.join(folder, 'input'))],
    ['a folder of inputs has a new one', () => write('inputs/new', '')],
    ['what was made has gone', () => fs.rmSync(output)],
    ['another Node made it', () => edit((text) => text.replace(process.version, 'v20.0.0'))],
    ['the note was cut off', () => edit((text) => text.slice(0, -1))],
  ])('is not when %s', (_, change) => {
    note();
    change();
    expect(freshOutput('a-test')).toBeUndefined();
  });

  test('is not when an input has changed while it was made', () => {
    note(Date.now() - 60_000);
    expect(freshOutput('a-test')).toBeUndefined();
  });

  test('stays fresh when something is made beside its inputs', () => {
    note();
    fs.mkdirSync(path.join(folder, 'inputs/dist'));
    expect(freshOutput('a-test')).toBe(output);
  });

  test.each(['package.json', 'package-lock.json', 'node_modules/.package-lock.json'])(
    'depends on %s',
    (file) => {
      note();
      const { inputs } = JSON.parse(fs.readFileSync(path.join(CACHE, 'a-test.json'), 'utf8'));
      expect(inputs[path.resolve(file)]).toMatch(/^\d+ \d+ \d+$/);
    },
  );

  function edit(change: (text: string) => string): void {
    const file = path.join(CACHE, 'a-test.json');
    fs.writeFileSync(file, change(fs.readFileSync(file, 'utf8')));
  }
});
