import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Anchors } from '#attest/anchors.js'
import { type Caches, keyOf, makeCaches, noCaches, type Signatures, whileAll } from '#attest/caches.js'
import { parseQuote } from '#attest/dcap/quote.js'
import { examineEvidence } from '#attest/examine.js'
import { evidenceDigests, verifyEvidence } from '#attest/kinds.js'
import { write, written } from '#attest/texts.js'
import { noTrace } from '#attest/trace.js'
import { parseCase } from '#attest/vectors/case.js'
import { evidenceOf } from '#attest/vectors/gpu.js'
import { inputOf } from '#attest/vectors/run.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256Hex } from '#core/crypto/hash.js'
import { isFailure } from '#core/failure.js'
import { documentDigest } from '#core/wire/binding.js'
import type { PartEvidence, SgxEvidence, TdxEvidence } from '#core/wire/evidence.js'
import { evidenceDigest } from '#core/wire/leaf.js'
import { backend } from '#crypto-backend'
import { mintAzureEvidence } from '../fakes/azure.js'
import { mintComposite } from '../fakes/composite.js'
import { dcapKeys, dcapRootDigest, dcapSerials, mintDcapEvidence } from '../fakes/dcap.js'
import { gpuRootDigest, mintGpuEvidence, single } from '../fakes/gpu.js'
import { rimRootDigest } from '../fakes/gpu-rim.js'
import { mintNitroEvidence, nitroRootDigest } from '../fakes/nitro.js'
import { testRootDigest, testTime } from '../fakes/platform.js'
import { mintEvidence } from '../fakes/snp.js'

const day = 86_400
const simulatedRoots = [dcapRootDigest, testRootDigest, gpuRootDigest, rimRootDigest, nitroRootDigest]
const anchors: Anchors = { simulatedRoots }

/** Everything that a caller sees of a verification. */
async function outcome(evidence: PartEvidence, given: Anchors, at: number, caches?: Caches): Promise<unknown> {
  try {
    // How much of it was verified now is what caches are about, and the one thing that they change.
    const { signatures: _, ...verified } = await verifyEvidence(evidence, given, at, noTrace, caches)
    return { verified }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { code: error.code, message: error.message }
  }
}

const tdx = (await mintDcapEvidence()) as TdxEvidence
const sgx = (await mintDcapEvidence({ tee: 'sgx' })) as SgxEvidence
const withCollateral = (change: Partial<TdxEvidence['collateral']>): TdxEvidence => ({
  ...tdx,
  collateral: { ...tdx.collateral, ...change },
})
const crlsOf = async (list: { revoked?: readonly number[]; thisUpdate?: number; nextUpdate?: number }) => {
  const minted = await mintDcapEvidence({ pckCrl: list, rootCrl: list })
  const { pckCrl, rootCrl } = (minted as TdxEvidence).collateral
  return { pckCrl, rootCrl }
}
const newer = { thisUpdate: testTime + day, nextUpdate: testTime + 40 * day }
const revoking = await crlsOf({ ...newer, revoked: [dcapSerials.pck] })
const [nitro, azureSnp, azureTdx] = [
  await mintNitroEvidence(),
  await mintAzureEvidence(),
  await mintAzureEvidence({ hardware: 'tdx' }),
]
/** The evidence of a minted case of devices, whose RIMs and OCSP answers come along. */
function mintedDevices(name: string): Promise<PartEvidence> {
  const folder = new URL(`../vectors/gpu/${name}/`, import.meta.url)
  const file = (path: string) => new Uint8Array(readFileSync(new URL(path, folder)))
  return evidenceOf(inputOf(parseCase(file('case.json')), file))
}
const [gpuWithRims, boardWithRims] = [await mintedDevices('all-answers-good'), await mintedDevices('board-with-rims')]
const others = [nitro, azureSnp, azureTdx]
const pool: readonly PartEvidence[] = [
  tdx,
  await mintDcapEvidence({ version: 5, body: 'tdx-1.5' }),
  sgx,
  await mintEvidence(),
  await mintEvidence({ product: 'Turin' }),
  { ...(await mintEvidence()), crl: null },
  await mintGpuEvidence(single()),
  // The same machine with other lists: one that is newer, ones that name it, its authority and its signer.
  withCollateral(await crlsOf(newer)),
  withCollateral(revoking),
  withCollateral({ rootCrl: (await crlsOf({ revoked: [dcapSerials.ca] })).rootCrl }),
  withCollateral({ rootCrl: (await crlsOf({ revoked: [dcapSerials.signer] })).rootCrl }),
  withCollateral({ tcbInfo: tdx.collateral.qeIdentity }),
  // An enclave with what Intel says of TDs, and a signer whose certificate ends before all else.
  { ...sgx, collateral: tdx.collateral },
  await mintDcapEvidence({ signer: { notAfter: testTime + 10 * day } }),
  // Signed by somebody else, from the quote up to the root.
  await mintDcapEvidence({ quoteSigner: dcapKeys.other }),
  await mintDcapEvidence({ documentSigner: dcapKeys.other }),
  await mintDcapEvidence({ root: { notAfter: testTime - 1 } }),
  ...others,
]

