/** What is taken along of an execution: its notebook and its archive. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findPython } from '../../local/python.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;
let folder: string;

beforeAll(async () => {
  product = await startProduct();
  folder = await mkdtemp(path.join(tmpdir(), 'executor-along-'));
});
afterAll(async () => {
  await product.close();
  await rm(folder, { recursive: true });
});

/** A program that prints two lines and leaves a picture, a drawing, and twenty files in all. */
const PROGRAM = `import struct, zlib, os
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
png += chunk(b"IDAT", zlib.compress(b"\\0\\0")) + chunk(b"IEND", b"")
os.makedirs("sheets/売上")
open("plot.png", "wb").write(png)
open("drawing.svg", "w").write("<svg xmlns='http://www.w3.org/2000/svg'/>\\n")
for number in range(18):
    open(f"sheets/売上/{number}.csv", "w").write("a,b\\n" * number)
print("first\\n\\x1b[32msecond\\x1b[0m")`;

interface Notebook {
  nbformat: number;
  nbformat_minor: number;
  metadata: { title: string };
  cells: {
    cell_type: string;
    id: string;
    source: string[];
    execution_count?: number | null;
    outputs?: { output_type: string; data?: Record<string, unknown>; [field: string]: unknown }[];
  }[];
}

/** The file that a route redirects to. */
async function download(id: string, what: 'notebook' | 'archive') {
  const redirect = await product.call('GET', `/api/executions/${id}/${what}`);
  expect(redirect.status).toBe(302);
  const file = await fetch(new URL(redirect.headers.get('location') ?? '', product.url));
  expect(file.status).toBe(200);
  return { bytes: Buffer.from(await file.arrayBuffer()), headers: file.headers };
}

async function notebookOf(id: string): Promise<Notebook> {
  const { bytes, headers } = await download(id, 'notebook');
  expect(headers.get('content-disposition')).toMatch(/^attachment; filename="execution-[\w-]{8}\.ipynb"$/);
  await validate(bytes);
  return JSON.parse(bytes.toString());
}

/** By Jupyter's own nbformat, where NBFORMAT_PYTHON is a Python that has it. */
async function validate(notebook: Buffer): Promise<void> {
  const command = process.env.NBFORMAT_PYTHON;
  if (!command) return;
  const file = path.join(folder, 'validated.ipynb');
  await writeFile(file, notebook);
  const script = `import nbformat, sys; nbformat.validate(nbformat.read(sys.argv[1], as_version=4))`;
  await promisify(execFile)(command, ['-W', 'error', '-c', script, file]);
}

/** What Python finds in a ZIP file, which it checks too. */
async function unzip(archive: Buffer): Promise<Record<string, string>> {
  const file = path.join(folder, 'archive.zip');
  await writeFile(file, archive);
  const script = `import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    print(json.dumps({name: archive.read(name).decode("latin-1") for name in archive.namelist()}))`;
  const { stdout } = await promisify(execFile)(await findPython(), ['-c', script, file]);
  return JSON.parse(stdout);
}

async function run(code: string | string[], request: object = {}) {
  const prompt = `# Leave files\n\nand "print" <b>two</b> lines, ${Math.random()}`;
  product.model.replyTo(prompt, ...[code].flat().map(python));
  return { prompt, execution: await product.run({ prompt, policy: 'standard', ...request }) };
}

