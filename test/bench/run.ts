/**
 * npm run bench: the promises on speed, each beside its reference measured in the same run. Prints; never fails for a
 * slow machine.
 */

import { startProduct } from '../support/product.ts';

const product = await startProduct({ warmSandboxes: 1 });
// Only now: a handler's logger takes its level from the environment that the runtime has set.
const { benchAttempt } = await import('./attempt.ts');
const { benchOverhead } = await import('./overhead.ts');
const { benchConcurrency } = await import('./concurrency.ts');
try {
  await benchAttempt();
  await benchOverhead(product);
  await benchConcurrency(product);
} finally {
  await product.close();
}
