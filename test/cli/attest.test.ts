import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encodeBundle } from '#attest/endorsements/bundle.js'
import { parseName } from '#attest/endorsements/names.js'
import { field } from '#attest/tdx/layout.js'
import * as explainCommand from '#cli/attest/explain.js'
import { renderTrace } from '#cli/attest/render.js'
import * as attest from '#cli/attest/verify.js'
import { type Io, reportError } from '#cli/output.js'
import * as verify from '#cli/verify.js'
import { fromBase64, toBase64, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type { AzureSnpEvidence, SnpEvidence, TdxEvidence } from '#core/wire/evidence.js'
import { mintAzureEvidence } from '../fakes/azure.js'
import { mintComposite } from '../fakes/composite.js'
import { dcapReportData, dcapRootDigest, mintDcapEvidence } from '../fakes/dcap.js'
import { testTdxValues } from '../fakes/dcap-vectors.js'
import { gpuRootDigest } from '../fakes/gpu.js'
import { testGpuValues } from '../fakes/gpu-vectors.js'
import { attestation, clientKey, clientReportData } from '../fakes/kbs-client.js'
import { outside } from '../fakes/outside.js'
import { testReferenceValues, testRootDigest, testTime } from '../fakes/platform.js'
import { mintEvidence, mintedReportData } from '../fakes/snp.js'

class TestIo implements Io {
  out = ''
  err = ''
  readonly isTerminal = false
  stdout(text: string) {
    this.out += text
  }
  stderr(text: string) {
    this.err += text
  }
  now = () => testTime
  exit() {}
  async ask() {
    return null
  }
}

type Arguments = Partial<attest.AttestVerifyArguments>
async function typed(file: string, args: Arguments = {}) {
  const io = new TestIo()
  const code = await attest.run({ file, ...args }, io).catch((error: unknown) => reportError(io, error))
  return { code, out: io.out, err: io.err }
}

let work: string
let evidence: SnpEvidence
const write = (name: string, content: Uint8Array | string) => {
  const path = join(work, name)
  writeFileSync(path, content)
  return path
}
const paths = { envelope: '', values: '', report: '', folder: '', noCrl: '' }
let full: Arguments
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'claviger-attest-'))
  evidence = await mintEvidence()
  paths.envelope = write('evidence.json', JSON.stringify(evidence))
  paths.values = write('values.json', JSON.stringify(testReferenceValues()))
  paths.report = write('report.bin', fromBase64(evidence.report))
  paths.folder = join(work, 'collateral')
  paths.noCrl = join(work, 'no-crl')
  for (const folder of [paths.folder, paths.noCrl, join(paths.folder, 'below')]) mkdirSync(folder)
  // Names say nothing, PEM and DER stand side by side, and what is none of the vendor's is passed over.
  write('collateral/a', fromBase64(evidence.vek))
  write(
    'collateral/b.txt',
    `${encodePem(fromBase64(evidence.ask), 'CERTIFICATE')}${encodePem(fromBase64(evidence.ark), 'CERTIFICATE')}`,
  )
  write('collateral/below/c', fromBase64(evidence.crl!))
  write('collateral/notes.md', 'nothing of interest')
  write(
    'no-crl/all.pem',
    [evidence.vek, evidence.ask, evidence.ark].map((one) => encodePem(fromBase64(one), 'CERTIFICATE')).join(''),
  )
  full = {
    reportData: toHex(mintedReportData),
    referenceValues: paths.values,
    simulatedRoot: [testRootDigest],
    dangerousAllowSimulated: true,
  }
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

