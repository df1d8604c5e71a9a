/** `npm run execute` as a person runs it. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/core/execution.ts';
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

/** Runs the command; by default it finds the runtime of this test. */
async function execute(args: string[], env: Record<string, string> = { PORT: new URL(product.url).port }) {
  const child = spawn(process.execPath, ['--import', 'tsx', 'local/execute.ts', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
  return { stdout, stderr, code };
}

describe('npm run execute', () => {
  test('shows the attempts and ends with 0 on success', async () => {
    product.model.replyTo('Say hello', python('print(1 / 0)'), python('print("hello")'));
    const { stdout, code } = await execute(['Say hello']);
    expect(code).toBe(0);
    const order = ['Attempt 1 of 5', 'print(1 / 0)', '✗ ZeroDivisionError: division by zero (line 1)'];
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

  test('ends with 1 on failure', async () => {
    product.model.replyTo('Fail', python('raise ValueError("no")'));
    const { stdout, code } = await execute(['Fail', '--max-retries', '1']);
    expect(code).toBe(1);
    expect(stdout).toContain('ValueError: no');
    expect(stdout).toContain('failed after 1 attempt');
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

  test('a wrong setting is named', async () => {
    const { stderr, code } = await execute(['x'], { PORT: '1', SANDBOX: 'maybe' });
    expect(code).toBe(2);
    expect(stderr).toBe('SANDBOX must be one of auto, process, docker, unconfined, but is "maybe"\n');
  });
});
