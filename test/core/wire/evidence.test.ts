import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Json, parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { anyEvidenceShape, evidenceShape, machineEvidenceShape } from '#core/wire/evidence.js'
import { referenceValuesShape, snpReferenceValuesShape } from '#core/wire/reference-values.js'

interface Table {
  readonly good: { readonly [name: string]: Json }
  readonly cases: readonly {
    readonly name: string
    readonly set: { readonly [name: string]: Json }
    readonly unset: readonly string[]
    readonly expect: string
  }[]
}
const vectors = parseJson(
  new Uint8Array(readFileSync(join(import.meta.dirname, '../../vectors/evidence/cases.json'))),
) as unknown as { readonly evidence: Table; readonly referenceValues: Table }

function outcome(shape: Shape<unknown>, value: Json): string {
  try {
    shape(value, '')
    return 'ok'
  } catch (error) {
    if (isFailure(error)) return error.code
    throw error
  }
}

describe.each([
  ['evidence', evidenceShape as Shape<unknown>],
  ['referenceValues', snpReferenceValuesShape as Shape<unknown>],
] as const)('%s', (name, shape) => {
  const { good, cases } = vectors[name]
  test.each(cases.map((one) => [one.name, one] as const))('%s', (_, { set, unset, expect: expected }) => {
    const members = Object.entries({ ...good, ...set }).filter(([member]) => !unset.includes(member))
    expect(outcome(shape, Object.fromEntries(members))).toBe(expected)
  })
})

describe('envelopes of TDX and SGX', () => {
  const bytes = 'AAAA'
  const collateral = {
    tcbInfo: bytes,
    tcbInfoSigner: bytes,
    qeIdentity: bytes,
    qeIdentitySigner: bytes,
    pckCrl: bytes,
    rootCrl: bytes,
  }
  const tdx = { kind: 'tdx', quote: bytes, collateral, eventLog: null }
  const sgx = { kind: 'sgx', quote: bytes, collateral }
  const { rootCrl: _, ...withoutCrl } = collateral

  test.each<[string, Json, string]>([
    ['a TD', tdx, 'ok'],
    ['a TD with an event log', { ...tdx, eventLog: bytes }, 'ok'],
    ['an enclave', sgx, 'ok'],
    ['a TD without a word on its event log', { kind: 'tdx', quote: bytes, collateral }, 'shape/missing'],
    ['an enclave with an event log', { ...sgx, eventLog: null }, 'shape/unknown'],
    ['collateral without the CRL of the root', { ...sgx, collateral: withoutCrl }, 'shape/missing'],
    ['a CRL that is null', { ...sgx, collateral: { ...collateral, pckCrl: null } }, 'shape/type'],
    ['members of another kind', { ...tdx, vek: bytes }, 'shape/unknown'],
    ['base64 that is not canonical', { ...sgx, quote: 'AAB=' }, 'shape/form'],
    ['a quote beyond its bound', { ...sgx, quote: 'AAAA'.repeat(6000) }, 'shape/range'],
    ['a kind that nobody knows', { ...sgx, kind: 'SGX' }, 'shape/form'],
    ['no kind', { quote: bytes, collateral }, 'shape/missing'],
    ['a list', [sgx], 'shape/type'],
  ])('%s', (_, value, expected) => {
    expect(outcome(evidenceShape as Shape<unknown>, value)).toBe(expected)
  })
})

describe('a kind that is not taken', () => {
  const messageOf = (shape: Shape<unknown>, value: Json) => {
    try {
      shape(value, 'evidence')
    } catch (error) {
      return (error as Error).message
    }
    return 'ok'
  }
  const machines = 'snp, tdx, sgx, nitro, cca, azure-snp, azure-tdx'

  test.each([{ kind: 'SNP' }, { kind: 'constructor' }, { kind: ['snp'] }, { kind: null }])('%j', (value) => {
    const expected = `evidence.kind: expected one of ${machines}`
    expect(messageOf(anyEvidenceShape, value)).toBe(`${expected}, composite, gpu`)
    expect(messageOf(evidenceShape, value)).toBe(`${expected}, composite`)
    expect(messageOf(machineEvidenceShape, value)).toBe(expected)
  })

  test('is named where another place would take it', () => {
    expect(messageOf(evidenceShape, { kind: 'gpu' })).toContain('evidence.kind: expected one of')
    const inside = { kind: 'composite', cpu: { kind: 'gpu', devices: [] }, devices: [] }
    expect(messageOf(anyEvidenceShape, inside)).toBe(`evidence.cpu.kind: expected one of ${machines}`)
  })
})

