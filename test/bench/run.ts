/**
 * npm run bench: the promises on speed, each beside its reference measured in the same run. Prints; never fails for a
 * slow machine. `npm run bench -- overhead calls` measures these parts alone.
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
const { benchCalls } = await import('./calls.ts');

const parts: Record<string, () => unknown> = {
  launchers: benchLaunchers,
  attempt: benchAttempt,
  overhead: () => benchOverhead(product),
  calls: () => benchCalls(product),
  concurrency: () => benchConcurrency(product),
  cloud: () => benchCloud(product, starts),
  bundles: benchBundles,
  model: printModel,
  // A program of its own: it starts a product for itself, and a process can hold one.
  page: () => {
    const { status } = spawnSync(process.execPath, ['--import', 'tsx', PAGE], { stdio: 'inherit' });
    process.exitCode = status ?? 1;
  },
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in parts));
try {
  if (unknown.length > 0)
    throw new Error(`There is ${Object.keys(parts).join(', ')}; not ${unknown.join()}.`);
  for (const [name, bench] of Object.entries(parts)) {
    if (wanted.length === 0 || wanted.includes(name)) await bench();
  }
} finally {
  await product.close();
}
