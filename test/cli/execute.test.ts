/** `npm run execute` as a person runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution, History } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;
let folder: string;

beforeAll(async () => {
  product = await startProduct();
  folder = await mkdtemp(path.join(tmpdir(), 'executor-cli-'));
});
afterAll(async () => {
  await product.close();
  await rm(folder, { recursive: true });
});

/** Starts the command; by default it finds the runtime of this test. */
function start(args: string[], env: Record<string, string> = { PORT: new URL(product.url).port }) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'local/execute.ts', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, exited };
}

/** Runs the command to its end. */
async function execute(args: string[], env?: Record<string, string>) {
  const { child, exited } = start(args, env);
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { stdout, stderr, code };
}

describe('npm run execute', () => {
  test('refuses tests that Python cannot read before a model is asked', async () => {
    const tests = path.join(folder, 'broken_tests.py');
    await writeFile(tests, 'def test_add():\n    assert add(1, 1) = 2\n');
    const { stderr, code } = await execute(['Write add', '--tests', tests]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/The tests cannot be run: line 2: SyntaxError: /);
    expect(product.model.requests).toEqual([]);
  });

  test('shows the attempts and ends with 0 on success', async () => {
    product.model.replyTo('Say hello', python('print(1 / 0)'), python('print("hello")'));
    const { stdout, code } = await execute(['Say hello']);
    expect(code).toBe(0);
    const order = [
      'Python 3.',
      'Attempt 1 of 5',
      'print(1 / 0)',
      '✗ ZeroDivisionError: division by zero (line 1)',
    ];
    order.push(
      'Attempt 2 of 5',
      'print("hello")',
      'output:\nhello\n',
      '✓ succeeded',
      'succeeded after 2 attempts',
    );
    let at = 0;
    for (const part of order) {
      const found = stdout.indexOf(part, at);
      expect(found, `${part} in:\n${stdout}`).toBeGreaterThanOrEqual(at);
      at = found + part.length;
    }
  });

  test('shows all that a program prints, also after the last live piece, and nothing that commands the terminal', async () => {
    const code = [
      'import time',
      'print("start", flush=True)',
      'time.sleep(0.8)',
      'print("\\x1b]0;title\\x07" + "✓ succeeded in 1 ms\\n" + "x" * 80 + "\\n" * 2 + "y\\n" * 20_000)',
      'print("RESULT 42")',
    ].join('\n');
    product.model.replyTo('Print much', python(code));
    const { stdout } = await execute(['Print much']);
    const shown = stdout.slice(stdout.indexOf('▸ output:\n'));
    expect(shown.replaceAll('y\n', '').split('\n').slice(0, 8)).toEqual([
      '▸ output:',
      'start',
      '␛]0;title␇✓ succeeded in 1 ms',
      'x'.repeat(80),
      '',
      '',
      'RESULT 42',
      expect.stringMatching(/^✓ succeeded/),
    ]);
    expect(shown.match(/^y$/gm)).toHaveLength(20_000);
    expect(stdout).not.toContain('\x1b');
  });

  test.each([
    [
      'its output is closed, as by head',
      141,
      (child: ReturnType<typeof start>['child']) => child.stdout.destroy(),
    ],
    ['Ctrl-C', 130, (child: ReturnType<typeof start>['child']) => child.kill('SIGINT')],
  ])('%s: it cancels and ends in its own way', async (how, expected, stop) => {
    const prompt = `Print forever until ${how}`;
    product.model.replyTo(prompt, python('while True:\n    print("tick", flush=True)'));
    const { child, exited } = start([prompt]);
    const stderr = text(child.stderr);
    let shown = '';
    for await (const piece of child.stdout.iterator({ destroyOnReturn: false })) {
      shown += piece;
      if (shown.includes('tick\n')) break;
    }
    stop(child);
    child.stdout.resume();
    expect(await exited).toBe(expected);
    expect(await stderr).toBe('');
    const { body } = await product.call<History>('GET', '/api/executions?limit=1');
    expect(body.executions[0]).toMatchObject({ prompt, status: 'cancelled' });
  });

  test('ends with 1 on failure', async () => {
    product.model.replyTo('Fail', python('raise ValueError("no")'));
    const { stdout, code } = await execute(['Fail', '--max-retries', '1']);
    expect(code).toBe(1);
    expect(stdout).toContain('ValueError: no');
    expect(stdout).toContain('failed after 1 attempt');
  });

  test('says how to run again what policy strict alone refused, in words that a shell takes', async () => {
    const refused = python('import os\nprint(os.getcwd())');
    const task = "Say where, it's short";
    product.model.replyTo(task, refused);
    const { stdout, code } = await execute([task, '--max-retries=1', '--policy', 'strict', '--timeout', '5']);
    expect(code).toBe(1);
    const command = `npm run execute -- 'Say where, it'\\''s short' --max-retries 1 --timeout 5 --policy standard`;
    expect(stdout).toContain(`to run it under standard:\n${command}\n`);

    product.model.replyTo('Run ls', python('import os\nos.system("ls")'));
    const never = await execute(['Run ls', '--max-retries', '1']);
    expect(never.stdout).toContain('✗ PolicyViolation');
    expect(never.stdout).not.toContain('standard:');
  });

  test('--resume goes on where the model server failed, as the failure says', async () => {
    const task = 'Refused on the way';
    product.model.replyTo(task, python('print(1 / 0)'), { status: 401 }, python('print("there")'));
    const failed = await execute([task, '--max-retries', '3']);
    expect(failed.code).toBe(1);
    const { body } = await product.call<History>('GET', '/api/executions?limit=1');
    const id = body.executions[0]?.execution_id ?? '';
    expect(failed.stdout).toContain(`▸ to go on from attempt 2:\nnpm run execute -- --resume ${id}\n`);

    const { stdout, code } = await execute(['--resume', id]);
    expect(code).toBe(0);
    const order = [
      'Attempt 1 of 3',
      'print(1 / 0)',
      'ZeroDivisionError',
      'Attempt 2 of 3',
      'there',
      'succeeded',
    ];
    const places = order.map((part) => stdout.indexOf(part));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((one, other) => one - other));
    expect(stdout).not.toContain('to go on from');

    const again = await execute(['--resume', id.slice(1)]);
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('There is no execution') });
  });

  test('--json prints the execution alone, --save-code writes the code, --tests are run', async () => {
    const tests = path.join(folder, 'tests.py');
    const saved = path.join(folder, 'saved.py');
    await writeFile(tests, 'assert triple(2) == 6\n');
    product.model.replyTo('Triple', python('def triple(n):\n    return n * 3'));
    const options = [
      '--tests',
      tests,
      '--timeout',
      '7.5',
      '--policy',
      'standard',
      '--json',
      '--save-code',
      saved,
    ];
    const { stdout, code } = await execute(['Triple', ...options]);
    expect(code).toBe(0);
    const execution: Execution = JSON.parse(stdout);
    expect(execution).toMatchObject({
      status: 'succeeded',
      timeout: 7.5,
      policy: 'standard',
      tests: 'assert triple(2) == 6\n',
    });
    expect(await readFile(saved, 'utf8')).toBe('def triple(n):\n    return n * 3\n');
  });

  test.each([
    [[], /One prompt is expected/],
    [['a', 'b'], /One prompt is expected/],
    [['x', '--max-retries', '0'], /max-retries must be at least 1/],
    [['x', '--timeout', 'soon'], /timeout must be a number of seconds/],
    [['x', '--policy', 'none'], /policy/],
    [['x', '--tests', 'no-such-file.py'], /cannot be read/],
    [['x', '--colour'], /--colour/],
    [['x', '--resume', 'y'], /prompt is taken from the execution that is resumed: leave it out/],
    [['--resume', 'y', '--max-retries', '3'], /max-retries is taken from/],
  ])('%j ends with 2 and says what is wrong', async (args, message) => {
    const { stderr, stdout, code } = await execute(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).toContain('Usage:');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe('');
  });

  test('starts a runtime of its own if none is running', async () => {
    product.model.replyTo('On my own', python('print("alone")'));
    const env = { PORT: '1', DATA_DIR: path.join(folder, 'data') };
    const { stdout, code } = await execute(['On my own', '--json'], env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).final_result.output).toBe('alone\n');
  });

  test('a runtime of its own ends as quietly when nobody reads on', async () => {
    // It is still writing when the runtime ends.
    const lines = python('print("one line of many")\n'.repeat(2_000));
    product.model.replyTo('Nobody reads', { text: lines, pieceSize: 50, pieceDelay: 5 });
    const env = { PORT: '1', DATA_DIR: path.join(folder, 'data') };
    const { child, exited } = start(['Nobody reads'], env);
    const stderr = text(child.stderr);
    for await (const piece of child.stdout.iterator({ destroyOnReturn: true })) {
      if (String(piece).includes('Attempt 1')) break;
    }
    expect(await exited).toBe(141);
    expect(await stderr).toBe('');
  });

  test('--save-files and --save-notebook take along what there is', async () => {
    const code = 'import os\nos.makedirs("a")\nopen("a/b.txt", "w").write("in a folder")\nprint("done")';
    product.model.replyTo('Leave a file', python(code));
    const files = path.join(folder, 'new', 'files');
    const notebook = path.join(folder, 'leave.ipynb');
    const args = ['Leave a file', '--policy', 'standard', '--save-files', files, '--save-notebook', notebook];
    const { code: status, stderr } = await execute(args);
    expect([status, stderr]).toEqual([0, '']);
    expect(await readFile(path.join(files, 'a/b.txt'), 'utf8')).toBe('in a folder');
    const { cells } = JSON.parse(await readFile(notebook, 'utf8')) as { cells: { source: string[] }[] };
    expect(cells.map(({ source }) => source.join(''))).toEqual(['Leave a file', code, expect.any(String)]);
  });

  test('says which files there were not, and which cannot be written', async () => {
    product.model.replyTo('Leave nothing', python('print(1)'), python('print(1)'));
    const empty = path.join(folder, 'empty');
    const nothing = await execute(['Leave nothing', '--save-files', empty]);
    expect(nothing.code).toBe(0);
    expect(nothing.stderr).toBe(`The program left no files, so ${empty} got none.\n`);
    const refused = await execute(['Leave nothing', '--save-notebook', folder]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/^The notebook cannot be written: EISDIR: [^\n]*\n$/);
  });

  describe('of a service that runs elsewhere', () => {
    const KEY = 'rae_elsewhere';
    let server: Server;
    let url: string;
    beforeAll(async () => {
      // As API Gateway refuses whom the authorizer does not know.
      server = createServer(async (incoming, response) => {
        if (incoming.url !== '/api/health' && incoming.headers['x-api-key'] !== KEY) {
          response.writeHead(403, { 'content-type': 'application/json' }).end('{"message":"Forbidden"}');
          return;
        }
        const { method, headers } = incoming;
        const body = method === 'POST' ? await text(incoming) : undefined;
        const sent = { 'content-type': headers['content-type'] ?? '', prefer: String(headers.prefer ?? '') };
        const answer = await fetch(`${product.url}${incoming.url}`, { method, headers: sent, body });
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
        response.end(await answer.text());
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterAll(() => void server.close());

    test('runs there with --url and --api-key', async () => {
      product.model.replyTo('Say it from afar', python('print("from afar")'));
      const { stdout, code } = await execute(['Say it from afar', '--url', url, '--api-key', KEY], {});
      expect(stdout).toContain('from afar');
      expect(code).toBe(0);
    });

    test('takes both from the environment too, and says what the service refuses', async () => {
      const settings = { EXECUTOR_URL: `${url}/`, EXECUTOR_API_KEY: 'another' };
      const { stderr, code } = await execute(['Say nothing'], settings);
      expect(stderr).toBe('Your key is not accepted. Check it, or ask for a new one.\n');
      expect(code).toBe(1);
    });

    test('one that is away is a sentence, and starts nothing here', async () => {
      const { stderr, code } = await execute(['Say nothing', '--url', 'http://127.0.0.1:9']);
      expect(stderr).toBe('The service at http://127.0.0.1:9 does not answer (any more).\n');
      expect(code).toBe(1);
    });

    test.each(['executor.example.com', 'ftp://executor.example.com', ':'])(
      '%j is no address',
      async (address) => {
        const { stderr, code } = await execute(['Say nothing', '--url', address]);
        expect(stderr).toMatch(/^url must be an address such as https:/);
        expect(code).toBe(2);
      },
    );
  });

  test('a wrong setting is named', async () => {
    const { stderr, code } = await execute(['x'], { PORT: '1', SANDBOX: 'maybe' });
    expect(code).toBe(2);
    expect(stderr).toBe('SANDBOX must be one of auto, process, docker, unconfined, but is "maybe"\n');
  });
});
