import { defineConfig } from 'vitest/config';

/** End-to-end tests in Chromium: `npx vitest run --config vitest.browser.config.ts`. */
export default defineConfig({
  test: {
    include: ['test/e2e-browser/**/*.spec.ts'],
    // A runtime configures the SDK clients of its process through the environment, so each file has a process of its own.
    pool: 'forks',
    globalSetup: 'test/e2e-browser/support/build.ts',
    // A browser and a runtime are enough for two cores.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
  },
});
