import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { collection, platformClaim, realmClaim } from '#attest/cca/layout.js'
import { parseToken } from '#attest/cca/parse.js'
import { parsePlatform } from '#attest/cca/platform.js'
import { parseRealm } from '#attest/cca/realm.js'
import { platformKeys } from '#attest/cca/roots.js'
import { ccaSteps } from '#attest/cca/steps.js'
import { verifyEvidence } from '#attest/kinds.js'
import { foundText } from '#attest/trace.js'
import { concat, toBase64 } from '#core/bytes/bytes.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import { ccaKeyDigests, ccaKeys, coseKeyOf, mintCca, mintCcaEvidence, pointOf } from '../../fakes/cca.js'
import { codeOf } from '../../fakes/code-of.js'
import { testTime } from '../../fakes/platform.js'

const anchors = { simulatedRoots: ccaKeyDigests }
const { token: good } = await mintCca()

const near = fc
  .record({
    changes: fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
    size: fc.oneof(fc.constant(good.length), fc.nat(good.length)),
    more: fc.uint8Array({ maxLength: 8 }),
  })
  .map(({ changes, size, more }) => {
    const bytes = good.slice(0, size)
    for (const [at, value] of changes) if (at < size) bytes[at] = value
    return concat(bytes, more)
  })

describe('on any bytes only a Failure is thrown', () => {
  test('token', () => {
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 2000 })), (bytes) => {
        expect(codeOf(() => parseToken(bytes))).toMatch(/^(ok|cca\/[a-z-]+)$/)
      }),
      { numRuns: 2000 },
    )
  })

  const value: fc.Arbitrary<Cbor> = fc.oneof(
    fc.constantFrom<Cbor>('sha-256', 'tag:arm.com,2023:realm#1.0.0', null, 0x3003, -1, 2n ** 60n, '', [], true),
    fc.constantFrom(32, 33, 64, 97).chain((size) => fc.uint8Array({ minLength: size, maxLength: size })),
    fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 5 }),
    fc.array(
      fc.constant(
        new Map<CborKey, Cbor>([
          [2, new Uint8Array(32)],
          [5, new Uint8Array(32)],
        ]),
      ),
      { maxLength: 3 },
    ),
    fc.constantFrom(coseKeyOf(ccaKeys.realm), pointOf(ccaKeys.realm)),
  )
  test.each([
    ['platform token', Object.values(platformClaim), parsePlatform],
    ['realm token', Object.values(realmClaim), parseRealm],
  ] as const)('%s of any claims', (_, labels, parse) => {
    const whole = fc
      .tuple(...labels.map(() => value))
      .map((values) => labels.map((label, i) => [label, values[i]!] as const))
    const some = fc.array(fc.tuple(fc.constantFrom<CborKey>(...labels, 'x', 1), value), { maxLength: 12 })
    fc.assert(
      fc.property(fc.oneof(whole, some), (entries) => {
        const bytes = encodeCbor(new Map<CborKey, Cbor>(entries as readonly [CborKey, Cbor][]))
        expect(codeOf(() => parse(bytes))).toMatch(/^(ok|cca\/[a-z-]+)$/)
      }),
      { numRuns: 2000 },
    )
  })
})

test.each([false, true])('flipping any bit of a token is refused (legacy profile: %s)', async (legacy) => {
  const evidence = await mintCcaEvidence({ legacy })
  const bytes = Buffer.from(evidence.token, 'base64')
  await verifyEvidence(evidence, anchors, testTime)
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(7), async (at, bit) => {
      const changed = new Uint8Array(bytes)
      changed[at]! ^= 1 << bit
      const wrong = verifyEvidence({ ...evidence, token: toBase64(changed) }, anchors, testTime)
      await expect(wrong).rejects.toMatchObject({ name: 'Failure' })
    }),
    { numRuns: 300 },
  )
})

test('halves of two good tokens do not make one', async () => {
  const other = { realmKey: coseKeyOf(ccaKeys.other), realmSigner: ccaKeys.other }
  const halves: Uint8Array[][] = []
  const keep = (platform: Uint8Array, realm: Uint8Array) => {
    halves.push([platform, realm])
    return {
      tag: collection.tag,
      value: new Map([
        [collection.platform, platform],
        [collection.realm, realm],
      ]),
    }
  }
  for (const broken of [{}, other])
    await verifyEvidence(await mintCcaEvidence({ ...broken, collect: keep }), anchors, testTime)
  const [[platform], [, realm]] = halves as [Uint8Array[], Uint8Array[]]
  const mixed = await mintCcaEvidence({ collect: () => keep(platform!, realm!) })
  await expect(verifyEvidence(mixed, anchors, testTime)).rejects.toMatchObject({ code: 'cca/binding' })
})

test('the steps are told in the order of the catalogue, with what was found', async () => {
  const told: [string, string | undefined][] = []
  await verifyEvidence(
    await mintCcaEvidence(),
    anchors,
    testTime,
    (step, found) => void told.push([step, foundText(found)]),
  )
  expect(told.map(([step]) => step)).toEqual(ccaSteps.map((step) => step.id))
  expect(told[1]![1]).toContain('NOT HARDWARE')
})

test('no key makes a token hardware: none is compiled in', async () => {
  expect(platformKeys.size).toBe(0)
  const { platform } = await verifyEvidence(await mintCcaEvidence(), anchors, testTime)
  expect(platform).toBe('simulated')
  const nobody = verifyEvidence(await mintCcaEvidence(), { simulatedRoots: [] }, testTime)
  await expect(nobody).rejects.toMatchObject({ code: 'cca/unknown-key' })
})
