import { defineConfig } from 'vitest/config'
import { LastLines } from './test/tools/reporter.js'

const conditions = ['source', 'node']

/** Long tests, one file at a time: `npm run test:slow`. */
export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    name: 'slow',
    include: ['test/**/*.slow.test.ts'],
    exclude: ['dist/**', 'node_modules/**'],
    fileParallelism: false,
    passWithNoTests: true,
    testTimeout: 600_000,
    hookTimeout: 120_000,
    globalSetup: ['test/fakes/global-setup.ts'],
    reporters: ['default', new LastLines()],
  },
})
