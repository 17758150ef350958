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

const project = (name: string, backend: readonly string[], test: object) => ({
  resolve: { conditions: [...backend, ...conditions] },
  ssr: { resolve: { conditions: [...backend, ...conditions] } },
  test: { name, ...timeouts, ...test },
})

// A process for each file. Files that share one save its start, but one Node 20 in which many had run came to its end by a
// fault of V8 ("unreachable code" in its deoptimizer), and took the files that were left with it.
// Everything on the Node crypto backend, and the core and all vectors once more on the browser backend.
export default defineConfig({
  test: {
    maxWorkers: 2,
    globalSetup: ['test/fakes/global-setup.ts'],
    reporters: ['default', new LastLines()],
    projects: [
      project('node', [], { include: ['test/**/*.test.ts'], exclude }),
      project('browser', ['browser'], { include: ['test/core/**/*.test.ts', ...vectors], exclude }),
    ],
  },
})
