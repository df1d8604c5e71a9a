import { defineConfig } from 'vitest/config';

/** The deployment on an emulator of AWS: `npm run test:deploy`. */
export default defineConfig({
  test: {
    include: ['test/deploy/**/*.spec.ts'],
    // Each test stands on the one before.
    bail: 1,
    testTimeout: 180_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
  },
});
