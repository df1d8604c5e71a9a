/**
 * npm run bench: the promises on speed, each beside its reference measured in the same run. Prints; never fails for a
 * slow machine.
 */

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { startProduct } from '../support/product.ts';
import { benchBundles } from './bundles.ts';
import { printModel } from './cloud-model.ts';
import { TaskStarts } from './fargate.ts';

const PAGE = path.join(import.meta.dirname, '../e2e-browser/trace.ts');

const starts = new TaskStarts();
const product = await startProduct({ warmSandboxes: 1, sandboxStartDelay: starts.delay });
// Only now: a handler's logger takes its level from the environment that the runtime has set.
const { benchAttempt } = await import('./attempt.ts');
const { benchLaunchers } = await import('./launchers.ts');
const { benchOverhead } = await import('./overhead.ts');
const { benchConcurrency } = await import('./concurrency.ts');
const { benchCloud } = await import('./cloud.ts');
try {
  await benchLaunchers();
  await benchAttempt();
  await benchOverhead(product);
  await benchConcurrency(product);
  await benchCloud(product, starts);
} finally {
  await product.close();
}
await benchBundles();
printModel();
// A program of its own: it starts a product for itself, and a process can hold one.
const { status } = spawnSync(process.execPath, ['--import', 'tsx', PAGE], { stdio: 'inherit' });
process.exitCode = status ?? 1;
