import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { explain, explainFile } from '#attest/explain/explain.js'
import type { ExplainedField } from '#attest/explain/part.js'
import { type Form, forms, recognise } from '#attest/recognise.js'
import { concat, fromBase64, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import type { SnpEvidence, TdxEvidence } from '#core/wire/evidence.js'
import { mintCcaEvidence } from '../fakes/cca.js'
import { mintDcapEvidence } from '../fakes/dcap.js'
import { mintGpuEvidence, single } from '../fakes/gpu.js'
import { mintNitroEvidence } from '../fakes/nitro.js'
import { testMeasurement } from '../fakes/platform.js'
import { mintEvidence, mintedReportData } from '../fakes/snp.js'

const vector = (path: string) => new Uint8Array(readFileSync(join(import.meta.dirname, '../vectors', path)))

let snp: SnpEvidence
let tdx: TdxEvidence
let samples: readonly Uint8Array[]
beforeAll(async () => {
  snp = await mintEvidence()
  tdx = (await mintDcapEvidence()) as TdxEvidence
  samples = [
    fromBase64(snp.report),
    fromBase64(tdx.quote),
    fromBase64((await mintDcapEvidence({ tee: 'sgx' })).quote),
    fromBase64((await mintNitroEvidence()).document),
    fromBase64((await mintGpuEvidence(single())).devices[0]!.report),
    fromBase64((await mintCcaEvidence()).token),
    utf8(JSON.stringify(snp)),
    utf8(JSON.stringify(tdx)),
    vector('tdx/firmware-log/event-log.bin'),
    vector('gpu/rim-signer-expired/driver-rim.xml'),
    vector('gpu/all-answers-good/ocsp-device-l2.der'),
  ]
})

const fieldsIn = (bytes: Uint8Array) => explain(recognise(bytes)).flatMap((part) => part.fields)
const named = (fields: readonly ExplainedField[], name: string) => fields.find((one) => one.name === name)?.value

/** Whether fields follow one another without a gap, from `start` to `end`. */
function contiguous(fields: readonly ExplainedField[], start: number): number {
  let at = start
  for (const { offset, size, name } of fields) {
    if (offset === null || size === null) continue
    expect(offset, name).toBe(at)
    at = offset + size
  }
  return at
}

describe('explain', () => {
  test('shows every byte of a report once, under the names of the specification', () => {
    const [part] = explain(recognise(fromBase64(snp.report)))
    expect(contiguous(part!.fields, 0)).toBe(1184)
    expect(named(part!.fields, 'MEASUREMENT')).toBe(testMeasurement)
    expect(named(part!.fields, 'REPORT_DATA')).toBe(toHex(mintedReportData))
    expect(named(part!.fields, 'VERSION')).toBe('5')
    expect(named(part!.fields, 'POLICY')).toMatch(/^0x[0-9a-f]+ \(.*RESERVED_ONE.*\), ABI_MAJOR \d+, ABI_MINOR \d+$/)
  })

  test.each([0, 1])('shows every byte of a quote once, and the certificates inside', async (i) => {
    const quote = samples[1 + i]!
    const parts = explain(recognise(quote))
    const [header, body, signature, qe] = parts
    const afterBody = contiguous(body!.fields, contiguous(header!.fields, 0))
    expect(contiguous(signature!.fields, afterBody)).toBe(quote.length)
    expect(contiguous(qe!.fields, 0)).toBe(384)
    expect(parts.slice(4).map(({ title }) => title)).toEqual(
      ['Intel SGX PCK Certificate', 'Intel SGX PCK Platform CA', 'Intel SGX Root CA'].map(
        (name) => `PCK chain: Certificate ${name}`,
      ),
    )
  })

  test('shows every byte of a device report once', () => {
    const fields = fieldsIn(samples[4]!).filter(({ offset }) => offset !== null)
    const sizes = fields.reduce((sum, { size }) => sum + size!, 0)
    const opaque = explain(recognise(samples[4]!)).at(-1)!.fields.length
    // Type and length of each opaque field are its name and size.
    expect(sizes + 4 * opaque).toBe(samples[4]!.length)
    expect(named(fields, 'DRIVER_VERSION')).toMatch(/^\d+\.\d+/)
  })

  test('names the claims of documents and tokens', () => {
    const nitro = fieldsIn(samples[3]!)
    expect(named(nitro, 'module_id')).toMatch(/^i-/)
    expect(named(nitro, 'protected.alg (1)')).toBe('-35')
    const cca = fieldsIn(samples[5]!)
    expect(named(cca, 'cca-realm-challenge (10)')).toMatch(/^[0-9a-f]{128}$/)
  })

  test('an envelope is explained down to its certificates, lists and documents', () => {
    const titles = explain(recognise(utf8(JSON.stringify(snp)))).map(({ title }) => title)
    expect(titles).toEqual([
      'Evidence envelope',
      'report: ATTESTATION_REPORT',
      'vek: Certificate SEV-VCEK',
      'ask: Certificate SEV-Genoa',
      expect.stringMatching(/^ark: Certificate /),
      'crl: Certificate revocation list',
    ])
    const all = explain(recognise(utf8(JSON.stringify(tdx))))
    const info = all.find(({ title }) => title === 'collateral.tcbInfo: TCB info')!
    expect(named(info.fields, 'tcbInfo.fmspc')).toMatch(/^[0-9a-fA-F]{12}$/)
    expect(named(info.fields, 'tcbInfo.tcbLevels[0].tcb.sgxtcbcomponents')).toMatch(/^svn \d+(, \d+){15}$/)
  })

  test('shows a firmware log event by event, to its last byte', () => {
    const log = vector('tdx/firmware-log/event-log.bin')
    const [part] = explainFile({ name: 'ccel.bin', bytes: log })
    const events = part!.fields.slice(0, -1)
    expect(contiguous(events, 0)).toBe(log.length)
    expect(events.map(({ name }) => name)).toEqual([
      '[0] EV_NO_ACTION',
      '[1] RTMR0 EV_POST_CODE',
      '[2] RTMR1 EV_POST_CODE',
      '(filler)',
    ])
    expect(events[2]!.value).toBe(`SHA-384 ${'22'.repeat(48)}; 3 bytes: "abc"`)
    // A cut, more behind the filler, and digests that nobody knows: as far as it goes.
    const last = (bytes: Uint8Array) => explainFile({ name: '', bytes })[0]!.fields.at(-2)!
    expect(last(log.subarray(0, 100)).name).toBe('(cut off)')
    expect(last(concat(log, new Uint8Array(1)))).toMatchObject({
      name: '(not read)',
      value: expect.stringContaining('filler'),
    })
    const other = log.slice()
    other[0x41 + 12] = 0x99
    expect(last(other)).toMatchObject({ name: '[1] (not read)', value: 'digest of algorithm 0x99' })
  })

  test('shows a RIM with its measurements and certificates, and why one cannot be read', () => {
    const bytes = vector('gpu/rim-signer-expired/driver-rim.xml')
    const [rim, ...certificates] = explainFile({ name: 'driver-rim.xml', bytes })
    expect(rim!.title).toBe('driver-rim.xml: Reference integrity manifest')
    expect(named(rim!.fields, 'SoftwareIdentity.Meta')).toContain('colloquialVersion=580.10.01 product=GH100')
    expect(named(rim!.fields, 'SoftwareIdentity.Payload.Resource[7]')).toMatch(/^active=True .* Hash0=[0-9a-f]{96}$/)
    expect(certificates.map(({ title }) => title.split(': ')[1])).toEqual([
      expect.stringMatching(/^Certificate /),
      'Certificate NVIDIA Reference Value L3 001',
      'Certificate NVIDIA Reference Value CA',
      'Certificate NVIDIA CoRIM signing Root CA',
    ])
    const [cut] = explainFile({ name: '', bytes: bytes.subarray(0, 5000) })
    expect(named(cut!.fields, '(not read)')).toMatch(/\(xml\/form\)$/)
    expect(explainFile({ name: '', bytes: utf8('<html><body/></html>') })).toEqual([])
  })

  test('shows an OCSP answer and who gave it, and why one cannot be read', () => {
    const [answer, responder] = explainFile({ name: 'a', bytes: vector('gpu/all-answers-good/ocsp-device-l2.der') })
    expect(answer!.title).toBe('a: OCSP answer')
    expect(named(answer!.fields, 'certStatus')).toBe('good')
    expect(named(answer!.fields, 'certID.serialNumber')).toBe('02')
    expect(responder!.title).toBe('a: Certificate OCSP Responder of the responder')
    const [late] = explainFile({ name: 'a', bytes: fromHex('30030a0103') })
    expect(named(late!.fields, '(not read)')).toMatch(/response status 3, expected 0 \(ocsp\/not-successful\)$/)
  })

  test('shows a TDREPORT by itself', () => {
    const report = new Uint8Array(1024).fill(7)
    report[0] = 0x81
    const [part] = explainFile({ name: 'tdreport.bin', bytes: report })
    expect(part!.title).toBe('tdreport.bin: TDREPORT_STRUCT')
    expect(named(part!.fields, 'MRTD')).toBe('07'.repeat(48))
  })

  test('bytes that are broken or cut off are shown as far as they go, and nothing is thrown', () => {
    const names = Object.keys(forms) as Form[]
    const broken = fc
      .tuple(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat())
      .map(([i, at, mask, end]) => {
        const bytes = samples[i % samples.length]!.slice()
        bytes[at % bytes.length]! ^= mask
        return end % 3 === 0 ? bytes.subarray(0, end % bytes.length) : bytes
      })
    fc.assert(
      fc.property(fc.oneof(broken, fc.uint8Array({ maxLength: 700 })), fc.constantFrom(...names), (bytes, form) => {
        // JSON forms are JSON once they are recognised.
        if (form !== 'envelope') explain({ form, title: '', bytes, notes: [] })
        explainFile({ name: 'x', bytes })
        for (const found of Object.entries(forms).filter(([, { cut }]) => cut(bytes) !== null))
          expect(explain({ form: found[0] as Form, title: '', bytes, notes: [] }).length).toBeGreaterThan(0)
      }),
      { numRuns: 600 },
    )
  })

  test('what is longer than any evidence is shown as far as evidence goes', () => {
    const report = new Uint8Array(2 ** 22).fill(0xa1)
    report.set([0x11, 0xe0, 0x01, 0xff])
    const ofDevice = explain({ form: 'gpu-report', title: '', bytes: report, notes: [] })
    expect(ofDevice.flatMap(({ fields }) => fields).length).toBeLessThan(1000)
    expect(ofDevice.flatMap(({ fields }) => fields).some(({ name }) => name === '(cut off)')).toBe(true)
    const members = Array.from({ length: 150_000 }, (_, i) => `"m${i}":"QUJD"`).join(',')
    const [envelope] = explain(recognise(utf8(`{"kind":"snp",${members}}`)))
    expect(envelope!.fields).toHaveLength(1001)
    expect(envelope!.fields.at(-1)!.name).toBe('(more)')
  })

  test('says where a quote was cut off', () => {
    const fields = fieldsIn(concat(samples[1]!.subarray(0, 700)))
    expect(fields.at(-1)!.name).toBe('(cut off)')
  })
})