describe('composite evidence', () => {
  const files: { evidence: string; binding: string; values: string } = { evidence: '', binding: '', values: '' }
  let args: Arguments
  beforeAll(async () => {
    const { evidence: node, binding } = await mintComposite('snp', [{}])
    files.evidence = write('node.json', JSON.stringify(node))
    files.binding = write('binding.json', JSON.stringify(binding))
    files.values = write('node-values.json', JSON.stringify({ ...testReferenceValues(), ...testGpuValues() }))
    args = {
      referenceValues: files.values,
      simulatedRoot: [testRootDigest, gpuRootDigest],
      dangerousAllowSimulated: true,
    }
  })

  test('with its binding every comparison is made, and the devices are joined to the machine', async () => {
    const { out, err } = await typed(files.evidence, { ...args, binding: files.binding })
    expect(out).toContain('✓ devices-digest')
    expect(out).toContain('✓ devices/report-data')
    expect(out).not.toContain('✗')
    expect(err).not.toContain('--binding')
  })

  test('without it nothing says that they belong together, which is a skip and no pass', async () => {
    const { code, out, err } = await typed(files.evidence, args)
    expect(code).toBe(3)
    expect(out).toContain('– devices-digest')
    expect(err).toContain('hint: add --binding FILE')
  })

  test('with report data alone it is refused', async () => {
    const { code, out } = await typed(files.evidence, { ...args, reportData: '00'.repeat(64) })
    expect(code).toBe(3)
    expect(out).toContain('✗ devices-digest')
  })

  test('one of the three ways to say what it carries is enough', async () => {
    const both = await typed(files.evidence, { ...args, binding: files.binding, nonce: '00' })
    expect(both.code).toBe(2)
  })
})

