/**
 * npm test: every suite that needs nothing but Node and Python; `npm run test:browser`: those that need Chromium too;
 * `npm run test:store`: those of the store on DynamoDB Local, which comes from npm and needs Java;
 * `npm run test:deploy`: the deployment on an emulator of AWS, which is installed from PyPI.
 * Ends with the sum of what the runners reported, and with exit code 1 if anything failed or a runner did not report.
 * With TEST_REPORT=FILE the sum is written there as JSON.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findPython } from '../local/python.ts';

interface Result {
  ok: boolean;
  passed: number;
  failed: number;
  skipped: number;
}

const folder = mkdtempSync(path.join(tmpdir(), 'test-report-'));

function run(command: string, args: string[]): boolean {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) process.stderr.write(`${command}: ${error.message}\n`);
  return status === 0;
}

function runVitest(config: string): Result {
  const file = path.join(folder, 'vitest.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const ok = run(process.execPath, [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--config',
    config,
    ...reporters,
  ]);
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
    readFileSync(file, 'utf8'),
  );
  return { ok, passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests };
}

async function runPython(): Promise<Result> {
  const file = path.join(folder, 'python.json');
  const ok = run(await findPython(), ['sandbox-image/tests/run.py', '--report', file]);
  return { ok, ...JSON.parse(readFileSync(file, 'utf8')) };
}

try {
  process.env.RECORD_AWS_CALLS = path.join(folder, 'calls.jsonl');
  const [suite] = process.argv.slice(2);
  const results = suite
    ? [runVitest(`vitest.${suite.replace('--', '')}.config.ts`)]
    : [await runPython(), runVitest('vitest.config.ts'), runVitest('vitest.recorded.config.ts')];
  const total = (field: 'passed' | 'failed' | 'skipped') =>
    results.reduce((sum, result) => sum + result[field], 0);
  const sum = { passed: total('passed'), failed: total('failed'), skipped: total('skipped') };
  if (process.env.TEST_REPORT) writeFileSync(process.env.TEST_REPORT, JSON.stringify(sum));
  process.stdout.write(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
  process.exitCode = results.every(({ ok }) => ok) && sum.failed === 0 && sum.passed > 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
