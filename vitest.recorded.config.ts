import { defineConfig } from 'vitest/config';

/** The check of the AWS calls that the other tests recorded; see test/run.ts. */
export default defineConfig({
  test: { include: ['test/infra/recorded-calls.check.ts'], testTimeout: 60_000 },
});
