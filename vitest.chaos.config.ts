import { defineConfig } from 'vitest/config';

/** The service under kills, full disks and the like, from seeds: `npm run test:chaos`. */
export default defineConfig({
  test: {
    include: ['test/chaos/**/*.spec.ts'],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    // Each seed's figures are told as they come.
    disableConsoleIntercept: true,
  },
});
