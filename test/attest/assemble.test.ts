import { describe, expect, test } from 'vitest'
import { assemble } from '#attest/assemble.js'
import { examineEvidence } from '#attest/examine.js'
import { type NamedFile, poolOf } from '#attest/pool.js'
import { recognise } from '#attest/recognise.js'
import { fromBase64, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { formatTime } from '#core/time.js'
import { vcekExtensions } from '#runtime/attester/simulated/authority.js'
import { productDefaults } from '#runtime/attester/simulated/report.js'
import { mintAzureEvidence } from '../fakes/azure.js'
import { type DcapBreakage, dcapRootDigest, mintDcap } from '../fakes/dcap.js'
import gpuKeys from '../fakes/gpu-keys.json' with { type: 'json' }
import { testRootDigest, testTime } from '../fakes/platform.js'
import { type Breakage, mintEvidence } from '../fakes/snp.js'

const file = (name: string, bytes: Uint8Array): NamedFile => ({ name, bytes })
const day = 86_400

/** What a step of a verdict on the bytes, with these files beside them, found. */
async function found(bytes: Uint8Array, files: readonly NamedFile[], id: string) {
  const { steps } = await examineEvidence(
    assemble(recognise(bytes), poolOf(files)),
    { simulatedRoots: [testRootDigest, dcapRootDigest] },
    { expectedReportData: null, expectedNonce: null, referenceValues: null, tenantClass: 'development', at: testTime },
  )
  return steps.find((step) => step.id === id)
}

/** A list both ways round: what is chosen does not depend on it. */
const eitherWay = <T>(all: readonly T[]) => [all, all.toReversed()]

describe('of several endorsement keys', () => {
  const { tcb } = productDefaults.Genoa
  const chip = (byte: number) => new Uint8Array(64).fill(byte)
  const vek = async (broken: Breakage) => file('vek', fromBase64((await mintEvidence(broken)).vek))
  const of = (hwId: Uint8Array, one = tcb) => vek({ vek: { extensions: vcekExtensions('Genoa', one, hwId) } })
  const stranger = { spki: fromBase64(gpuKeys.other.spki) }
  const parts = async (broken: Breakage = {}) => {
    const { report, vek: own, ask, ark, crl } = await mintEvidence(broken)
    const above = [ask, ark, crl!].map((text, i) => file(`${i}`, fromBase64(text)))
    return { report: fromBase64(report), own: file('own', fromBase64(own)), above }
  }

  test('the one for the chip and TCB of the report is taken, whichever comes first', async () => {
    const { report, own, above } = await parts()
    const others = [
      await of(chip(1)),
      await of(chip(0x5a), { ...tcb, snp: 26 }),
      await of(chip(0x5a), { ...tcb, snp: 28 }),
    ]
    const provider = await vek({ cspId: 'CN=provider.example' })
    for (const files of eitherWay([...others, provider, own]))
      expect(assemble(recognise(report), poolOf([...files, ...above]))).toMatchObject({ vek: toBase64(own.bytes) })
    expect(await found(report, [...others, own, ...above], 'snp/identity')).toMatchObject({ verdict: 'pass' })
  })

  test('behind a vTPM too', async () => {
    const evidence = await mintAzureEvidence({ hardware: 'snp' })
    if (evidence.kind !== 'azure-snp') throw new Error('minted another kind')
    const names = ['tpmQuote', 'tpmSignature', 'vek', 'ask', 'ark', 'crl'] as const
    const files = names.map((name) => file(name, fromBase64(evidence[name]!)))
    const pcrs = Object.fromEntries(
      Object.entries(evidence.pcrs).map(([index, value]) => [index, toHex(fromBase64(value))]),
    )
    const all = [await of(chip(1)), ...files, file('pcrs', utf8(JSON.stringify(pcrs))), await of(chip(2))]
    for (const one of eitherWay(all))
      expect(assemble(recognise(fromBase64(evidence.hclReport)), poolOf(one))).toMatchObject({ vek: evidence.vek })
  })

  test('a VLEK is taken by kind and TCB, since a report names no provider; of several that fit the newest', async () => {
    const cspId = 'CN=provider.example'
    const { report, own, above } = await parts({ cspId })
    const old = await vek({ cspId, vek: { notBefore: testTime - 200 * day } })
    for (const files of eitherWay([old, await of(chip(0x5a)), own]))
      expect(assemble(recognise(report), poolOf([...files, ...above]))).toMatchObject({ vek: toBase64(own.bytes) })
  })

  test.each([
    [
      'another chip',
      chip(1),
      tcb,
      'the certificate is for chip 0101010101010101…, the report of chip 5a5a5a5a5a5a5a5a…',
    ],
    [
      'another TCB',
      chip(0x5a),
      { ...tcb, snp: 26 },
      'the certificate is for TCB 10.0.26.84, the report of TCB 10.0.27.84',
    ],
  ])(
    'where all are of %s the verdict says so, and the hint asks for the right one',
    async (_, hwId, otherTcb, text) => {
      const { report, above } = await parts()
      const wrong = await vek({ vek: { ...stranger, extensions: vcekExtensions('Genoa', otherTcb, hwId) } })
      const farther = await vek({
        vek: { ...stranger, extensions: vcekExtensions('Genoa', { ...tcb, snp: 1 }, chip(3)) },
      })
      for (const files of eitherWay([wrong, farther]))
        expect(await found(report, [...files, ...above], 'snp/signature')).toMatchObject({
          verdict: 'fail',
          found: `report was not signed by the endorsement key: ${text}`,
          hint: expect.stringContaining('the certificate for the chip, or provider, and the TCB of this report'),
        })
    },
  )

  test('a VLEK that fits and did not sign is named by its provider', async () => {
    const { report, above } = await parts({ cspId: 'CN=provider.example' })
    const other = await vek({ cspId: 'CN=elsewhere.example', vek: stranger })
    expect(await found(report, [other, ...above], 'snp/signature')).toMatchObject({
      verdict: 'fail',
      found: 'report was not signed by the endorsement key, a VLEK of CN=elsewhere.example',
    })
  })
})

describe.each(['tdx', 'sgx'] as const)('of several documents of Intel, for a quote of %s', (tee) => {
  const other = tee === 'tdx' ? 'sgx' : 'tdx'
  const files = async (broken: DcapBreakage) => {
    const { tcbInfo, qeIdentity } = await mintDcap(broken)
    return [file('tcb-info', tcbInfo), file('qe-identity', qeIdentity)]
  }
  const dated = (edition: number, at: number) => (document: Record<string, unknown>) =>
    void Object.assign(document, { tcbEvaluationDataNumber: edition, issueDate: formatTime(at) })
  const both = (change: (document: Record<string, unknown>) => void) => ({ tcbInfo: change, qeIdentity: change })
  const rest = async () => {
    const { quote, signer, pckCrl, rootCrl, tcbInfo, qeIdentity } = await mintDcap({ tee })
    const above = [signer, pckCrl, rootCrl].map((bytes, i) => file(`${i}`, bytes))
    return { quote, above, own: [file('tcb-info', tcbInfo), file('qe-identity', qeIdentity)] }
  }

  test('those of its TEE and of its family of machines are taken, whichever come first', async () => {
    const { quote, above, own } = await rest()
    const newest = { tcbEvaluationDataNumber: 99, issueDate: formatTime(testTime) }
    const others = [
      ...(await files({ tee: other, ...both(dated(99, testTime)) })),
      (await files({ tee, tcbInfo: (info) => void Object.assign(info, { ...newest, fmspc: '00806f050000' }) }))[0]!,
      file('broken', utf8('{"tcbInfo":')),
    ]
    for (const all of eitherWay([...others, ...own])) {
      expect(await found(quote, [...all, ...above], `${tee}/collateral`)).toMatchObject({ verdict: 'pass' })
      expect(assemble(recognise(quote), poolOf([...all, ...above]))).toMatchObject({
        collateral: { tcbInfo: toBase64(own[0]!.bytes), qeIdentity: toBase64(own[1]!.bytes) },
      })
    }
  })

  test('the newest of those that fit is taken, by edition and then by date; of lists by date', async () => {
    const { quote, above, own } = await rest()
    const newest = await files({ tee, ...both(dated(30, testTime - 3 * day)) })
    const older = await files({ tee, ...both(dated(30, testTime - 4 * day)) })
    const { pckCrl, rootCrl } = await mintDcap({ pckCrl: { thisUpdate: testTime }, rootCrl: { thisUpdate: testTime } })
    const lists = [file('pck', pckCrl), file('root', rootCrl)]
    for (const all of eitherWay([...own, ...newest, ...older, ...lists, ...above]))
      expect(assemble(recognise(quote), poolOf(all))).toMatchObject({
        collateral: {
          tcbInfo: toBase64(newest[0]!.bytes),
          qeIdentity: toBase64(newest[1]!.bytes),
          pckCrl: toBase64(pckCrl),
          rootCrl: toBase64(rootCrl),
        },
      })
  })

  test('where none fits the verdict says of what they are', async () => {
    const { quote, above, own } = await rest()
    const wrong = await files({ tee: other })
    const step = await found(quote, [wrong[0]!, own[1]!, ...above], `${tee}/collateral`)
    expect(step).toMatchObject({ verdict: 'fail', code: 'dcap/collateral-kind' })
    expect(step?.found).toContain(`TCB info is for ${other.toUpperCase()}, the quote is of ${tee.toUpperCase()}`)
  })
})