/** Both ends of every interval in what is minted, and one second beyond each. */
const times = [-100 * day, -day, 0, day, 10 * day, 30 * day, 40 * day, 1000 * day].flatMap((offset) =>
  [-1, 0, 1].map((second) => testTime + offset + second),
)
const floor = (issuer: string, issuedAtMin: number) => ({ kind: 'crl' as const, issuer, issuedAtMin })
const callers: readonly Anchors[] = [
  anchors,
  { simulatedRoots: [] },
  { simulatedRoots: [dcapRootDigest] },
  { simulatedRoots: [testRootDigest] },
  { simulatedRoots, collateralFloors: [floor(dcapRootDigest, testTime), floor(testRootDigest, testTime)] },
  { simulatedRoots, collateralFloors: [floor(dcapRootDigest, testTime - day)] },
]

/** One text somewhere inside of the evidence with one character changed. */
function altered<T>(value: T, place: number, letter: string): T {
  const texts: string[] = []
  const collect = (one: unknown): void => {
    if (typeof one === 'string' && one.length > 40) texts.push(one)
    else if (one !== null && typeof one === 'object') Object.values(one).forEach(collect)
  }
  collect(value)
  const text = texts[place % texts.length]!
  const at = Math.floor(place / texts.length) % text.length
  const changed = text.slice(0, at) + letter + text.slice(at + 1)
  const replace = (one: unknown): unknown => {
    if (one === text) return changed
    if (Array.isArray(one)) return one.map(replace)
    if (one === null || typeof one !== 'object') return one
    return Object.fromEntries(Object.entries(one).map(([name, member]) => [name, replace(member)]))
  }
  return replace(value) as T
}

