import { defineConfig } from 'vitest/config';

/** All that goes through the store, against Amazon's own DynamoDB Local and wholly over HTTP: `npm run test:store`. */
export default defineConfig({
  test: {
    include: [
      'test/core/{ends,feed,metrics,store}.test.ts',
      'test/auth/**/*.test.ts',
      'test/e2e/**/*.test.ts',
      'test/workflow/**/*.test.ts',
      'test/store/**/*.spec.ts',
    ],
    // It is about a disk that holds the table too.
    exclude: ['test/e2e/full-disk.test.ts'],
    globalSetup: 'test/store/dynamodb-local.ts',
    // A runtime configures the SDK clients of its process through the environment, so each file has a process of its own.
    pool: 'forks',
    env: { TEST_TRANSPORT: 'http' },
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
