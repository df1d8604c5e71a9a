import type { RuntimeOptions } from '../../local/runtime.ts';

/** How the functions reach the local AWS endpoint: TEST_TRANSPORT. */
export function transport(): RuntimeOptions['transport'] {
  const { TEST_TRANSPORT = 'in-process' } = process.env;
  if (TEST_TRANSPORT === 'in-process' || TEST_TRANSPORT === 'http') return TEST_TRANSPORT;
  throw new Error(`TEST_TRANSPORT: ${TEST_TRANSPORT} is neither in-process nor http.`);
}