describe('envelopes of AWS Nitro', () => {
  test.each<[string, Json, string]>([
    ['a document', { kind: 'nitro', document: 'AAAA' }, 'ok'],
    ['no document', { kind: 'nitro' }, 'shape/missing'],
    ['a document that is null', { kind: 'nitro', document: null }, 'shape/type'],
    ['collateral beside it', { kind: 'nitro', document: 'AAAA', collateral: null }, 'shape/unknown'],
    ['a document beyond its bound', { kind: 'nitro', document: 'AAAA'.repeat(5700) }, 'shape/range'],
  ])('%s', (_, value, expected) => {
    expect(outcome(evidenceShape as Shape<unknown>, value)).toBe(expected)
  })

  const image = { pcr0: 'aa'.repeat(48), pcr1: 'bb'.repeat(48), pcr2: 'cc'.repeat(48) }
  const values = { images: [image], documentAgeSecondsMax: 300 }
  test.each<[string, Json, string]>([
    ['values', values, 'ok'],
    [
      'lists of registers and enclaves',
      { ...values, pcr3: [image.pcr0], pcr4: [image.pcr0], moduleIds: ['i-0'] },
      'ok',
    ],
    ['no image', { ...values, images: [] }, 'shape/range'],
    ['the zeros of debug mode', { ...values, images: [{ ...image, pcr0: '00'.repeat(48) }] }, 'shape/form'],
    [
      'an image without its application',
      { ...values, images: [{ pcr0: image.pcr0, pcr1: image.pcr1 }] },
      'shape/missing',
    ],
    ['a register of 32 bytes', { ...values, images: [{ ...image, pcr1: 'bb'.repeat(32) }] }, 'shape/form'],
    ['an empty list', { ...values, pcr8: [] }, 'shape/range'],
    ['no bound on age', { images: [image] }, 'shape/missing'],
    ['an age beyond three hours', { ...values, documentAgeSecondsMax: 10_801 }, 'shape/range'],
    ['a way to allow debugging', { ...values, allowDebug: true }, 'shape/unknown'],
  ])('reference values with %s', (_, value, expected) => {
    expect(outcome(referenceValuesShape as Shape<unknown>, { nitro: value })).toBe(expected)
  })
})

describe('envelopes of Arm CCA', () => {
  test.each<[string, Json, string]>([
    ['a token and its key', { kind: 'cca', token: 'AAAA', platformKey: 'AAAA' }, 'ok'],
    ['no key', { kind: 'cca', token: 'AAAA' }, 'shape/missing'],
    ['a key beyond its bound', { kind: 'cca', token: 'AAAA', platformKey: 'AAAA'.repeat(41) }, 'shape/range'],
    ['a token beyond its bound', { kind: 'cca', token: 'AAAA'.repeat(5500), platformKey: 'AAAA' }, 'shape/range'],
    ['a document', { kind: 'cca', document: 'AAAA' }, 'shape/unknown'],
  ])('%s', (_, value, expected) => {
    expect(outcome(evidenceShape as Shape<unknown>, value)).toBe(expected)
  })

  const component = { type: 'RMM', measurement: 'ab'.repeat(32), signerId: 'cd'.repeat(48) }
  const { type: _, ...unnamed } = component
  const platform = { implementationId: '11'.repeat(32), components: [component, unnamed] }
  const values = { initialMeasurements: ['ab'.repeat(64)], platforms: [platform] }
  test.each<[string, Json, string]>([
    ['values', values, 'ok'],
    ['every list', { ...values, rem3: ['ab'.repeat(32)], configs: ['00'], realmHashAlgorithms: ['sha-384'] }, 'ok'],
    ['a measurement of 20 bytes', { ...values, initialMeasurements: ['ab'.repeat(20)] }, 'shape/form'],
    ['no firmware', { ...values, platforms: [] }, 'shape/range'],
    ['a firmware of no components', { ...values, platforms: [{ ...platform, components: [] }] }, 'shape/range'],
    ['a hash of another name', { ...values, realmHashAlgorithms: ['sha-1'] }, 'shape/form'],
    ['a way to allow another lifecycle', { ...values, lifecycles: [0] }, 'shape/unknown'],
  ])('reference values with %s', (_, value, expected) => {
    expect(outcome(referenceValuesShape as Shape<unknown>, { cca: value })).toBe(expected)
  })
})
