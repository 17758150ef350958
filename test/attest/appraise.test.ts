import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { appraise, appraiseEvidence, defaultPolicy } from '#attest/appraise.js'
import { makeCaches } from '#attest/caches.js'
import { platformCheck } from '#attest/every-kind.js'
import { examineEvidence } from '#attest/examine.js'
import { verifyEvidence } from '#attest/kinds.js'
import { parseReport } from '#attest/snp/parse.js'
import { vendorRoots } from '#attest/snp/roots.js'
import { recorder } from '#attest/traced.js'
import { fromBase64, fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { verifyEar } from '#core/wire/ear.js'
import { type Evidence, evidenceShape } from '#core/wire/evidence.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { verifyTrustFile } from '#core/wire/trust-file.js'
import { commonName, parseCertificate } from '#core/x509/certificate.js'
import { outside } from '../fakes/outside.js'
import {
  testMeasurement,
  testPlatform,
  testReferenceValues,
  testRootDigest,
  testTime,
  throwawayKeys,
} from '../fakes/platform.js'
import { mintEvidence, mintedReportData } from '../fakes/snp.js'
import { anchorsOf, unverifiedSnpCases } from '../fakes/snp-cases.js'

const anchors = { simulatedRoots: [testRootDigest] }
const input = {
  expectedReportData: mintedReportData,
  referenceValues: testReferenceValues(),
  tenantClass: 'development' as const,
  at: testTime,
}
const refusal = (result: { readonly checks: readonly { readonly id: string; readonly status: string }[] }) =>
  result.checks.filter((check) => check.status === 'contraindicated').map((check) => check.id)

describe('simulated evidence of a development tenant', () => {
  test('is a warning, never affirming, and says NOT HARDWARE', async () => {
    const result = await appraiseEvidence(await mintEvidence(), anchors, input)
    expect(result).toMatchObject({ status: 'warning', platform: 'simulated', failure: null, skipped: [] })
    expect(result.policy).toBe(defaultPolicy.name)
    expect(result.steps.slice(0, 8).map((step) => [step.id, step.verdict])).toEqual(
      ['structure', 'root', 'chain', 'crl', 'product', 'signature', 'tcb', 'identity'].map((id) => [
        `snp/${id}`,
        'pass',
      ]),
    )
    expect(result.vector).toMatchObject({ hardware: 32, executables: 3, configuration: 2, 'runtime-opaque': 0 })
    expect(result.checks.filter((check) => check.status !== 'affirming').map((check) => check.id)).toEqual(['platform'])
    expect(result.claims).toMatchObject({ measurement: testMeasurement, debug: false, product: 'Genoa', vmpl: 0 })
  })

  test('is what the minter of the product makes, for each product', async () => {
    for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
      const evidence = await (await testPlatform({ product })).attest(mintedReportData)
      const referenceValues = testReferenceValues({ allowMilan: true })
      expect(await appraiseEvidence(evidence, anchors, { ...input, referenceValues })).toMatchObject({
        status: 'warning',
        platform: 'simulated',
        claims: { product },
      })
    }
  })
})

