import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const product = [
  'core',
  'policies',
  'attest',
  'keybroker',
  'runtime',
  'convert',
  'client',
  'transparency',
  'host',
  'cli',
]

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path)
    return entry.name.endsWith('.ts') ? [relative(root, path)] : []
  })
}
const text = (file: string) => readFileSync(join(root, file), 'utf8')
const importers = (target: string) =>
  product
    .flatMap((folder) => (existsSync(join(root, folder)) ? filesBelow(join(root, folder)) : []))
    .filter((file) => text(file).includes(`'#${target}`))
    .sort()

test('a policy that leaves steps out is within reach of the runner of vectors and of examining evidence only', () => {
  expect(importers('attest/appraise-under.js')).toEqual([
    'attest/appraise.ts',
    'attest/examine.ts',
    'attest/vectors/case.ts',
    'attest/vectors/judge.ts',
    'attest/vectors/run.ts',
  ])
  // Nobody releases by an examination: it is for a reader at a command line or a page, for a service that issues no EAR of it, and for
  // the token of a KBS guest, which names the policy that it was made by, is never better than a warning, and gets no model
  // key before policies/release/kbs.ts judged the same evidence by the owner's reference values.
  expect(importers('attest/examine.js')).toEqual([
    'attest/index.ts',
    'attest/reader/judge.ts',
    'attest/reader/outcome.ts',
    'attest/reader/typed.ts',
    'attest/service/verify-route.ts',
    'cli/kbs-verifier.ts',
  ])
  // The library's list of names is for programs outside: inside, who examines is named here.
  expect(importers('attest/index.js')).toEqual([])
  const judging = [...importers('attest/appraise.js')].filter((file) => text(file).includes('judgeEvidence'))
  expect(judging).toEqual(['attest/examine.ts'])
  expect(importers('attest/vectors/').filter((file) => !file.startsWith('attest/vectors/'))).toEqual(['cli/vectors.ts'])
  // `npm run vectors` starts cli/vectors.ts itself: no command of the product leads there.
  expect(importers('cli/vectors.js')).toEqual([])
})