describe('a verification with caches', () => {
  const step = fc.record({
    evidence: fc.nat(pool.length - 1),
    at: fc.oneof({ weight: 3, arbitrary: fc.constant(testTime) }, { weight: 2, arbitrary: fc.constantFrom(...times) }),
    caller: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(callers.length - 1) }),
    change: fc.oneof(
      { weight: 2, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.tuple(fc.nat(2 ** 20), fc.constantFrom(...'AgZ9+/='.split(''))) },
    ),
  })

  test('says what one without says: at any time, for any caller, after any others, of altered evidence too', async () => {
    let passed = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 16 }), fc.constantFrom(1, 3, 4096), async (steps, entriesMax) => {
        const caches = makeCaches({ entriesMax })
        for (const { evidence, at, caller, change } of steps) {
          const one = change ? altered(pool[evidence]!, ...change) : pool[evidence]!
          const [given, plain] = [callers[caller]!, await outcome(one, callers[caller]!, at)]
          expect(await outcome(one, given, at, caches)).toEqual(plain)
          expect(await outcome(one, given, at, caches)).toEqual(plain)
          if (!(plain as { code?: string }).code) passed++
        }
        expect(caches.size).toBeLessThanOrEqual(entriesMax)
      }),
      { numRuns: 80 },
    )
    expect(passed).toBeGreaterThan(20) // or the comparison would say nothing
  })

  test.each([
    ['tdx', tdx, 2],
    ['sgx', sgx, 2],
    ['snp', pool[3]!, 1],
    ['gpu', pool[6]!, 1],
    ['gpu with RIMs and answers', gpuWithRims, 1],
    ['a board of 12 devices with RIMs', boardWithRims, 12],
    ['nitro', nitro, 1],
    // the hardware's, then that of the vTPM
    ['azure-snp', azureSnp, 2],
    ['azure-tdx', azureTdx, 3],
  ])(
    'of %s verifies what the machine itself signed on every call, and only that when warm',
    async (_, evidence: PartEvidence, own) => {
      const caches = makeCaches()
      const counted: Signatures[] = []
      const verify = async () =>
        counted.push((await verifyEvidence(evidence, anchors, testTime, noTrace, caches)).signatures)
      const cold = await messagesOf(verify)
      const warm = await messagesOf(verify)
      expect(cold.length).toBeGreaterThan(own)
      // What a result says of it is what the backend was asked for.
      expect(counted).toEqual([
        { evidence: own, vendor: cold.length - own },
        { evidence: own, vendor: 0 },
      ])
      expect(warm).toEqual(cold.filter((message) => warm.includes(message)))
      expect(warm.length).toBe(own)
      if (evidence.kind === 'tdx') {
        const { signed, qeReport } = parseQuote(fromBase64(evidence.quote))
        expect(warm).toEqual([qeReport, signed].map(toHex))
      }
    },
  )

  test('counts calls apart, that run at the same time too, and what a failed one has verified', async () => {
    const caches = makeCaches()
    const known = { evidence: 2, vendor: 0 }
    await verifyEvidence(tdx, anchors, testTime, noTrace, caches)
    const both = await Promise.all([1, 2].map(() => verifyEvidence(tdx, anchors, testTime, noTrace, caches)))
    expect(both.map(({ signatures }) => signatures)).toEqual([known, known])
    const input = {
      expectedReportData: null,
      expectedNonce: null,
      referenceValues: null,
      tenantClass: 'development',
    } as const
    const forged = { ...tdx, quote: ((await mintDcapEvidence({ quoteSigner: dcapKeys.other })) as TdxEvidence).quote }
    const failed = await examineEvidence(forged, anchors, { ...input, at: testTime }, caches)
    expect(failed).toMatchObject({ failure: 'dcap/signature', signatures: { evidence: 1, vendor: 0 } })
    const devices = await mintComposite('snp', [{}])
    const whole = await examineEvidence(devices.evidence, anchors, { ...input, at: testTime }, makeCaches())
    expect(whole.parts.map(({ signatures }) => signatures)).toEqual([
      { evidence: 1, vendor: 4 },
      { evidence: 1, vendor: 5 },
    ])
    expect(whole.signatures).toEqual({ evidence: 2, vendor: 9 })
  })

  test('reads the time of each part again', async () => {
    const early = await mintDcapEvidence({ signer: { notAfter: testTime + 10 * day } })
    const caches = makeCaches()
    await verifyEvidence(early, anchors, testTime + 10 * day, noTrace, caches)
    const after = testTime + 10 * day + 1
    expect(await outcome(early, anchors, after, caches)).toMatchObject({ code: 'chain/expired' })
  })

  test('takes no document of one TEE for that of the other', async () => {
    const caches = makeCaches()
    await verifyEvidence(tdx, anchors, testTime, noTrace, caches)
    const crossed = { ...sgx, collateral: tdx.collateral }
    expect(await outcome(crossed, anchors, testTime, caches)).toMatchObject({ code: 'dcap/collateral-kind' })
  })

  test('never takes what it kept under one root for another', async () => {
    const caches = makeCaches()
    await verifyEvidence(tdx, anchors, testTime, noTrace, caches)
    expect(await outcome(tdx, { simulatedRoots: [] }, testTime, caches)).toMatchObject({ code: 'dcap/unknown-root' })
    expect(await outcome(tdx, { simulatedRoots: ['0'.repeat(64)] }, testTime, caches)).toMatchObject({
      code: 'dcap/unknown-root',
    })
  })

  test('refuses a machine that a newer list names, although all of its certificates are kept', async () => {
    const caches = makeCaches()
    const after = testTime + 2 * day
    await verifyEvidence(tdx, anchors, after, noTrace, caches)
    expect(await outcome(withCollateral(revoking), anchors, after, caches)).toMatchObject({ code: 'crl/revoked' })
    // That list is good, so it may be kept; the machine it names stays refused.
    expect(await outcome(withCollateral(revoking), anchors, after, caches)).toMatchObject({ code: 'crl/revoked' })
  })

  test('judges floors anew', async () => {
    const caches = makeCaches()
    await verifyEvidence(tdx, anchors, testTime, noTrace, caches)
    const given = { ...anchors, collateralFloors: [floor(dcapRootDigest, testTime)] }
    expect(await outcome(tdx, given, testTime, caches)).toMatchObject({ code: 'dcap/crl-floor' })
    expect(await outcome(tdx, anchors, testTime, caches)).toHaveProperty('verified')
  })

  test('keeps nothing of what failed', async () => {
    const stale = await mintDcapEvidence({ rootCrl: { nextUpdate: testTime - 1 } })
    const caches = makeCaches()
    await outcome(stale, anchors, testTime, caches)
    const size = caches.size
    for (let i = 0; i < 3; i++)
      expect(await outcome(stale, anchors, testTime, caches)).toMatchObject({ code: 'crl/expired' })
    // The chain of the machine is good and kept; nothing of the collateral is.
    expect([size, caches.size]).toEqual([1, 1])
  })

  test('hands out what cannot be changed', async () => {
    const caches = makeCaches()
    const outOfDate = await mintDcapEvidence({ qeReport: (report) => report.set([2, 0], 258) })
    for (let i = 0; i < 2; i++) {
      const { claims } = await verifyEvidence(outOfDate, anchors, testTime, noTrace, caches)
      const { advisories } = (claims as unknown as { tcbLevels: { qe: { advisories: string[] } } }).tcbLevels.qe
      expect(() => advisories.push('INTEL-SA-00000')).toThrow(TypeError)
    }
  })

  test('names what it was made from by the same digests', async () => {
    const caches = makeCaches()
    for (const evidence of [...pool.slice(0, 7), ...others]) {
      for (let i = 0; i < 2; i++) {
        const verified = await verifyEvidence(evidence, anchors, testTime, noTrace, caches)
        expect(verified.evidenceDigest).toBe(evidenceDigest(evidence))
        expect(evidenceDigests(evidence)).toMatchObject({ collateralDigest: verified.collateralDigest })
      }
    }
    expect(evidenceDigests(tdx).collateralDigest).toBe(documentDigest(tdx.collateral))
  })
})

