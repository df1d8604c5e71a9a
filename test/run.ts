/**
 * npm test: every suite that needs nothing but Node and Python; `npm run test:browser`: those that need Chromium too;
 * `npm run test:store`: those of the store on DynamoDB Local, which comes from npm and needs Java;
 * `npm run test:deploy`: the deployment on an emulator of AWS, which is installed from PyPI;
 * `npm run test:api`: the API held to its description by Schemathesis, which is installed from PyPI;
 * `npm run test:chaos`: the service under kills, full disks and the like, from seeds (test/chaos/chaos.spec.ts).
 * Ends with the sum of what the runners reported, and with exit code 1 if anything failed or a runner did not report.
 * With TEST_REPORT=FILE the sum is written there as JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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

/** Whether the command ended well. What it writes is shown as it comes or, `held`, all at its end. */
async function run(command: string, args: string[], { held = false, env = {} } = {}): Promise<boolean> {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['inherit', held ? 'pipe' : 'inherit', held ? 'pipe' : 'inherit'],
  });
  const pieces: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (piece: Buffer) => pieces.push(piece));
  try {
    const [status] = await once(child, 'close');
    return status === 0;
  } catch (error) {
    process.stderr.write(`${command}: ${(error as Error).message}\n`);
    return false;
  } finally {
    process.stdout.write(Buffer.concat(pieces));
  }
}

async function runVitest(config: string): Promise<Result> {
  const file = path.join(folder, 'vitest.json');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const ok = await run(process.execPath, [
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

/** Of forks of the nursery's template, the tests of what differs from a process that is started; CI runs all. */
const TESTS_OF_FORKS = ['test_attacks.py', 'test_confinement.py', 'test_inputs.py', 'test_sandbox.py'];

async function runPython(SANDBOX_LAUNCHER: 'process' | 'nursery', files: string[] = []): Promise<Result> {
  const file = path.join(folder, `python-${SANDBOX_LAUNCHER}.json`);
  const args = ['sandbox-image/tests/run.py', '--report', file, ...files];
  const ok = await run(await findPython(), args, { held: true, env: { SANDBOX_LAUNCHER } });
  return { ok, ...JSON.parse(readFileSync(file, 'utf8')) };
}

/** Vitest leaves a core idle, on which the tests of the sandbox run beside it. */
async function runAll(): Promise<Result[]> {
  const sandbox = async () => [await runPython('process'), await runPython('nursery', TESTS_OF_FORKS)];
  const [ofSandbox, vitest] = await Promise.all([sandbox(), runVitest('vitest.config.ts')]);
  return [...ofSandbox, vitest, await runVitest('vitest.recorded.config.ts')];
}

try {
  process.env.RECORD_AWS_CALLS = path.join(folder, 'calls.jsonl');
  const [suite] = process.argv.slice(2);
  const results = suite ? [await runVitest(`vitest.${suite.replace('--', '')}.config.ts`)] : await runAll();
  const total = (field: 'passed' | 'failed' | 'skipped') =>
    results.reduce((sum, result) => sum + result[field], 0);
  const sum = { passed: total('passed'), failed: total('failed'), skipped: total('skipped') };
  if (process.env.TEST_REPORT) writeFileSync(process.env.TEST_REPORT, JSON.stringify(sum));
  process.stdout.write(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
  process.exitCode = results.every(({ ok }) => ok) && sum.failed === 0 && sum.passed > 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