describe('I6: simulated evidence never satisfies a production tenant', () => {
  const production = { ...input, tenantClass: 'production' as const }

  test('not with its root named, not with any reference values', async () => {
    const lax = testReferenceValues({
      allowMilan: true,
      allowSmt: true,
      allowMigrationAgent: true,
      requireAliasCheck: false,
      crl: 'when-given',
    })
    for (const referenceValues of [input.referenceValues, lax]) {
      const result = await appraiseEvidence(await mintEvidence(), anchors, { ...production, referenceValues })
      expect(result).toMatchObject({ status: 'contraindicated', platform: 'simulated' })
      expect(refusal(result)).toEqual(['platform'])
    }
  })

  test('not with a root that nobody named, in either class', async () => {
    for (const one of [input, production]) {
      const result = await appraiseEvidence(await mintEvidence(), { simulatedRoots: [] }, one)
      expect(result).toMatchObject({ status: 'contraindicated', platform: 'unverified', failure: 'snp/unknown-root' })
      expect(result.claims).toBeNull()
    }
  })

  test('not with certificates that carry the names of the vendor', async () => {
    const evidence = await mintEvidence({
      ark: { issuer: 'ARK-Genoa', subject: 'ARK-Genoa' },
      ask: { issuer: 'ARK-Genoa' },
      crl: { issuer: 'ARK-Genoa' },
    })
    expect(await appraiseEvidence(evidence, { simulatedRoots: [] }, production)).toMatchObject({
      failure: 'snp/unknown-root',
    })
    expect(await appraiseEvidence(evidence, anchors, production)).toMatchObject({
      platform: 'simulated',
      status: 'contraindicated',
    })
  })

  test("not with the vendor's own root certificate above a chain that it did not sign", async () => {
    const roots = join(import.meta.dirname, '../../attest/snp/roots/genoa-ask-ark.pem')
    const [ask, ark] = parsePem(readFileSync(roots, 'utf8'), 'CERTIFICATE', 2)
    const minted = await mintEvidence()
    for (const evidence of [
      { ...minted, ark: toBase64(ark!) },
      { ...minted, ask: toBase64(ask!), ark: toBase64(ark!) },
    ]) {
      const result = await appraiseEvidence(evidence, anchors, production)
      expect(result).toMatchObject({ status: 'contraindicated', platform: 'unverified' })
      expect(result.failure).toMatch(/^chain\//)
    }
  })

  test('not under another name of its kind', () => {
    for (const kind of ['hardware', 'SNP', 'simulated', '__proto__', null])
      expect(() => evidenceShape({ kind } as unknown as Json, 'evidence')).toThrowError(
        expect.objectContaining({ code: expect.stringMatching(/^shape\//) }),
      )
  })
})

describe('the roots compiled in', () => {
  const folder = join(import.meta.dirname, '../../attest/snp/roots')
  test('are the keys of the certificates in roots/, and no others', () => {
    const found = new Map<string, string>()
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.pem'))) {
      const [, ark] = parsePem(readFileSync(join(folder, file), 'utf8'), 'CERTIFICATE', 2).map((der) =>
        parseCertificate(der),
      )
      found.set(toHex(sha256(ark!.spki)), commonName(ark!.subject)!.replace('ARK-', ''))
    }
    expect(found).toEqual(vendorRoots)
  })
  test('hold no throwaway root', () => {
    expect([...vendorRoots.keys()]).not.toContain(testRootDigest)
  })
})

describe('a verdict', () => {
  test.each([Number.NaN, undefined, 1.5, Number.POSITIVE_INFINITY, '2026'])(
    'is not given at a time that is none: %s',
    async (at) => {
      // Against NaN no date is ever over: what is a wrong type in TypeScript must not be a pass in JavaScript.
      const asked = appraiseEvidence(await mintEvidence(), anchors, { ...input, at: at as number })
      await expect(asked).rejects.toThrow('assertion failed: the time to judge at is a whole number of seconds')
      const { file } = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/trust-file/cases.json'), 'utf8'))
      await expect(verifyTrustFile(file, null, at as number)).rejects.toThrow('assertion failed')
      await expect(verifyEar('', [], { audience: '', at: at as number })).rejects.toThrow('assertion failed')
    },
  )

  test.each([undefined, null, '', 'prod', 'Production', 'Development', 'toString'])(
    'is not given for a class of tenants that is none: %s',
    async (none) => {
      const tenantClass = none as 'production'
      const evidence = await mintEvidence()
      const examined = { ...input, expectedNonce: null, tenantClass }
      for (const asked of [
        appraiseEvidence(evidence, anchors, { ...input, tenantClass }),
        examineEvidence(evidence, anchors, examined),
      ])
        await expect(asked).rejects.toThrow('assertion failed: the tenant class is production or development')
      // What judges verified evidence without them refuses it as for production.
      const words = { expected: 'hardware', fix: 'none' }
      expect(platformCheck({ platform: 'simulated', tenantClass }, words)).toMatchObject({ status: 'contraindicated' })
    },
  )

  test('is not given where the values of a kind are null: nothing would be compared, and nothing skipped', async () => {
    const evidence = await mintEvidence()
    const referenceValues = { snp: null } as unknown as typeof input.referenceValues
    for (const asked of [
      appraiseEvidence(evidence, anchors, { ...input, referenceValues }),
      examineEvidence(evidence, anchors, { ...input, expectedNonce: null, referenceValues }),
    ])
      await expect(asked).rejects.toThrow('reference values of a kind are there or left out')
  })

  test('names every refusal at once, with what was expected, what was found and what would help', async () => {
    const evidence = await mintEvidence({ report: { policy: (1n << 17n) | (1n << 19n), platformInfo: 0n } })
    const result = await appraiseEvidence(evidence, anchors, { ...input, expectedReportData: new Uint8Array(64) })
    expect(refusal(result).sort()).toEqual(['alias-check', 'debug', 'report-data'])
    for (const check of result.checks) {
      expect(check.expected).not.toBe('')
      expect(check.found).not.toBe('')
      expect(check.fix === '').toBe(check.status === 'affirming')
    }
  })

  test('of failed verification carries no claims and the code of the step', async () => {
    const evidence = await mintEvidence({ vekSigner: throwawayKeys.other })
    const result = await appraiseEvidence(evidence, anchors, input)
    expect(result).toMatchObject({ claims: null, failure: 'chain/signature', platform: 'unverified' })
    expect(result.vector.hardware).toBe(99)
    expect(result.steps.filter((step) => step.verdict !== 'skip').map((step) => [step.id, step.verdict])).toEqual([
      ['snp/structure', 'pass'],
      ['snp/root', 'pass'],
      ['snp/chain', 'fail'],
    ])
  })

  test('compares report data whole', async () => {
    const evidence = await mintEvidence()
    for (const i of [0, 31, 47, 48, 63]) {
      const expectedReportData = mintedReportData.slice()
      expectedReportData[i]! ^= 1
      expect(refusal(await appraiseEvidence(evidence, anchors, { ...input, expectedReportData }))).toEqual([
        'report-data',
      ])
    }
    await expect(
      appraiseEvidence(evidence, anchors, { ...input, expectedReportData: mintedReportData.subarray(0, 48) }),
    ).rejects.toThrow(/assertion failed/)
  })

  test('names its inputs by digest: any change of one changes its digest alone', async () => {
    const evidence = await mintEvidence()
    const first = await appraiseEvidence(evidence, anchors, input)
    const other = await appraiseEvidence(evidence, anchors, {
      ...input,
      referenceValues: testReferenceValues({ guestSvnMin: 1 }),
    })
    expect(other.digests).toEqual({ ...first.digests, referenceValues: other.digests.referenceValues })
    expect(other.digests.referenceValues).not.toBe(first.digests.referenceValues)
    const withoutCrl = await appraiseEvidence({ ...evidence, crl: null }, anchors, input)
    expect(withoutCrl.digests.collateral).not.toBe(first.digests.collateral)
    expect(withoutCrl.digests.evidence).not.toBe(first.digests.evidence)
  })

  test('is the same with caches, and dates are read again', async () => {
    const caches = makeCaches()
    const evidence = await mintEvidence()
    const plain = await appraiseEvidence(evidence, anchors, input)
    expect(await appraiseEvidence(evidence, anchors, input, caches)).toEqual(plain)
    // What it did not verify again is what it says differently.
    const warm = { evidence: 1, vendor: 0 }
    expect(await appraiseEvidence(evidence, anchors, input, caches)).toEqual({ ...plain, signatures: warm })
    expect(plain.signatures).toEqual({ evidence: 1, vendor: 4 })
    const later = { ...input, at: testTime + 20 * 365 * 86_400 }
    expect(await appraiseEvidence(evidence, anchors, later, caches)).toMatchObject({ failure: 'chain/expired' })
  })
})

const vectors = outside('vectors')
describe.skipIf(vectors === undefined)('Milan', () => {
  test('on hardware is refused by default and a warning where the owner lives with it', async () => {
    const folder = join(vectors!, 'sev-snp/milan-v2-vcek')
    const read = (name: string) => fromUtf8(new Uint8Array(readFileSync(join(folder, name))))
    const [vek] = parsePem(read('vcek.pem'), 'CERTIFICATE', 1)
    const [ask, ark] = parsePem(read('ask-ark.pem'), 'CERTIFICATE', 2)
    const report = new Uint8Array(readFileSync(join(folder, 'report.bin')))
    const evidence: Evidence = {
      kind: 'snp',
      report: toBase64(report),
      vek: toBase64(vek!),
      ask: toBase64(ask!),
      ark: toBase64(ark!),
      crl: null,
    }
    const parsed = parseReport(report)
    const values = (allowMilan: boolean) => {
      const zero = { bootLoader: 0, tee: 0, snp: 0, microcode: 0 }
      return testReferenceValues({
        measurements: [toHex(parsed.bytesOf('measurement'))],
        products: {
          Milan: { reported: zero, committed: zero, launch: zero },
          Genoa: undefined,
          Turin: undefined,
        },
        allowMilan,
        allowSmt: true,
        requireAliasCheck: false,
        crl: 'when-given',
      })
    }
    const given = {
      ...input,
      expectedReportData: parsed.bytesOf('reportData'),
      at: 1_735_689_600,
      tenantClass: 'production' as const,
    }
    const refusing = await appraiseEvidence(
      evidence,
      { simulatedRoots: [] },
      { ...given, referenceValues: values(false) },
    )
    expect(refusing).toMatchObject({ platform: 'hardware', status: 'contraindicated' })
    expect(refusal(refusing)).toEqual(['product-generation'])
    const warning = await appraiseEvidence(
      evidence,
      { simulatedRoots: [] },
      { ...given, referenceValues: values(true) },
    )
    expect(warning).toMatchObject({ platform: 'hardware', status: 'warning' })
    expect(warning.vector['runtime-opaque']).toBe(2)
  })
})

describe('reference values', () => {
  test.each([
    ['no measurement', { measurements: [] }],
    ['an empty list, which would accept nothing or anything', { hostData: [] }],
    ['an unknown member', { allowDebug: true }],
    ['a measurement in upper case', { measurements: ['AB'.repeat(48)] }],
    ['a floor above a byte', { products: { Genoa: { reported: { bootLoader: 256, tee: 0, snp: 0, microcode: 0 } } } }],
    ['another word for the CRL rule', { crl: 'optional' }],
  ])('with %s are refused', (_, change) => {
    const snp = JSON.parse(JSON.stringify(testReferenceValues().snp))
    expect(() => referenceValuesShape({ snp: { ...snp, ...change } } as Json, '')).toThrowError(
      expect.objectContaining({ code: expect.stringMatching(/^shape\//) }),
    )
  })

  test('without any one member that must be there are refused', () => {
    const snp = JSON.parse(JSON.stringify(testReferenceValues().snp))
    for (const name of Object.keys(snp).filter((one) => one !== 'hostData')) {
      const { [name]: _, ...rest } = snp
      expect(() => referenceValuesShape({ snp: rest } as Json, ''), name).toThrowError(
        expect.objectContaining({ code: 'shape/missing' }),
      )
    }
  })

  test('of another kind only are a refusal', async () => {
    const result = await appraiseEvidence(await mintEvidence(), anchors, {
      ...input,
      referenceValues: { snp: undefined },
    })
    expect(refusal(result)).toEqual(['reference-values'])
  })
})

describe('properties', () => {
  test('no changed byte of the report is accepted', async () => {
    const evidence = await mintEvidence()
    const report = fromBase64(evidence.report)
    await fc.assert(
      fc.asyncProperty(fc.nat(report.length - 1), fc.integer({ min: 1, max: 255 }), async (i, mask) => {
        const bytes = report.slice()
        bytes[i]! ^= mask
        const result = await appraiseEvidence({ ...evidence, report: toBase64(bytes) }, anchors, input)
        expect(result.status).toBe('contraindicated')
        expect(result.platform).toBe('unverified')
      }),
      { numRuns: 150 },
    )
  })

  test('a report of any bytes is read or refused by a Failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1180, maxLength: 1188 }), (bytes) => {
        try {
          parseReport(bytes)
        } catch (error) {
          expect(isFailure(error)).toBe(true)
        }
      }),
    )
    expect(() => parseReport(new Uint8Array(1183))).toThrowError(expect.objectContaining({ code: 'snp/size' }))
  })

  test('any JSON is evidence, or reference values, or refused by a Failure', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        for (const shape of [evidenceShape, referenceValuesShape]) {
          try {
            shape(parseJson(new TextEncoder().encode(text)), '')
          } catch (error) {
            expect(isFailure(error)).toBe(true)
          }
        }
      }),
    )
  })

  test('evidence of certificates of any bytes is a verdict, never an exception', async () => {
    const evidence = await mintEvidence()
    const bytes = fc.uint8Array({ maxLength: 200 }).map(toBase64)
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('vek', 'ask', 'ark', 'crl'), bytes, async (name, value) => {
        const result = await appraiseEvidence({ ...evidence, [name]: value }, anchors, input)
        expect(result.status).toBe('contraindicated')
      }),
    )
  })
})

describe('verifyEvidence', () => {
  test('throws the code of each minted case that must not verify', async () => {
    for (const one of unverifiedSnpCases()) {
      const verifying = verifyEvidence(await mintEvidence(one.broken), anchorsOf(one), testTime)
      await expect(verifying, one.name).rejects.toMatchObject({ code: one.code })
    }
  })

  test('gives what appraise takes', async () => {
    const { trace, told } = recorder()
    const evidence = await mintEvidence()
    const verified = await verifyEvidence(evidence, anchors, testTime, trace)
    expect(appraise(verified, input, told)).toEqual(await appraiseEvidence(evidence, anchors, input))
  })
})
