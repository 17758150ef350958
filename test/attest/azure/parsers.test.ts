import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseHclReport } from '#attest/azure/hcl-report.js'
import { parseRuntimeData } from '#attest/azure/runtime-data.js'
import { parseTpmQuote } from '#attest/azure/tpm-quote.js'
import { verifyEvidence } from '#attest/kinds.js'
import { concat, fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { type AzureSnpEvidence, type AzureTdxEvidence, evidenceShape } from '#core/wire/evidence.js'
import { mintAzureEvidence } from '../../fakes/azure.js'
import { codeOf } from '../../fakes/code-of.js'
import { dcapRootDigest } from '../../fakes/dcap.js'
import { testRootDigest, testTime } from '../../fakes/platform.js'

const runs = { numRuns: 2000 }
const snp = (await mintAzureEvidence()) as AzureSnpEvidence
const tdx = (await mintAzureEvidence({ hardware: 'tdx' })) as AzureTdxEvidence
const hcl = fromBase64(snp.hclReport)
const quote = fromBase64(snp.tpmQuote)
const anchors = { simulatedRoots: [testRootDigest, dcapRootDigest] }

/** Bytes of a good value with some of them changed, or cut, or with more behind them. */
const near = (good: Uint8Array) =>
  fc
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
const anyOr = (good: Uint8Array) => fc.oneof(fc.uint8Array({ maxLength: 3000 }), near(good))
const ours = (read: (bytes: Uint8Array) => unknown) => (bytes: Uint8Array) => {
  expect(codeOf(() => read(bytes))).toMatch(/^(ok|azure\/.+)$/)
}

describe('on any bytes only a Failure of this kind is thrown', () => {
  test.each([
    ['HCL report of SNP', hcl, (bytes: Uint8Array) => parseHclReport(bytes, 'snp')],
    ['HCL report of a TD', fromBase64(tdx.hclReport), (bytes: Uint8Array) => parseHclReport(bytes, 'tdx')],
    ['TPM quote', quote, parseTpmQuote],
    ['runtime data', parseHclReport(hcl, 'snp').runtimeData, parseRuntimeData],
  ] as const)('%s', (_, good, read) => {
    read(good)
    fc.assert(fc.property(anyOr(good), ours(read)), runs)
  })
})

test('an HCL report has one size', () => {
  expect(codeOf(() => parseHclReport(concat(hcl, new Uint8Array(1)), 'snp'))).toBe('azure/size')
  expect(codeOf(() => parseHclReport(hcl.subarray(0, -1), 'snp'))).toBe('azure/size')
})

test('flipping any bit of what the attestation key or the hardware signed is refused', async () => {
  await verifyEvidence(snp, anchors, testTime)
  const { runtimeData } = parseHclReport(hcl, 'snp')
  const signed = { report: [32, 0x2a0], runtime: [1236, runtimeData.length] } as const
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('report', 'runtime', 'quote' as const),
      fc.nat(10_000),
      fc.nat(7),
      async (part, n, bit) => {
        const changed = { ...snp }
        const [bytes, [at, size]] = part === 'quote' ? [quote.slice(), [0, quote.length]] : [hcl.slice(), signed[part]]
        bytes[at + (n % size)]! ^= 1 << bit
        if (part === 'quote') Object.assign(changed, { tpmQuote: toBase64(bytes) })
        else Object.assign(changed, { hclReport: toBase64(bytes) })
        await expect(verifyEvidence(changed, anchors, testTime)).rejects.toMatchObject({ name: 'Failure' })
      },
    ),
    { numRuns: 200 },
  )
})

describe('parts of two virtual machines do not go together', async () => {
  const other = (await mintAzureEvidence({
    runtime: (value) => {
      value['user-data'] = '11'.repeat(64)
    },
    extraData: new Uint8Array(32).fill(3),
    selected: [4, 7],
  })) as AzureSnpEvidence
  const verify = async (evidence: AzureSnpEvidence | AzureTdxEvidence) => {
    try {
      await verifyEvidence(evidence, anchors, testTime)
      return null
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  test('each by itself does', async () => {
    expect([await verify(snp), await verify(other), await verify(tdx)]).toEqual([null, null, null])
  })

  test('the quote of one with the signature or the PCRs of the other', async () => {
    expect(await verify({ ...snp, tpmQuote: other.tpmQuote })).toBe('azure/quote-signature')
    expect(await verify({ ...snp, tpmQuote: other.tpmQuote, tpmSignature: other.tpmSignature })).toBe(
      'azure/pcr-selection',
    )
    expect(await verify({ ...snp, pcrs: other.pcrs })).toBe('azure/pcr-selection')
  })

  test('the runtime data of one behind the hardware report of the other', async () => {
    const spliced = concat(hcl.subarray(0, 1216), fromBase64(other.hclReport).subarray(1216))
    expect(await verify({ ...snp, hclReport: toBase64(spliced) })).toBe('azure/runtime-binding')
  })

  test('the TD quote of one with the HCL report of another', async () => {
    const second = (await mintAzureEvidence({ hardware: 'tdx', hash: 2 })) as AzureTdxEvidence
    expect(await verify({ ...tdx, quote: second.quote })).toBe('azure/td-report')
  })
})

describe('the envelope', () => {
  test('can be read again, byte for byte', () => {
    for (const one of [snp, tdx]) expect(evidenceShape(parseJson(canonicalJson(one)), '')).toEqual(one)
  })

  test.each([
    ['a PCR by another spelling', { pcrs: { '07': snp.pcrs['7'] } }],
    ['a PCR beyond the last', { pcrs: { '24': snp.pcrs['7'] } }],
    ['a PCR of 20 bytes', { pcrs: { '7': toBase64(new Uint8Array(20)) } }],
    ['a report with a trailing byte', { hclReport: toBase64(concat(hcl, new Uint8Array(1))) }],
    ['a signature of 255 bytes', { tpmSignature: toBase64(new Uint8Array(255)) }],
    ['a member more', { eventLog: null }],
  ])('is refused with %s', (_, change) => {
    const changed = JSON.parse(JSON.stringify({ ...snp, ...change }))
    expect(codeOf(() => evidenceShape(changed, ''))).toMatch(/^shape\//)
  })
})
