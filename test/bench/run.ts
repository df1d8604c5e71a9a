/**
 * npm run bench: the promises on speed, each beside its reference measured in the same run. Prints; never fails for a
 * slow machine.
 */

import { startProduct } from '../support/product.ts';
import { TaskStarts } from './fargate.ts';

const starts = new TaskStarts();
const product = await startProduct({ warmSandboxes: 1, sandboxStartDelay: starts.delay });
// Only now: a handler's logger takes its level from the environment that the runtime has set.
const { benchAttempt } = await import('./attempt.ts');
const { benchOverhead } = await import('./overhead.ts');
const { benchConcurrency } = await import('./concurrency.ts');
const { benchCloud } = await import('./cloud.ts');
try {
  await benchAttempt();
  await benchOverhead(product);
  await benchConcurrency(product);
  await benchCloud(product, starts);
} finally {
  await product.close();
}