/** What signatures were verified over, in hex and in order. */
async function messagesOf(call: () => Promise<unknown>): Promise<readonly string[]> {
  const { verify } = backend
  const messages: string[] = []
  backend.verify = (...given) => {
    messages.push(toHex(given[2]))
    return verify(...given)
  }
  try {
    await call()
  } finally {
    backend.verify = verify
  }
  return messages
}

describe('caches', () => {
  const slot = { name: 'test' } as { name: string; value?: number }
  const number = (value: number, size = 1) => ({ value, from: 10, until: 20, size })

  test('know a result inside of its interval, both ends included, and nowhere else', () => {
    const caches = makeCaches()
    caches.set(slot, 'a', number(1))
    expect([9, 10, 15, 20, 21].map((at) => caches.get(slot, 'a', at))).toEqual([undefined, 1, 1, 1, undefined])
    expect(caches.get({ name: 'other' }, 'a', 15)).toBeUndefined()
    expect(caches.get(slot, 'b', 15)).toBeUndefined()
  })

  test('keep the most recently used, by number and by size', () => {
    const few = makeCaches({ entriesMax: 2 })
    for (const key of ['a', 'b']) few.set(slot, key, number(1))
    few.get(slot, 'a', 15)
    few.set(slot, 'c', number(1))
    expect(['a', 'b', 'c'].map((key) => few.get(slot, key, 15) !== undefined)).toEqual([true, false, true])
    const small = makeCaches({ bytesMax: 8 * 100 })
    for (const key of ['a', 'b', 'c']) small.set(slot, key, number(1, 40))
    expect(['a', 'b', 'c'].map((key) => small.get(slot, key, 15) !== undefined)).toEqual([false, true, true])
    small.set(slot, 'd', number(1, 101))
    expect([small.get(slot, 'd', 15), small.size]).toEqual([undefined, 2])
    for (let i = 0; i < 100; i++) small.set(slot, 'c', number(i, 40))
    expect([small.get(slot, 'c', 15), small.size]).toEqual([99, 2])
  })

  test('know in one call what was decoded in it, and in no other', () => {
    const shared = makeCaches()
    for (const caches of [shared, noCaches()]) {
      const [own, other] = [caches.counting(), caches.counting()]
      expect(own.decode('AQID')).toEqual(new Uint8Array([1, 2, 3]))
      expect(own.forOneRun().decode('BAUG')).toEqual(new Uint8Array([4, 5, 6]))
      for (const wrong of ['AQI', 'AQI"', 'AQJ=', 'AQID\n']) {
        expect(() => own.decode(wrong)).toThrow(expect.objectContaining({ code: 'bytes/base64' }))
        expect(own.hasDecoded(wrong)).toBe(false)
      }
      expect(['AQID', 'BAUG', 'AQIE'].map((text) => own.hasDecoded(text))).toEqual([true, true, false])
      expect(caches.decode('AQID')).toEqual(new Uint8Array([1, 2, 3]))
      expect([other, caches].map((one) => one.hasDecoded('AQID'))).toEqual([false, false])
    }
  })

  test('that keep nothing know nothing', () => {
    const none = noCaches()
    none.set(slot, 'a', number(1))
    write(none, { a: 'x' })
    expect([none.get(slot, 'a', 15), none.size, written(none, { a: 'x' })]).toEqual([undefined, 0, undefined])
  })

  test('tell texts apart that end alike', () => {
    const caches = makeCaches()
    const end = 'e'.repeat(40)
    write(caches, { a: `x${end}`, b: null })
    expect(written(caches, { a: `x${end}`, b: null })?.digest).toBe(documentDigest({ a: `x${end}`, b: null }))
    expect(written(caches, { a: `y${end}`, b: null })).toBeUndefined()
    expect(written(caches, { a: `x${end}` })).toBeUndefined()
    expect(written(caches, { a: `x${end}`, b: '' })).toBeUndefined()
  })

  test('have keys for parts as they are divided', () => {
    expect(keyOf('ab', 'c')).not.toBe(keyOf('a', 'bc'))
    expect(keyOf('a')).not.toBe(keyOf(new Uint8Array([0x61])))
    expect(keyOf('a', 'b')).not.toBe(keyOf('a1:b'))
    expect(keyOf('a', new Uint8Array([0x61]))).not.toBe(keyOf(`a=${sha256Hex(new Uint8Array([0x61]))}`))
    const part = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'0123:=a'), maxLength: 6 }),
      fc.uint8Array({ maxLength: 2 }),
    )
    const parts = fc.array(part, { maxLength: 4 })
    const spelled = (list: readonly (string | Uint8Array)[]) =>
      JSON.stringify(list.map((one) => (typeof one === 'string' ? one : [...one])))
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        expect(keyOf(...a) === keyOf(...b)).toBe(spelled(a) === spelled(b))
      }),
      { numRuns: 2000 },
    )
    expect(keyOf('a', '')).not.toBe(keyOf('a'))
    expect(
      whileAll([
        { from: 1, until: 5 },
        { from: 3, until: 9 },
      ]),
    ).toEqual({ from: 3, until: 5 })
  })
})