describe('claviger attest verify', () => {
  test('exit 0 only when every step passed and simulated evidence is allowed', async () => {
    const good = await typed(paths.envelope, full)
    expect(good).toMatchObject({ code: 0, err: '' })
    expect(good.out).toMatch(/^evidence envelope, judged at /)
    expect(good.out).toContain('✓ snp/structure      version 5, 1184 bytes, signed by a VCEK\n')
    expect(good.out).toContain('\nsignatures verified: 1 of the evidence, 4 of the vendor\n')
    expect(good.out).toContain('warning: NOT HARDWARE: simulated evidence under a throwaway root')
    expect(good.out.trimEnd().split('\n').at(-1)).toBe('SIMULATED: NOT HARDWARE')
    const refused = await typed(paths.envelope, { ...full, dangerousAllowSimulated: undefined })
    expect(refused.code).toBe(3)
    expect(refused.out).toBe(good.out)
    expect(refused.err).toContain('hint: add --dangerous-allow-simulated')
  })

  test('a date that fails says when all of it counts, and that this can be judged', async () => {
    const stale = await mintEvidence({ at: testTime - 60 * 86_400 })
    const old = write('stale.json', JSON.stringify(stale))
    const now = await typed(old, { ...full, at: formatTime(testTime) })
    expect(now.code).toBe(3)
    expect(now.out).toContain('(crl/expired)')
    const [, at] = /add --at (\S+) to judge as of then/.exec(now.err)!
    expect(now.err).toContain(
      `hint: the collateral is out of date (judged at ${formatTime(testTime)}): all of it counts from ${at} to `,
    )
    expect((await typed(old, { ...full, at })).out).toContain('✓ snp/crl')
    const mixed = {
      ...stale,
      crl: (await mintEvidence({ crl: { thisUpdate: testTime + 5000 * 86_400, nextUpdate: testTime + 5001 * 86_400 } }))
        .crl,
    }
    const { err } = await typed(write('mixed.json', JSON.stringify(mixed)), full)
    expect(err).toMatch(
      /the collateral is of several times \(judged at .*\): .* ends at .*, CRL of the root begins at /,
    )
  })

  const captures = outside('vectors')
  test.skipIf(captures === undefined)('a published case whose answers are of two months says which two', async () => {
    const folder = join(captures!, 'nvidia-gpu/gh100-550.90.07-full')
    const { code, err } = await typed(join(folder, 'report.bin'), { collateral: folder, at: '2025-08-21T12:00:00Z' })
    expect(code).toBe(3)
    expect(err).toContain('OCSP answer on NVIDIA GH100 Provisioner ICA 1 ends at 2025-08-22T06:47:07Z, ')
    expect(err).toContain('OCSP answer on HCC RIM L4 Signer begins at 2025-10-24T11:32:22Z; ')
  })

  test('a report in a file of its own is as good, with a folder of certificates and the list', async () => {
    expect(await typed(paths.report, { ...full, collateral: paths.folder })).toMatchObject({ code: 0 })
    const text = write('report.b64', toBase64(fromBase64(evidence.report)).replace(/.{64}/g, '$&\n'))
    const { code, out } = await typed(text, { ...full, collateral: paths.folder })
    expect(code).toBe(0)
    expect(out).toContain('  decoded from base64\n')
  })

  test.each([
    ['report data', { reportData: undefined }, ['report-data']],
    ['reference values', { referenceValues: undefined }, ['reference-values']],
    ['both', { reportData: undefined, referenceValues: undefined }, ['reference-values', 'report-data']],
  ])('without %s the steps are skipped by name, and the verdict is partial', async (_, missing, ids) => {
    const { code, out, err } = await typed(paths.envelope, { ...full, ...missing })
    expect(code).toBe(3)
    expect(out).toContain(`SIMULATED: NOT HARDWARE, PARTLY VERIFIED: skipped ${ids.join(', ')}\n`)
    for (const id of ids) expect(err).toContain(`hint: add --${id} `)
  })

  test('without a list of revoked certificates the step is skipped, though the owner may not ask for one', async () => {
    const lenient = testReferenceValues()
    const values = write('lenient.json', JSON.stringify({ snp: { ...lenient.snp, crl: 'when-given' } }))
    const { code, out } = await typed(paths.report, { ...full, referenceValues: values, collateral: paths.noCrl })
    expect(code).toBe(3)
    expect(out).toContain('– snp/crl\n    skipped:   the evidence came without a CRL')
    expect(out).toContain('PARTLY VERIFIED: skipped snp/crl\n')
  })

  test('what fails is named with code, expectation, hint and section, in JSON under the same ids', async () => {
    const broken = fromBase64(evidence.report)
    broken[0x90]! ^= 1
    const file = write('broken.json', JSON.stringify({ ...evidence, report: toBase64(broken) }))
    const { code, out } = await typed(file, full)
    expect(code).toBe(3)
    expect(out).toContain(
      '✗ snp/signature\n    found:     report was not signed by the endorsement key (snp/signature)\n',
    )
    for (const row of ['expected: ', 'hint: ', 'section: ']) expect(out).toContain(`    ${row}`)
    expect(out).toMatch(
      /– snp\/tcb, snp\/identity, reference-values and \d+ more\n {4}skipped: {2}not reached: snp\/signature failed/,
    )
    expect(out).toContain('NOT VERIFIED: 1 step failed\n')
    const json = JSON.parse((await typed(file, { ...full, json: true })).out)
    expect(json).toMatchObject({ accepted: false, hardware: false, complete: false, form: 'envelope', kind: 'snp' })
    expect(json.failure).toBe('snp/signature')
    expect(json.signatures).toEqual({ evidence: 0, vendor: 4 })
    expect(json.claims).toBe(null)
    const failed = json.steps.filter((step: { verdict: string }) => step.verdict === 'fail')
    expect(failed).toMatchObject([{ id: 'snp/signature', code: 'snp/signature' }])
  })

  test('other report data and other reference values are a verdict against', async () => {
    const other = await typed(paths.envelope, { ...full, reportData: '00'.repeat(64) })
    expect(other.code).toBe(3)
    expect(other.out).toContain('✗ report-data\n')
    const values = testReferenceValues()
    const file = write('other.json', JSON.stringify({ snp: { ...values.snp, measurements: ['00'.repeat(48)] } }))
    const wrong = await typed(paths.envelope, { ...full, referenceValues: file })
    expect(wrong.code).toBe(3)
    expect(wrong.out).toContain('✗ measurement\n')
    expect(wrong.out).toContain('NOT VERIFIED: 1 step failed\n')
  })

  test('a root that nobody named makes nothing simulated', async () => {
    const { code, out } = await typed(paths.envelope, { ...full, simulatedRoot: [] })
    expect(code).toBe(3)
    expect(out).toContain('✗ snp/root\n')
  })

  test('evidence is judged at the time that was typed, in seconds or as a date', async () => {
    const date = new Date(testTime * 1000).toISOString()
    for (const at of [String(testTime), date])
      expect(await typed(paths.envelope, { ...full, at })).toMatchObject({ code: 0 })
    const late = await typed(paths.envelope, { ...full, at: '2090-01-01T00:00:00Z' })
    expect(late.code).toBe(3)
    expect(late.out).toContain('(chain/expired)')
  })

  test('--verbose says of every step what was expected and which section says so', async () => {
    const { out } = await typed(paths.envelope, { ...full, verbose: true })
    const lines = out.split('\n')
    expect(lines.filter((line) => line.startsWith('✓')).length).toBe(
      lines.filter((line) => /^ {4}section:/.test(line)).length,
    )
  })

  test('what was typed wrongly ends with 2, what cannot be read with 1', async () => {
    const wrong: readonly Arguments[] = [
      { at: 'yesterday' },
      { at: '2026-02-30T00:00:00Z' },
      { reportData: '00' },
      { reportData: 'zz'.repeat(64) },
      { nonce: '' },
      { nonce: '00', reportData: '00'.repeat(64) },
      { nonce: '00'.repeat(32) },
      { simulatedRoot: ['00'] },
    ]
    for (const args of wrong)
      expect(await typed(paths.envelope, args), JSON.stringify(args)).toMatchObject({ code: 2, out: '' })
    const lone = await typed(paths.report)
    expect(lone).toMatchObject({ code: 2, out: '' })
    expect(lone.err).toContain('comes without the certificate of the key that signed it (VCEK or VLEK)')
    expect(lone.err).toContain('hint: put these files into a folder and add --collateral DIR')
    const nothing = write('nothing', 'hello')
    expect(await typed(join(work, 'none'))).toMatchObject({ code: 1, out: '' })
    // What is no evidence is judged like evidence that is wrong.
    for (const file of [nothing, paths.values]) {
      const against = await typed(file)
      expect(against).toMatchObject({ code: 3, out: 'NOT VERIFIED\n' })
      expect(against.err).toContain('(evidence/unrecognised)')
    }
    expect(await typed(paths.report, { collateral: join(work, 'none') })).toMatchObject({ code: 1 })
    const empty = join(work, 'empty')
    mkdirSync(empty)
    expect(await typed(paths.report, { collateral: empty })).toMatchObject({ code: 1 })
  })

  test('raw evidence that is larger than any of its kind is a verdict against, whatever its form', async () => {
    const folder = join(work, 'nothing-beside')
    mkdirSync(folder)
    const large = (head: string) => {
      const bytes = new Uint8Array(100_000).fill(0x81)
      bytes.set(Buffer.from(head, 'hex'))
      return write(`large-${head}`, bytes)
    }
    const chain = encodePem(fromBase64(evidence.ark), 'CERTIFICATE')
    writeFileSync(join(folder, 'chain.pem'), chain)
    for (const head of ['8444a1013822', '11e001ff']) {
      const { code, out, err } = await typed(large(head), { collateral: folder })
      expect({ head, code, out }).toEqual({ head, code: 3, out: 'NOT VERIFIED\n' })
      expect(err).toContain('shape/range')
    }
  })

  test('a quote takes Intel’s documents from the folder, and an event log that did not come is a skip', async () => {
    const tdx = await mintDcapEvidence()
    const folder = join(work, 'intel')
    mkdirSync(folder)
    for (const [name, text] of Object.entries(tdx.collateral)) write(`intel/${name}`, fromBase64(text))
    const quote = write('quote.bin', Buffer.concat([fromBase64(tdx.quote), Buffer.alloc(3000)]))
    const values = write('tdx-values.json', JSON.stringify(testTdxValues()))
    const args = {
      collateral: folder,
      reportData: toHex(dcapReportData),
      referenceValues: values,
      simulatedRoot: [dcapRootDigest],
      dangerousAllowSimulated: true,
    }
    const { code, out } = await typed(quote, args)
    expect(code).toBe(3)
    expect(out).toContain('  3000 bytes behind the quote were cut away: nobody signed them\n')
    expect(out).toContain('PARTLY VERIFIED: skipped tdx/event-log\n')
    const lone = await typed(quote, { ...args, collateral: paths.folder })
    expect(lone).toMatchObject({ code: 1 })
    expect(lone.err).toContain('comes without TCB info, the TCB signing certificate, QE identity')
  })

  test('a KBS message answers the nonce that is in it, and has to be asked for by its reader', async () => {
    const { jwk } = clientKey('P-256')
    const nonce = new Uint8Array(32).fill(9)
    const bound = await mintEvidence({ report: { reportData: clientReportData(toBase64(nonce), jwk) } })
    const certificates = Object.fromEntries(
      Object.entries({ VCEK: bound.vek, ASK: bound.ask, ARK: bound.ark, CRL: bound.crl! }).map(([type, text]) => [
        type,
        fromBase64(text),
      ]),
    )
    const message = (additional: string) =>
      attestation(toBase64(nonce), jwk, fromBase64(bound.report), certificates, { additional })
    const file = write('kbs.json', message(''))
    const args = { ...full, reportData: undefined, nonce: toHex(nonce) }
    const { code, out } = await typed(file, args)
    expect(out).toContain('  taken out of a KBS attestation message\n')
    expect(out).toContain('✓ report-data')
    expect(code).toBe(0)
    const other = await typed(file, { ...args, nonce: '00'.repeat(32) })
    expect(other.code).toBe(3)
    expect(other.out).toContain('✗ report-data')
    const devices = write('kbs-devices.json', message('{"nvidia":{}}'))
    expect((await typed(devices, args)).err).toContain('(kbs/evidence)')
  })

  test('a KBS message in a PEM text takes what it lacks from the blocks beside it, in text, verdict and explanation', async () => {
    const { jwk } = clientKey('P-256')
    const nonce = new Uint8Array(32).fill(9)
    const bound = await mintEvidence({ report: { reportData: clientReportData(toBase64(nonce), jwk) } })
    const block = (bytes: Uint8Array, label: string) => encodePem(bytes, label)
    const message = attestation(toBase64(nonce), jwk, fromBase64(bound.report), {})
    const chain = [bound.vek, bound.ask, bound.ark].map((one) => block(fromBase64(one), 'CERTIFICATE')).join('')
    const list = block(fromBase64(bound.crl!), 'X509 CRL')
    const own = block(utf8(message), 'KBS ATTESTATION')
    const args = { ...full, reportData: undefined, nonce: toHex(nonce), collateral: undefined }
    for (const [name, text] of [
      ['kbs-first.pem', `${own}${chain}${list}`],
      ['kbs-last.pem', `${list}${chain}${own}`],
    ] as const) {
      const { code, out } = await typed(write(name, text), args)
      expect(out).toContain('  taken out of a PEM bundle\n  taken out of a KBS attestation message\n')
      expect(out).toContain('✓ report-data')
      expect(code).toBe(0)
    }
    const target = join(work, 'kbs-first.pem')
    const io = new TestIo()
    const same = { simulatedRoot: full.simulatedRoot!, referenceValues: full.referenceValues!, nonce: toHex(nonce) }
    expect(await verify.run({ target, ...same, dangerousAllowSimulated: true }, io)).toBe(0)
    const json = await typed(target, { ...args, json: true })
    expect(JSON.parse(json.out)).toMatchObject({ accepted: true, form: 'snp-report', kind: 'snp' })
    const shown = new TestIo()
    expect(await explainCommand.run({ file: target }, shown)).toBe(0)
    expect(shown.out).toContain('REPORT_DATA')
    expect(shown.out).toContain('Certificate revocation list')
    // Another nonce, a message without its certificates, one that is cut, and two of them.
    const other = await typed(target, { ...args, nonce: '00'.repeat(32) })
    expect([other.code, other.out]).toEqual([3, expect.stringContaining('✗ report-data')])
    const alone = await typed(write('kbs-alone.pem', own), args)
    expect(alone).toMatchObject({ code: 2, err: expect.stringContaining('add --collateral DIR') })
    const cut = block(utf8(message.slice(0, -1)), 'KBS ATTESTATION')
    expect(await typed(write('kbs-cut.pem', `${cut}${chain}`), args)).toMatchObject({ code: 3, out: 'NOT VERIFIED\n' })
    const twice = await typed(write('kbs-twice.pem', `${own}${own}${chain}`), args)
    expect(twice).toMatchObject({ code: 3, out: 'NOT VERIFIED\n' })
    expect(twice.err).toContain('evidence/unrecognised')
  })

  test('a KBS message of a TD, and of a vTPM, is taken apart the same way', async () => {
    const { jwk } = clientKey('P-256')
    const nonce = new Uint8Array(32).fill(9)
    const message = (primary: unknown) =>
      JSON.stringify({
        'init-data': null,
        'runtime-data': { nonce: toBase64(nonce), 'tee-pubkey': jwk },
        'tee-evidence': { primary_evidence: primary, additional_evidence: '' },
      })
    const bound = clientReportData(toBase64(nonce), jwk)
    const roots = { simulatedRoot: [testRootDigest, dcapRootDigest], nonce: toHex(nonce) }
    const tdx = (await mintDcapEvidence({ report: (body) => body.set(bound, field.reportData[0]) })) as TdxEvidence
    const intel = join(work, 'kbs-intel')
    mkdirSync(intel)
    for (const [name, text] of Object.entries(tdx.collateral)) write(`kbs-intel/${name}`, fromBase64(text))
    const quote = write('kbs-tdx.json', message({ quote: tdx.quote, cc_eventlog: null }))
    const td = await typed(quote, { ...roots, collateral: intel })
    expect(td.out).toContain('SIMULATED: NOT HARDWARE, PARTLY VERIFIED: skipped tdx/event-log, reference-values\n')

    const azure = (await mintAzureEvidence({ extraData: bound.subarray(0, 48) })) as AzureSnpEvidence
    const hex = (text: string) => toHex(fromBase64(text))
    const pcrs = Array.from({ length: 24 }, (_, i) => hex(azure.pcrs[String(i)]!))
    const file = message({
      version: 2,
      tpm_quote: { signature: hex(azure.tpmSignature), message: hex(azure.tpmQuote), pcrs },
      hcl_report: toBase64Url(fromBase64(azure.hclReport)),
      vcek: toBase64Url(fromBase64(azure.vek)),
    })
    const vtpm = await typed(write('kbs-azure.json', file), { ...roots, collateral: paths.folder })
    expect(vtpm.out).toContain('✓ report-data')
    expect(vtpm.out).toContain('PARTLY VERIFIED: skipped reference-values\n')
    const other = await typed(join(work, 'kbs-azure.json'), {
      ...roots,
      nonce: '00'.repeat(32),
      collateral: paths.folder,
    })
    expect(other.out).toContain('✗ report-data')
  })

  test('an offline bundle stands in for the folder', async () => {
    const chain = (...texts: string[]) => texts.map((text) => fromBase64(text))
    const { ask, ark, crl } = evidence
    const bundle = encodeBundle([
      { name: parseName('amd/genoa/vcek/ask'), body: fromBase64(ask), chain: chain(ark) },
      { name: parseName('amd/genoa/vcek/crl'), body: fromBase64(crl!), chain: chain(ark) },
      {
        name: parseName(`amd/genoa/vcek/${'5a'.repeat(64)}/10.0.27.84`),
        body: fromBase64(evidence.vek),
        chain: chain(ask, ark),
      },
    ])
    expect(await typed(paths.report, { ...full, collateral: write('bundle.json', bundle) })).toMatchObject({ code: 0 })
  })

  test('a PEM text with the report, its certificates and the list is all there is to it', async () => {
    const { report, vek, ask, ark, crl } = evidence
    const block = (text: string, label: string) => encodePem(fromBase64(text), label)
    const chain = [vek, ask, ark].map((one) => block(one, 'CERTIFICATE')).join('')
    const own = `${block(report, 'SNP REPORT')}${chain}`
    const whole = await typed(write('bundle.pem', `${own}${block(crl!, 'X509 CRL')}`), {
      ...full,
      collateral: undefined,
    })
    expect(whole).toMatchObject({ code: 0 })
    expect(whole.out).toContain('taken out of a PEM bundle')
    const { dangerousAllowSimulated, ...same } = { ...full, collateral: undefined }
    const io = new TestIo()
    const target = join(work, 'bundle.pem')
    expect(await verify.run({ target, ...same, dangerousAllowSimulated: dangerousAllowSimulated! }, io)).toBe(0)
    const noList = await typed(write('no-list.pem', own), { ...full, collateral: undefined })
    expect(noList).toMatchObject({ code: 3 })
    const shown = new TestIo()
    expect(await explainCommand.run({ file: join(work, 'bundle.pem') }, shown)).toBe(0)
    expect(shown.out).toContain('REPORT_DATA')
    expect(shown.out).toContain('Certificate revocation list')
    // Two pieces of evidence, or none: nobody knows what is asked.
    for (const text of [`${own}${block(report, 'REPORT')}`, chain]) {
      const none = await typed(write('none.pem', text), { ...full, collateral: undefined })
      expect(none).toMatchObject({ code: 3, out: 'NOT VERIFIED\n' })
      expect(none.err).toContain('evidence/unrecognised')
    }
  })

  test('one file stands in for the folder, and a bundle that is none says why', async () => {
    const all = ['no-crl/all.pem', 'collateral/below/c'].map((name) => join(work, name))
    expect(await typed(paths.report, { ...full, collateral: all[0] })).toMatchObject({ code: 3 })
    expect((await typed(paths.report, { ...full, collateral: all[0] })).out).toContain('current CRL of the vendor root')
    const lacking = await typed(paths.report, { ...full, collateral: all[1] })
    expect(lacking).toMatchObject({ code: 1 })
    expect(lacking.err).toContain('comes without the certificate of the key that signed it')
    const broken = await typed(paths.report, { ...full, collateral: write('no-bundle.json', '{"items":[]}') })
    expect(broken.err).toContain('collateral/bundle-form')
  })

  test('claviger verify takes evidence too, and refuses demands on it for anything else', async () => {
    const run = async (target: string, args: Partial<verify.VerifyArguments>) => {
      const io = new TestIo()
      const code = await verify.run({ target, ...args }, io).catch((error: unknown) => reportError(io, error))
      return { code, out: io.out, err: io.err }
    }
    const partial = await run(paths.report, { collateral: paths.folder, reportData: full.reportData })
    expect(partial.code).toBe(3)
    expect(partial.out).toContain('✗ snp/root\n')
    const envelope = await run(paths.envelope, { json: true })
    expect(JSON.parse(envelope.out)).toMatchObject({ form: 'envelope', accepted: false })
    expect(await run(paths.envelope, { countries: 'DE' })).toMatchObject({ code: 2, out: '' })
    const document = write('node.json', JSON.stringify({ type: 'claviger/node/v1', kind: 'snp' }))
    const refused = await run(document, { collateral: paths.folder })
    expect(refused).toMatchObject({ code: 2, out: '' })
    expect(refused.err).toContain('collateral is a demand on evidence')
    expect(await run(write('none.json', '{}'), {})).toMatchObject({ code: 3, out: 'NOT VERIFIED\n' })
  })

  test('a stranger’s text cannot move the cursor or hide a line', () => {
    const text = 'evil\u001b[2K\u009b1A\r\n\u202e\u2028'
    const step = { id: 'snp/root', document: '', section: '', expected: '', found: text, verdict: 'fail' } as const
    const out = renderTrace([{ ...step, warning: false, code: null, hint: text }], false, new TestIo())
    expect(out).not.toMatch(/[^\P{C}\n]/u)
    expect(out).toContain('found:     evil?[2K?1A????\n')
  })
})
