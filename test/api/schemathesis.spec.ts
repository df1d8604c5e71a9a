/**
 * Schemathesis, which reads openapi.json, sends the API what it describes and what it does not, and holds the answers to it.
 * https://schemathesis.readthedocs.io
 *
 * SCHEMATHESIS_SEED and SCHEMATHESIS_EXAMPLES (for each operation) choose other requests and more of them.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { routes } from '../../functions/api/routes.ts';
import { python } from '../support/model-server.ts';
import { startProduct } from '../support/product.ts';
import { installTools } from '../support/python-tools.ts';

const PACKAGES = ['schemathesis==4.32.5'];
const { SCHEMATHESIS_SEED: seed = '20261', SCHEMATHESIS_EXAMPLES: examples = '40' } = process.env;
/** What the API does not promise. */
const NOT_PROMISED = [
  // A schema cannot say that a prompt of spaces is none, nor that the tests have to be Python.
  'positive_data_acceptance',
];

interface Case {
  name: string;
  failure: string | null;
}

const folder = await mkdtemp(path.join(tmpdir(), 'executor-api-'));
const product = await startProduct({ queuedExecutions: 1_000 });
afterAll(async () => {
  await product.close();
  await rm(folder, { recursive: true });
});

const program = 'open("number.txt", "w").write("1")\nprint(1)';
product.model.reply(...Array.from({ length: 5_000 }, () => python(program)));

const CASE = /<testcase name="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs;

const { output, cases } = await run();

/** All that Schemathesis printed, and the cases of its JUnit report. */
async function run(): Promise<{ output: string; cases: Case[] }> {
  const commands = await installTools('schemathesis', PACKAGES);
  const report = path.join(folder, 'junit.xml');
  const args = ['run', `${product.url}/api/openapi.json`, '--no-color', '--seed', seed, '-n', examples];
  args.push('--exclude-checks', NOT_PROMISED.join(','), '--report', 'junit', '--report-junit-path', report);
  const output = await new Promise<string>((resolve) => {
    execFile(
      path.join(commands, 'schemathesis'),
      args,
      { cwd: folder, maxBuffer: 100 * 2 ** 20 },
      (_, stdout, stderr) => resolve(stdout + stderr),
    );
  });
  const xml = await readFile(report, 'utf8').catch(() => {
    throw new Error(`Schemathesis made no report:\n${output}`);
  });
  return { output, cases: [...xml.matchAll(CASE)].map(toCase) };
}

function toCase([, name = '', content = '']: string[]): Case {
  return { name: plainText(name), failure: content.includes('<failure') ? plainText(content) : null };
}

function plainText(text: string) {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&');
}

describe(`the API is as it describes itself (seed ${seed})`, () => {
  test.each(cases)('$name', ({ failure }) => {
    expect(failure ?? '').toBe('');
  });

  test('every route was tried, also of executions that there are', () => {
    const tried = cases.map(({ name }) => name);
    expect(tried).toEqual(
      expect.arrayContaining(
        routes
          .filter(({ handler }) => handler !== 'get-openapi')
          .map(({ method, path }) => `${method} ${path.replace('+}', '}')}`),
      ),
    );
    const [, generated = '0'] = /(\d+) generated/.exec(output) ?? [];
    expect(Number(generated)).toBeGreaterThan(300);
    process.stdout.write(`${generated} requests of Schemathesis\n`);
    const [, followed = '0'] = /API Links: +(\d+) covered/.exec(output) ?? [];
    expect(Number(followed)).toBeGreaterThan(0);
  });
});
