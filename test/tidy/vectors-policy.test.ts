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
const importers = (target: string) =>
  product
    .flatMap((folder) => (existsSync(join(root, folder)) ? filesBelow(join(root, folder)) : []))
    .filter((file) => readFileSync(join(root, file), 'utf8').includes(`'#${target}`))
    .sort()

test('a policy that leaves steps out is within reach of the runner of vectors only', () => {
  expect(importers('attest/appraise-under.js')).toEqual([
    'attest/appraise.ts',
    'attest/vectors/case.ts',
    'attest/vectors/judge.ts',
    'attest/vectors/run.ts',
  ])
  expect(importers('attest/vectors/').filter((file) => !file.startsWith('attest/vectors/'))).toEqual(['cli/vectors.ts'])
  // `npm run vectors` starts cli/vectors.ts itself: no command of the product leads there.
  expect(importers('cli/vectors.js')).toEqual([])
})
