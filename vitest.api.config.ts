import { defineConfig } from 'vitest/config';

/** The API against its own description: `npm run test:api`. */
export default defineConfig({
  test: {
    include: ['test/api/**/*.spec.ts'],
    pool: 'forks',
    hookTimeout: 300_000,
  },
});
