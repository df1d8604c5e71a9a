/** What a cold start of each function loads: the size of its bundle, and how long its runtime takes to import it. */
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { bundle, root } from '../../infra/bundle.ts';
import { definitions } from '../../infra/constructs/functions.ts';
import { findPython } from '../../local/python.ts';
import { medians, ms, report } from './measure.ts';

const ROUNDS = 5;
/** bytes */
const LIMIT = 1024 * 1024;
/** What Lambda sets and a module may ask for while it is imported. */
const env = { AWS_REGION: 'eu-central-1', AWS_LAMBDA_FUNCTION_NAME: 'bench' };

interface Bundle {
  name: string;
  /** bytes */
  size: number;
  /** Starts the runtime and imports the handler. */
  load(): Promise<unknown>;
  /** Starts the runtime alone. */
  start(): Promise<unknown>;
}

export async function benchBundles(): Promise<void> {
  const bundles = [...nodeBundles(), await policyCheck()];
  const largest = Math.max(...bundles.map(({ size }) => size));
  report('no function is larger than 1 MB', `the largest has ${kilobytes(largest)}`, largest <= LIMIT);
  print('function', 'bundle', 'import');
  for (const { name, size, load, start } of bundles) {
    const time = await medians(ROUNDS, { load, start });
    print(name, kilobytes(size), ms(time.load - time.start));
  }
}

function nodeBundles(): Bundle[] {
  const node = (program: string) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { env });
  return Object.entries(bundle(Object.keys(definitions))).map(([name, folder]) => {
    const file = path.join(folder, 'index.mjs');
    return {
      name,
      size: statSync(file).size,
      load: () => node(`await import(${JSON.stringify(file)})`),
      start: () => node(''),
    };
  });
}

async function policyCheck(): Promise<Bundle> {
  const command = await findPython();
  const folder = path.join(root, 'sandbox-image/policy');
  const files = readdirSync(folder).filter((file) => /\.(py|json)$/.test(file));
  const python = (program: string) =>
    promisify(execFile)(command, ['-B', '-c', program], {
      cwd: path.dirname(folder),
      // A new function has no compiled files either.
      env: { PYTHONPYCACHEPREFIX: path.join(folder, 'nothing-here') },
    });
  return {
    name: 'states/check-code (Python)',
    size: files.reduce((sum, file) => sum + statSync(path.join(folder, file)).size, 0),
    load: () => python('import policy.check_code'),
    start: () => python(''),
  };
}

const kilobytes = (bytes: number) => `${(bytes / 1024).toFixed(0)} KB`;

function print(name: string, size: string, time: string): void {
  process.stdout.write(`${' '.repeat(13)}${name.padEnd(30)}${size.padStart(8)}${time.padStart(10)}\n`);
}
