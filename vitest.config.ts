import { defineConfig } from 'vitest/config'
import { LastLines } from './test/tools/reporter.js'

// Not `import`: these reach Node's own resolution too, where `require` of a double package would then find its ESM half.
const conditions = ['source', 'node']
const timeouts = { testTimeout: 60_000, hookTimeout: 120_000 }
const exclude = ['dist/**', 'node_modules/**', 'test/**/*.slow.test.ts']

// All vectors of formats run on both backends; those of the core are among its tests.
const vectors = [
  'test/attest/{vectors,ear-vectors}.test.ts',
  'test/attest/{endorsements,reference}/vectors.test.ts',
  'test/client/vectors.test.ts',
  'test/keybroker/kbs/vectors.test.ts',
  'test/policies/record-vectors.test.ts',
  'test/policies/{language,decide,facts}.test.ts',
]

// Two projects: everything on the Node crypto backend, and the core and all vectors once more on the browser backend.
export default defineConfig({
  test: {
    maxWorkers: 2,
    globalSetup: ['test/fakes/global-setup.ts'],
    reporters: ['default', new LastLines()],
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: { name: 'node', include: ['test/**/*.test.ts'], exclude, ...timeouts },
      },
      {
        resolve: { conditions: ['browser', ...conditions] },
        ssr: { resolve: { conditions: ['browser', ...conditions] } },
        test: { name: 'browser', include: ['test/core/**/*.test.ts', ...vectors], exclude, ...timeouts },
      },
    ],
  },
})
