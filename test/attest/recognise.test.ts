import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { assemble } from '#attest/assemble.js'
import { poolOf } from '#attest/pool.js'
import { type Form, forms, recognise } from '#attest/recognise.js'
import { concat, fromBase64, fromHex, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { serials } from '#runtime/attester/simulated/authority.js'
import { mintAzureEvidence } from '../fakes/azure.js'
import { codeOf } from '../fakes/code-of.js'
import { mintDcapEvidence } from '../fakes/dcap.js'
import { testTime } from '../fakes/platform.js'
import { mintEvidence } from '../fakes/snp.js'

const samples = new Map<Form, Uint8Array>()
let report: Uint8Array
let quote: Uint8Array
beforeAll(async () => {
  const evidence = await mintEvidence()
  report = fromBase64(evidence.report)
  const header = new Uint8Array(32)
  new DataView(header.buffer).setUint32(4, report.length, true)
  quote = fromBase64((await mintDcapEvidence()).quote)
  const kbs = { 'tee-evidence': { primary_evidence: {} }, 'runtime-data': {} }
  samples.set('snp-report', report)
  samples.set('snp-response', concat(header, report))
  samples.set('tdx-quote', quote)
  samples.set('sgx-quote', fromBase64((await mintDcapEvidence({ tee: 'sgx' })).quote))
  samples.set('envelope', utf8(JSON.stringify(evidence)))
  samples.set('kbs-attestation', utf8(JSON.stringify(kbs)))
  samples.set('nitro-document', fromHex('8444a1013822a0'))
  samples.set('azure-hcl-report', utf8('HCLA....'))
  samples.set('gpu-report', fromHex(`11e001ff${'00'.repeat(40)}`))
  samples.set('cca-token', fromHex('d9018fa2'))
})

const matching = (bytes: Uint8Array) => Object.values(forms).filter(({ cut }) => cut(bytes) !== null).length

describe('recognise', () => {
  test('every form has a sample, and each sample is of that form alone', () => {
    expect([...samples.keys()].sort()).toEqual(Object.keys(forms).sort())
    for (const [form, bytes] of samples) {
      expect(recognise(bytes).form, form).toBe(form)
      expect(matching(bytes), form).toBe(1)
    }
  })

  test('cuts away what a device put around the evidence, and says so', () => {
    const response = recognise(samples.get('snp-response')!)
    expect(toHex(response.bytes)).toBe(toHex(report))
    expect(response.notes).toEqual(['the reply of the guest device around it was cut away'])
    const padded = recognise(concat(samples.get('snp-response')!, new Uint8Array(2784)))
    expect(toHex(padded.bytes)).toBe(toHex(report))
    const buffer = recognise(concat(quote, new Uint8Array(3000)))
    expect(toHex(buffer.bytes)).toBe(toHex(quote))
    expect(buffer.notes).toEqual(['3000 bytes behind the quote were cut away: nobody signed them'])
  })

  test('decodes hex and base64 texts, with line ends', () => {
    const base64 = utf8(toBase64(quote).replace(/.{76}/g, '$&\n'))
    expect(recognise(base64)).toMatchObject({ form: 'tdx-quote', notes: ['decoded from base64'] })
    expect(recognise(utf8(`0x${toHex(report)}\n`))).toMatchObject({ form: 'snp-report', notes: ['decoded from hex'] })
  })

  test('does not take for evidence what is none', () => {
    const none = [
      new Uint8Array(),
      utf8('-----BEGIN CERTIFICATE-----\n'),
      utf8('{"type":"claviger/node/v1"}'),
      utf8('{"kind":1}'),
      utf8('{"kind":"snp"'),
      utf8('[]'),
      report.subarray(0, 1183),
      concat(report, new Uint8Array(1)),
      // A reply with a status, of another size, or with something behind the report.
      ...[0, 4, 8, 1216].map((at) => {
        const bytes = concat(samples.get('snp-response')!, new Uint8Array(1))
        bytes[at]! ^= 1
        return bytes
      }),
    ]
    for (const bytes of none) expect(codeOf(() => recognise(bytes))).toBe('evidence/unrecognised')
    const beside: readonly (readonly [string, Uint8Array])[] = [
      ['TCB info of Intel', utf8('{"tcbInfo":{},"signature":""}')],
      ['the identity of a quoting enclave', utf8(' {"enclaveIdentity":{},"signature":""}')],
      ['DER of a certificate, a list or a key', fromHex('3082010a0282')],
      ['XML, as a RIM of a device', utf8('<?xml version="1.0"?><a/>')],
      ['PEM text of certificates', utf8('-----BEGIN CERTIFICATE-----')],
    ]
    for (const [words, bytes] of beside) expect(() => recognise(bytes)).toThrow(words)
  })

  test.each([
    ['a name twice', (text: string) => text.replace('{', '{"kind":"snp",'), 'json/duplicate'],
    ['half of it', (text: string) => text.slice(0, text.length >> 1), 'json/syntax'],
    ['something behind it', (text: string) => `${text}}`, 'json/syntax'],
    [
      'brackets too deep',
      (text: string) => text.replace('{', `{"a":${'['.repeat(40)}${']'.repeat(40)},`),
      'json/limit',
    ],
  ])('says of an envelope with %s why it cannot be read', (_, change, code) => {
    const text = new TextDecoder().decode(samples.get('envelope')!)
    let thrown: unknown
    try {
      recognise(utf8(change(text)))
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({
      code: 'evidence/unrecognised',
      message: expect.stringMatching(new RegExp(`^JSON that is refused: .*\\(${code}\\)$`)),
      cause: { code },
    })
  })

  test('takes no file beyond its bound, and makes no envelope of what another place takes apart', () => {
    expect(codeOf(() => recognise(new Uint8Array(16 * 1024 * 1024 + 1)))).toBe('evidence/size')
    const message = recognise(samples.get('kbs-attestation')!)
    expect(codeOf(() => assemble(message, poolOf([])))).toBe('evidence/unverified-form')
  })

  test('bytes are of one form at most, and nothing but a Failure is thrown', () => {
    const heads = [...samples.values()].map((bytes) => bytes.subarray(0, 64))
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 2000 }),
      fc.tuple(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 1400 })).map(([head, rest]) => concat(head, rest)),
      fc.json().map(utf8),
    )
    fc.assert(
      fc.property(bytes, (one) => {
        expect(matching(one)).toBeLessThanOrEqual(1)
        try {
          expect(recognise(one).bytes.length).toBeLessThanOrEqual(one.length)
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('cuts inside of samples are seen as that form or as none', () => {
    const all = [...samples]
    fc.assert(
      fc.property(fc.nat({ max: all.length - 1 }), fc.nat(), fc.nat({ max: 255 }), (i, at, mask) => {
        const [form, sample] = all[i]!
        const bytes = sample.slice()
        bytes[at % bytes.length]! ^= mask
        expect(matching(bytes)).toBeLessThanOrEqual(1)
        const found = Object.entries(forms).find(([, { cut }]) => cut(bytes) !== null)?.[0]
        // The type of TEE is one byte: a quote of one is otherwise that of the other.
        const related = form.endsWith('-quote') ? ['tdx-quote', 'sgx-quote'] : [form]
        expect([undefined, ...related]).toContain(found)
      }),
      { numRuns: 1000 },
    )
  })
})

test('an envelope of an Azure machine takes the list that it lacks from beside it, as one of a bare machine does', async () => {
  const whole = await mintAzureEvidence({ hardware: 'snp' })
  const { crl } = await mintEvidence()
  const pool = poolOf([{ name: 'crl', bytes: fromBase64(crl!) }])
  const bare = utf8(JSON.stringify({ ...whole, crl: null }))
  expect(assemble(recognise(bare), pool)).toMatchObject({ kind: 'azure-snp', crl })
})

describe('of the two lists that AMD’s root signs', () => {
  const listed = async (change: { thisUpdate?: number; revoked?: readonly number[] }) => {
    const { crl } = await mintEvidence({ crl: change })
    return { name: `${change.thisUpdate}`, bytes: fromBase64(crl!) }
  }

  test('the one that takes the intermediate back is taken, or else the newest, from an envelope and from files', async () => {
    const { vek, ask, ark, ...rest } = await mintEvidence({ cspId: 'CN=provider.example' })
    const files = [vek, ask, ark].map((text, i) => ({ name: `${i}`, bytes: fromBase64(text) }))
    const revoking = await listed({ thisUpdate: testTime - 86_400, revoked: [serials.ask] })
    const older = await listed({ thisUpdate: testTime - 2 * 86_400 })
    const newer = await listed({ thisUpdate: testTime })
    const bare = utf8(JSON.stringify({ ...rest, vek, ask, ark, crl: null }))
    for (const [lists, wanted] of [
      [[newer, revoking, older], revoking],
      [[older, newer], newer],
    ] as const) {
      const [pool, alone] = [poolOf([...files, ...lists]), poolOf(lists)]
      for (const found of [assemble(recognise(report), pool), assemble(recognise(bare), alone)])
        expect(found).toMatchObject({ kind: 'snp', crl: toBase64(wanted.bytes) })
    }
  })
})
