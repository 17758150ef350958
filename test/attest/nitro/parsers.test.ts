import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeCaches } from '#attest/caches.js'
import { verifyEvidence } from '#attest/kinds.js'
import { parseDocument } from '#attest/nitro/parse.js'
import { awsRoot } from '#attest/nitro/roots.js'
import { nitroSteps } from '#attest/nitro/steps.js'
import { foundText, noTrace } from '#attest/trace.js'
import { concat, fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import { parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { codeOf } from '../../fakes/code-of.js'
import { mintNitro, mintNitroEvidence, nitroRootDigest } from '../../fakes/nitro.js'
import { testTime } from '../../fakes/platform.js'

const anchors = { simulatedRoots: [nitroRootDigest] }
const good = await mintNitro()

/** Bytes of a good document with some of them changed, or cut, or with more behind them. */
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

/** A message with any payload: what gets past COSE. */
const wrapped = (payload: Uint8Array) =>
  encodeCbor([encodeCbor(new Map([[1, -35]])), new Map<CborKey, Cbor>(), payload, new Uint8Array(96)])

describe('on any bytes only a Failure is thrown', () => {
  test('document', () => {
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 2000 })), (bytes) => {
        expect(codeOf(() => parseDocument(bytes))).toMatch(/^(ok|nitro\/[a-z-]+)$/)
      }),
      { numRuns: 2000 },
    )
  })

  test('payload of any members', () => {
    const names = fc.constantFrom(...parsedNames, 'x', 1)
    const value: fc.Arbitrary<Cbor> = fc.oneof(
      fc.constantFrom<Cbor>('SHA384', null, 0, 1, 2n ** 60n, '', [], new Map<CborKey, Cbor>(), true),
      fc.uint8Array({ maxLength: 64 }),
      fc.array(fc.uint8Array({ maxLength: 4 }), { maxLength: 9 }),
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(names, value), { maxLength: 12 }), (entries) => {
        const bytes = wrapped(encodeCbor(new Map<CborKey, Cbor>(entries)))
        expect(codeOf(() => parseDocument(bytes))).toMatch(/^nitro\/[a-z-]+$/)
      }),
      { numRuns: 2000 },
    )
  })
})
const parsedNames = [
  ...['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle', 'public_key', 'user_data', 'nonce'],
]

test('flipping any bit of a document is refused', async () => {
  await verifyEvidence(await mintNitroEvidence(), anchors, testTime)
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.nat(7), async (at, bit) => {
      const document = toBase64(good.with(at, good[at]! ^ (1 << bit)))
      await expect(verifyEvidence({ kind: 'nitro', document }, anchors, testTime)).rejects.toMatchObject({
        name: 'Failure',
      })
    }),
    { numRuns: 300 },
  )
})

test('the steps are told in the order of the catalogue, with what was found', async () => {
  const told: [string, string | undefined][] = []
  await verifyEvidence(
    await mintNitroEvidence(),
    anchors,
    testTime,
    (step, found) => void told.push([step, foundText(found)]),
  )
  expect(told.map(([step]) => step)).toEqual(nitroSteps.map((step) => step.id))
  expect(told[0]![1]).toBe('module i-00000000000000000-enc0000000000000000, 16 PCRs')
  expect(told[1]![1]).toContain('NOT HARDWARE')
})

test('a chain that was verified before gives the same result, and no other', async () => {
  const caches = makeCaches()
  const evidence = await mintNitroEvidence()
  for (let i = 0; i < 2; i++) await verifyEvidence(evidence, anchors, testTime, noTrace, caches)
  const late = verifyEvidence(evidence, anchors, testTime + 10_800, noTrace, caches)
  await expect(late).rejects.toMatchObject({ code: 'chain/expired' })
})

describe('bytes around the document', () => {
  test.each([
    [
      'cbor/duplicate-key',
      async () => concat(new Uint8Array([0xaa]), (await payload()).subarray(1), encodeCbor('nonce'), encodeCbor(null)),
    ],
    ['cbor/trailing', async () => concat(await payload(), new Uint8Array(1))],
    [
      'cbor/indefinite',
      async () =>
        concat(new Uint8Array([0xaa]), (await payload()).subarray(1), encodeCbor('x'), new Uint8Array([0x5f, 0xff])),
    ],
    ['cbor/not-shortest', async () => concat(new Uint8Array([0xb8, 9]), (await payload()).subarray(1))],
    [
      'cbor/unsupported',
      async () =>
        concat(new Uint8Array([0xaa]), (await payload()).subarray(1), encodeCbor('x'), new Uint8Array([0xf7])),
    ],
  ])('are refused for %s', async (code, make) => {
    const bytes = wrapped(await make())
    try {
      parseDocument(bytes)
      expect.unreachable()
    } catch (error) {
      if (!isFailure(error)) throw error
      expect(error).toMatchObject({ code: 'nitro/form', detail: { inner: code } })
    }
  })
  const payload = async () => parseDocument(await mintNitro()).message.payload
})

test('the root that is compiled in is that of the file', () => {
  const pem = readFileSync(new URL('../../../attest/nitro/roots/aws-nitro-root-g1.pem', import.meta.url))
  const [der] = parsePem(fromUtf8(new Uint8Array(pem)), 'CERTIFICATE', 1)
  expect(toHex(sha256(parseCertificate(der!).spki))).toBe(awsRoot)
  expect(toHex(sha256(der!))).toBe('641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b')
})
