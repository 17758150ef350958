import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Publisher } from '#attest/reference/provenance.js'
import { verifyReference } from '#attest/reference/verify.js'
import { fromBase64, toBase64, utf8 } from '#core/bytes/bytes.js'
import { type Cbor, encodeCbor } from '#core/encoding/cbor.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'
import { testReferenceValues, testTime } from '#test/fakes/platform.js'
import {
  corimPayload,
  makePublisher,
  measurementOf,
  minSvn,
  publisher384,
  rawOf,
  signedCorim,
  signedCorim384,
  signedSet,
  signedStatement,
  signedStatement384,
  statementOf,
  validityOf,
} from '#test/fakes/reference.js'

interface Vector {
  readonly name: string
  readonly signed: string
  readonly values: string | null
  readonly publishers: readonly Publisher[]
  readonly at: number
  readonly expect: string
  readonly valuesDigest: string | null
}
const path = new URL('../../vectors/reference-set/cases.json', import.meta.url)

async function judged({ signed, values, publishers, at }: Vector): Promise<Pick<Vector, 'expect' | 'valuesDigest'>> {
  try {
    const input = { signed: fromBase64(signed), values: values === null ? null : fromBase64(values) }
    return { expect: 'ok', valuesDigest: (await verifyReference(input, publishers, at)).valuesDigest }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { expect: error.code, valuesDigest: null }
  }
}

async function mint(): Promise<readonly Vector[]> {
  const { signingKey: key, publisher } = await makePublisher('acme')
  const stranger = (await makePublisher('other')).signingKey
  const { signingKey: ed, publisher: edPublisher } = await makePublisher('ed', 'Ed25519')
  const values = canonicalJson(testReferenceValues())
  const m = '11'.repeat(48)
  const corim = (...args: Parameters<typeof corimPayload>) => signedCorim(key, corimPayload(...args))
  const one = (name: string, expected: string, signed: Uint8Array, beside: Uint8Array | null = null) => ({
    name,
    signed: toBase64(signed),
    values: beside && toBase64(beside),
    publishers: [publisher],
    at: testTime,
    expect: expected,
    valuesDigest: null,
  })
  const signed384 = signedCorim384(corimPayload([[measurementOf(m)]]))
  const cases = [
    one('set', 'ok', await signedSet(key)),
    one('set-of-a-stranger', 'reference/publisher', await signedSet(stranger)),
    one('set-that-expired', 'reference/expired', await signedSet(key, { expiresAt: testTime - 1 })),
    one('set-of-tomorrow', 'reference/not-yet-valid', await signedSet(key, { issuedAt: testTime + 86_400 })),
    one('set-with-values-beside', 'reference/values', await signedSet(key), values),
    one('bare-values', 'reference/form', values),
    one('provenance', 'ok', await signedStatement(key, statementOf(values)), values),
    one('provenance-of-another-file', 'reference/subject', await signedStatement(key, statementOf(utf8('{}'))), values),
    one(
      'test-result',
      'reference/form',
      await signedStatement(key, statementOf(values, { predicateType: 'x' })),
      values,
    ),
    one('manifest', 'ok', await corim([[measurementOf(m, [minSvn(2)]), rawOf(8, 'a8'.repeat(32))]]), values),
    {
      ...one('manifest-by-ed25519', 'ok', await signedCorim(ed, corimPayload([[measurementOf(m)]])), values),
      publishers: [edPublisher],
    },
    {
      ...one(
        'manifest-by-ed25519-under-its-newer-number',
        'ok',
        await signedCorim(ed, corimPayload([[measurementOf(m)]]), undefined, -19),
        values,
      ),
      publishers: [edPublisher],
    },
    one(
      'manifest-by-a-stranger-with-ed25519',
      'reference/publisher',
      await signedCorim(ed, corimPayload([[measurementOf(m)]])),
      values,
    ),
    one(
      'manifest-by-an-unknown-algorithm',
      'reference/form',
      await signedCorim(ed, corimPayload([[measurementOf(m)]]), undefined, -36),
      values,
    ),
    { ...one('manifest-on-p384', 'ok', await signed384, values), publishers: [publisher384] },
    one('manifest-by-a-stranger-on-p384', 'reference/publisher', await signed384, values),
    {
      ...one('provenance-on-p384', 'ok', await signedStatement384(statementOf(values)), values),
      publishers: [publisher384],
    },
    one(
      'manifest-of-an-arm-cca-platform',
      'reference/unsupported',
      await corim([[measurementOf(m)]], { more: [[3, { tag: 32, value: 'tag:arm.com,2025:cca_platform#1.0.0' }]] }),
      values,
    ),
    one('manifest-alone', 'reference/values', await corim([[measurementOf(m)]])),
    one(
      'manifest-over',
      'reference/expired',
      await corim([[measurementOf(m)]], { validity: validityOf(null, 1) }),
      values,
    ),
    one(
      'manifest-whose-signature-is-over',
      'reference/expired',
      await signedCorim(
        key,
        corimPayload([[measurementOf(m)]]),
        undefined,
        undefined,
        encodeCbor(new Map<number, Cbor>([[1, validityOf(null, 1)]])),
      ),
      values,
    ),
    one(
      'manifest-of-an-unknown-profile',
      'reference/unsupported',
      await corim([[measurementOf(m)]], { more: [[3, { tag: 32, value: 'tag:example.org,2025:other' }]] }),
      values,
    ),
    one('manifest-of-more', 'reference/unsupported', await corim([[measurementOf(m), rawOf(2, '00')]]), values),
  ]
  return Promise.all(cases.map(async (vector) => ({ ...vector, valuesDigest: (await judged(vector)).valuesDigest })))
}

describe('signed reference values', () => {
  test('minted anew are judged as the vectors say', async () => {
    const minted = await mint()
    // With CLAVIGER_MINT_REFERENCE_VECTORS the file is written.
    if (process.env.CLAVIGER_MINT_REFERENCE_VECTORS !== undefined)
      writeFileSync(path, `${JSON.stringify({ cases: minted }, null, 2)}\n`)
    for (const one of minted) expect((await judged(one)).expect, one.name).toBe(one.expect)
    const stored = JSON.parse(readFileSync(path, 'utf8')) as { readonly cases: readonly Vector[] }
    expect(stored.cases.map(({ name, expect: code }) => [name, code])).toEqual(
      minted.map((one) => [one.name, one.expect]),
    )
    for (const one of stored.cases)
      expect(await judged(one), one.name).toEqual({ expect: one.expect, valuesDigest: one.valuesDigest })
  })

  test('the example of the page is a set whose values can be read', () => {
    const page = readFileSync(new URL('../../../docs/spec/reference-set.md', import.meta.url), 'utf8')
    const { values, ...rest } = JSON.parse(page.split('```json\n')[1]!.split('```')[0]!)
    expect(Object.keys(rest).sort()).toEqual(['expiresAt', 'issuedAt', 'name', 'title', 'type', 'version'])
    referenceValuesShape(values, 'values')
  })
})