describe('a notebook', () => {
  test('has the task, the last program, its output and its pictures', async () => {
    const { prompt, execution } = await run(['print(1 / 0)', PROGRAM]);
    const notebook = await notebookOf(execution.execution_id);
    expect(notebook).toMatchObject({
      nbformat: 4,
      nbformat_minor: 5,
      metadata: {
        kernelspec: { name: 'python3' },
        language_info: { name: 'python' },
        title: '# Leave files',
      },
    });
    const [task, program, files, ...rest] = notebook.cells;
    expect(rest).toEqual([]);
    expect(task?.source.join('')).toBe(prompt);
    expect(program).toMatchObject({ cell_type: 'code', execution_count: 1 });
    expect(program?.source.join('')).toBe(PROGRAM);
    const [output, ...pictures] = program?.outputs ?? [];
    expect(output).toEqual({
      output_type: 'stream',
      name: 'stdout',
      text: ['first\n', '\u001b[32msecond\u001b[0m\n'],
    });
    expect(pictures.map(({ data }) => Object.keys(data ?? {})[0])).toEqual(['image/svg+xml', 'image/png']);
    expect(Buffer.from(String(pictures[1]?.data?.['image/png']), 'base64').subarray(1, 4).toString()).toBe(
      'PNG',
    );
    expect(files?.source.join('')).toContain('- `sheets/売上/17.csv`');
  });

  test('of a failed execution has the error', async () => {
    const { execution } = await run('print("before")\nraise ValueError("what \\ud800 it was")', {
      max_retries: 1,
    });
    const { cells } = await notebookOf(execution.execution_id);
    expect(cells[1]?.outputs).toMatchObject([
      { output_type: 'stream', text: ['before\n'] },
      { output_type: 'error', ename: 'ValueError', evalue: expect.stringContaining('what') },
    ]);
  });

  test('of a program that was not run has no output and no number', async () => {
    const { execution } = await run('print(1', { max_retries: 1 });
    const { cells } = await notebookOf(execution.execution_id);
    expect(cells[1]).toMatchObject({
      cell_type: 'code',
      execution_count: null,
      outputs: [{ output_type: 'error', ename: 'SyntaxError' }],
    });
  });

  test('without a program says why there is none', async () => {
    product.model.replyTo('Write nothing', 'I cannot do that.');
    const { execution_id, error } = await product.run({ prompt: 'Write nothing', max_retries: 1 });
    const { cells } = await notebookOf(execution_id);
    expect(cells.map(({ cell_type }) => cell_type)).toEqual(['markdown', 'markdown']);
    expect(cells[1]?.source.join('')).toBe(`**No program:** ${error}`);
  });
});

describe('an archive', () => {
  test('has the task, the program, its tests, its output and its files', async () => {
    const tests = 'def test_number():\n    assert number == 17\n';
    const { prompt, execution } = await run(PROGRAM, { tests });
    expect(execution.status).toBe('succeeded');
    const { bytes, headers } = await download(execution.execution_id, 'archive');
    expect(headers.get('content-type')).toBe('application/zip');
    const { 'task.md': task, 'files/plot.png': plot, ...entries } = await unzip(bytes);
    expect(task).toMatch(/^# Leave files\n/);
    expect(task).toContain(prompt);
    expect(task).toContain('status: succeeded\nmodel: test-model\nattempts: 1 of 5\n');
    expect(plot).toMatch(/^\x89PNG/);
    expect(Object.keys(entries)).toHaveLength(19 + 3);
    expect(entries).toMatchObject({
      'program.py': `${PROGRAM}\n`.replaceAll('売上', Buffer.from('売上').toString('latin1')),
      'tests.py': tests,
      'output.txt': 'first\n\u001b[32msecond\u001b[0m\n',
      'files/sheets/売上/2.csv': 'a,b\na,b\n',
    });
  });

  test('of an execution without a program has the task alone', async () => {
    product.model.replyTo('Write nothing at all', 'I cannot do that.');
    const { execution_id } = await product.run({ prompt: 'Write nothing at all', max_retries: 1 });
    const { bytes } = await download(execution_id, 'archive');
    expect(Object.keys(await unzip(bytes))).toEqual(['task.md']);
  });
});

describe.each(['notebook', 'archive'] as const)('the %s', (what) => {
  test('of an execution under way is refused until it has ended', async () => {
    const prompt = `Go on for a while ${what}`;
    product.model.replyTo(prompt, python('import time\nwhile True:\n    time.sleep(1)'));
    const execution = await product.start({ prompt, policy: 'standard' });
    const refused = await product.call('GET', `/api/executions/${execution.execution_id}/${what}`);
    expect(refused).toMatchObject({ status: 409, body: { title: 'Not ended' } });
    await product.call('DELETE', `/api/executions/${execution.execution_id}`);
    await download(execution.execution_id, what);
  });

  test('of an unknown execution is unknown', async () => {
    const unknown = await product.call('GET', `/api/executions/nobody/${what}`);
    expect(unknown).toMatchObject({ status: 404, body: { title: 'Unknown execution' } });
  });
});
