import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** Decides until V8 has compiled the caller with all its means, and then some. */
const program = `
const { validatePolicy } = await import('claviger-dist/policies/index.js')
const { judge } = await import('claviger-dist/policies/judge.js')
const { spaceOf } = await import('claviger-dist/policies/exhaust/space.js')
const { libraryPolicy } = await import('claviger-dist/policies/library/read.js')
const sets = ['third-country-control', 'eu-personal-data'].map((name) => validatePolicy(libraryPolicy(name).text))
const plain = validatePolicy(libraryPolicy('any-affirming').text)
const facts = [...spaceOf([plain], 1e6).worlds()].map((one) => one.facts)
let n = 0
for (; n < 6000; n++) judge(sets[n % 2], facts[n % facts.length], n % 3 ? 'release' : 'renew')
console.log(n)
`

test('a process that decides thousands of times lives, whenever V8 gives up code that it compiled', () => {
  const dist = new URL('../../dist/', import.meta.url)
  const source = program.replaceAll('claviger-dist/', dist.href)
  const flags = ['--interrupt-budget=5000', '--deopt-every-n-times=200', '--input-type=module']
  const ended = spawnSync(process.execPath, [...flags, '-e', source], { encoding: 'utf8', timeout: 60_000 })
  expect(ended).toMatchObject({ status: 0, signal: null, stderr: '' })
  expect(Number(ended.stdout)).toBeGreaterThan(1000)
})
