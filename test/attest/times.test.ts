import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { claimedTimes, commonTime } from '#attest/explain/times.js'
import { parseCase } from '#attest/vectors/case.js'
import { evidenceOf } from '#attest/vectors/gpu.js'
import { inputOf } from '#attest/vectors/run.js'
import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import { mintAzureEvidence } from '../fakes/azure.js'
import { mintCcaEvidence } from '../fakes/cca.js'
import { mintComposite } from '../fakes/composite.js'
import { mintDcapEvidence } from '../fakes/dcap.js'
import { mintNitroEvidence } from '../fakes/nitro.js'
import { testTime } from '../fakes/platform.js'
import { mintEvidence } from '../fakes/snp.js'

const day = 86_400
const folder = new URL('../vectors/gpu/all-answers-good/', import.meta.url)
const file = (path: string) => new Uint8Array(readFileSync(new URL(path, folder)))
const devices = await evidenceOf(inputOf(parseCase(file('case.json')), file))
const all: readonly (readonly [string, AnyEvidence, number])[] = [
  ['snp', await mintEvidence(), 4],
  ['tdx', await mintDcapEvidence(), 9],
  ['sgx', await mintDcapEvidence({ tee: 'sgx' }), 9],
  ['azure-snp', await mintAzureEvidence(), 4],
  ['azure-tdx', await mintAzureEvidence({ hardware: 'tdx' }), 9],
  ['nitro', await mintNitroEvidence(), 6],
  ['gpu', devices, 5 + 4 + 4 + 6],
  ['composite', (await mintComposite('snp', [{}])).evidence, 4 + 5],
]

describe('the times that evidence says it counts at', () => {
  test.each(all)(
    'of %s are those of all its parts, which count together where it verifies',
    async (_, evidence, parts) => {
      const times = await claimedTimes(evidence)
      expect(times.length).toBe(parts)
      for (const { what } of times) expect(what).not.toBe('')
      const common = commonTime(times)!
      if (!('from' in common)) throw new Error(JSON.stringify(common))
      expect([common.from <= testTime, testTime <= common.until]).toEqual([true, true])
    },
  )

  test('are none where nothing has a date', async () => {
    expect(commonTime(await claimedTimes(await mintCcaEvidence()))).toBe(null)
  })

  test('name what ends first and what begins last where no time is in all of them', async () => {
    const old = await mintEvidence({ crl: { thisUpdate: testTime - 900 * day, nextUpdate: testTime - 800 * day } })
    const common = commonTime(await claimedTimes(old))!
    expect(common).toMatchObject({ ends: { what: 'CRL of the root', until: testTime - 800 * day } })
  })

  test('of evidence whose bytes are anything are read as far as they go, and nothing is thrown', async () => {
    const bytes = fc.uint8Array({ maxLength: 400 }).map(toBase64)
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.nat(all.length - 1), bytes, change, async (i, noise, [at, mask]) => {
        const altered = JSON.parse(JSON.stringify(all[i]![1]), (_, value) => {
          if (typeof value !== 'string' || value.length < 200) return value
          if (at % 3 === 0) return noise
          const good = fromBase64(value)
          good[at % good.length]! ^= mask
          return toBase64(good)
        }) as AnyEvidence
        for (const { from, until } of await claimedTimes(altered)) {
          expect(new Date(from * 1000).toISOString()).toMatch(/Z$/)
          expect(new Date(until * 1000).toISOString()).toMatch(/Z$/)
        }
      }),
      { numRuns: 300 },
    )
  })
})
