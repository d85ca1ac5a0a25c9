import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    // A process for each file: tests count fds and children of their own process.
    pool: 'forks',
    maxWorkers: 2,
    // Real servers on a busy machine; what must be quick is asserted where it matters.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
