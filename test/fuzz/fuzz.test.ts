import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { mutate } from './mutate.js'
import { Random } from './random.js'
import { targets } from './targets.js'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'claviger-fuzz-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// Faults that a fuzzer has to find: the first behind three steps that only coverage leads through.
const planted = join(folder, 'planted.mjs')
writeFileSync(
  planted,
  `const seeds = () => [new TextEncoder().encode('none')]
const kept = []
export const targets = {
  deep: {
    seeds,
    run(bytes) {
      if (bytes[0] === 0x46) if (bytes[1] === 0x55) if (bytes[2] === 0x5a) bytes.nothing.here
    },
  },
  hang: { seeds, run(bytes) { if (bytes.length === 1) for (;;); } },
  crash: { seeds, run(bytes) { if (bytes.length === 2) for (const all = [];;) all.push(new Array(1000).fill(bytes)) } },
  growth: { seeds, run() { kept.push(new Uint8Array(4096).fill(1)) } },
  good: { seeds, run(bytes) { return bytes.length } },
}
`,
)

function fuzz(...args: readonly string[]) {
  const run = spawnSync(process.execPath, [join(root, 'dist/test/fuzz/main.js'), ...args], {
    encoding: 'utf8',
    timeout: 90_000,
  })
  return { code: run.status, out: run.stdout, err: run.stderr }
}
const settings = (name: string) => [
  '--targets',
  planted,
  ...['--seed', '7', '--seconds', '60', '--inputs', '2000000', '--input-ms', '3000', '--heap-mib', '96'],
  ...['--memory-every', '20000', '--out', join(folder, name)],
]

describe('the fuzzer', () => {
  test.each([
    ['deep', 'error', /TypeError/],
    ['hang', 'hang', /no answer within 3000 ms/],
    ['crash', 'crash', /memory/],
    ['growth', 'growth', /bytes more after/],
  ])('finds what is planted in %s, and writes the input', (name, what, detail) => {
    const { code, out } = fuzz(name, ...settings(name))
    expect(out).toMatch(detail)
    expect(code).toBe(3)
    const files = readdirSync(join(folder, name))
    expect(files).toEqual([expect.stringMatching(new RegExp(`^${name}-${what}-[0-9a-f]{16}$`))])
    const input = new Uint8Array(readFileSync(join(folder, name, files[0]!)))
    if (name === 'deep') expect(input.subarray(0, 3)).toEqual(utf8('FUZ'))
    if (name === 'hang' || name === 'crash') expect(input).toHaveLength(name === 'hang' ? 1 : 2)
  })

  test('says so when it found nothing, with seed, inputs, rate and blocks', () => {
    const { code, out } = fuzz('good', '--targets', planted, '--seed', '7', '--inputs', '5000', '--seconds', '60')
    expect(out).toMatch(/^good: seed 7, \d+ inputs, \d+ a second, \d+ blocks, \d+ kept: nothing found\n$/)
    expect(code).toBe(0)
  })

  test('runs a target of the product', () => {
    const { code, out } = fuzz('quote', '--seed', '1', '--inputs', '2000', '--seconds', '60')
    expect(out).toMatch(/^quote: seed 1, \d+ inputs, \d+ a second, [1-9]\d\d blocks/)
    expect(code).toBe(0)
  })

  test('names its targets when it is asked for none of them', () => {
    const { code, err } = fuzz('nothing')
    expect(code).toBe(2)
    expect(err).toContain(Object.keys(targets).join(', '))
  })
})

test('changes are the same for one seed, and stay within the bound', () => {
  const run = () => {
    const random = new Random(3)
    let bytes: Uint8Array = utf8('some input of a parser')
    const out: Uint8Array[] = []
    for (let i = 0; i < 3000; i++) {
      bytes = mutate(bytes, random, { dictionary: [utf8('word')], other: utf8('another input') }, 200)
      out.push(bytes)
    }
    return out
  }
  expect(run()).toEqual(run())
  expect(Math.max(...run().map((one) => one.length))).toBeLessThanOrEqual(200)
  expect(new Set(run().map(String)).size).toBeGreaterThan(2500)
})

test.each(Object.entries(targets))('seeds of %s are there, some of them good', async (_, target) => {
  const seeds = await target.seeds()
  expect(seeds.length).toBeGreaterThan(0)
  const outcomes = await Promise.all(
    seeds.slice(0, 200).map(async (seed) => {
      try {
        await target.run(seed)
        return true
      } catch {
        return false
      }
    }),
  )
  expect(outcomes).toContain(true)
})
