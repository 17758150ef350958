import fc from 'fast-check'
import { expect, test } from 'vitest'
import { concat } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { targets } from './targets.js'

/** Bytes of a seed with some of them changed, or cut, or with more in the middle or behind them. */
const near = (seeds: readonly Uint8Array[]) =>
  fc
    .record({
      seed: fc.nat(seeds.length - 1),
      changes: fc.array(fc.tuple(fc.nat(2 ** 16), fc.nat(255)), { maxLength: 4 }),
      size: fc.option(fc.nat(2 ** 16), { freq: 2 }),
      insert: fc.tuple(fc.nat(2 ** 16), fc.uint8Array({ maxLength: 8 })),
      more: fc.uint8Array({ maxLength: 8 }),
    })
    .map(({ seed, changes, size, insert: [place, inserted], more }) => {
      const bytes = seeds[seed]!.slice(0, size === null ? undefined : size % (seeds[seed]!.length + 1))
      for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value
      const at = place % (bytes.length + 1)
      return concat(bytes.subarray(0, at), inserted, bytes.subarray(at), more)
    })

test.each(Object.entries(targets))('%s: on 2,000 inputs only a Failure is thrown', async (_, target) => {
  const seeds = (await target.seeds()).map((seed) => seed.slice(0, target.sizeMax ?? 16 * 1024))
  let asked = 0
  await fc.assert(
    fc.asyncProperty(
      fc.oneof({ weight: 1, arbitrary: fc.uint8Array({ maxLength: 2000 }) }, { weight: 4, arbitrary: near(seeds) }),
      async (bytes) => {
        asked++
        try {
          await target.run(bytes)
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      },
    ),
    { numRuns: 2000 },
  )
  expect(asked).toBe(2000)
})
