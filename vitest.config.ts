import { defineConfig } from 'vitest/config'

const conditions = ['source', 'node', 'import', 'module', 'default']
const exclude = ['dist/**', 'node_modules/**', 'test/**/*.slow.test.ts']

// Two projects: everything on the Node crypto backend, and the core once more on the browser backend.
export default defineConfig({
  test: {
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: { name: 'node', include: ['test/**/*.test.ts'], exclude },
      },
      {
        resolve: { conditions: ['browser', ...conditions] },
        ssr: { resolve: { conditions: ['browser', ...conditions] } },
        test: { name: 'browser', include: ['test/core/**/*.test.ts'], exclude },
      },
    ],
  },
})
