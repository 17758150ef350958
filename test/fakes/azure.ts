import { field, rsaSpkiHead, runtimeDataAt, tdReport15Field, tdReportField, tpm } from '#attest/azure/layout.js'
import { type Field as TdxField, field as tdxField } from '#attest/tdx/layout.js'
import { concat, fromBase64, toBase64, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { Writer } from '#core/bytes/writer.js'
import { sha256, sha384, sha512 } from '#core/crypto/hash.js'
import { tpmExtraDataOf } from '#core/wire/binding.js'
import type { AzureSnpEvidence, AzureTdxEvidence } from '#core/wire/evidence.js'
import { backend } from '#crypto-backend'
import type { MintKey } from '#runtime/attester/simulated/certificate.js'
import keys from './azure-keys.json' with { type: 'json' }
import { type DcapBreakage, mintDcapEvidence } from './dcap.js'
import { type Breakage, mintEvidence, mintedReportData } from './snp.js'

const read = (key: { pkcs8: string; spki: string }): MintKey => ({
  pkcs8: fromBase64(key.pkcs8),
  spki: fromBase64(key.spki),
})
/** Attestation keys of throwaway vTPMs; `other` is that of one that no runtime data name. NOT HARDWARE. */
export const azureKeys = { ak: read(keys.ak), other: read(keys.other) }

type Document = Record<string, unknown>
type Change = (bytes: Uint8Array) => Uint8Array
type Touch = (bytes: Uint8Array) => void

/** One thing to break, or to do differently. Everything else stays as it is in a good virtual machine. */
export interface AzureBreakage {
  readonly hardware?: 'snp' | 'tdx'
  readonly snp?: Breakage
  readonly tdx?: DcapBreakage
  readonly hash?: 1 | 2 | 3
  /** changes the runtime data before the hardware binds them: as a value, then as text */
  readonly runtime?: (value: Document) => void
  readonly runtimeText?: (text: string) => string
  /** changes the report data that the hardware signs */
  readonly reportData?: Touch
  readonly tdReport?: Touch
  /** changes the HCL report once it is put together; the hardware never sees it */
  readonly hcl?: Touch
  readonly extraData?: Uint8Array
  readonly selected?: readonly number[]
  /** changes the quote before it is signed, and its signature */
  readonly quote?: Change
  readonly signer?: MintKey
  readonly signature?: Touch
  /** changes the values that are sent */
  readonly pcrs?: (values: Record<string, string>) => void
}

/** The 64 bytes that minted evidence binds by its extra data. */
export const azureReportData = mintedReportData

/** The members of a key as a paravisor writes them. */
export function jwkOf(key: MintKey, kid: string, use: string): Document {
  const at = rsaSpkiHead.length / 2
  return { kid, key_ops: [use], kty: 'RSA', e: 'AQAB', n: toBase64Url(key.spki.subarray(at, at + 256)) }
}

const goodRuntime = (): Document => ({
  keys: [jwkOf(azureKeys.ak, 'HCLAkPub', 'sign'), jwkOf(azureKeys.other, 'HCLEkPub', 'encrypt')],
  'vm-configuration': {
    'console-enabled': false,
    'root-cert-thumbprint': '',
    'secure-boot': true,
    'tpm-enabled': true,
    'tpm-persisted': true,
    vmUniqueId: '00000000-0000-4000-8000-000000000001',
  },
  'user-data': '00'.repeat(64),
})

/** PCR n holds 32 bytes of n + 1. */
const pcrValue = (index: number) => new Uint8Array(32).fill(index + 1)
export const allPcrs = Array.from({ length: 24 }, (_, i) => i)

const hashes = { 1: sha256, 2: sha384, 3: sha512 } as const

function mintQuote(broken: AzureBreakage): Uint8Array {
  const selected = broken.selected ?? allPcrs
  const bitmap = new Uint8Array(3)
  for (const index of selected) bitmap[index >> 3]! |= 1 << (index & 7)
  const extraData = broken.extraData ?? tpmExtraDataOf(azureReportData)
  const name = concat(new Uint8Array([0, tpm.sha256]), new Uint8Array(32).fill(0x11))
  const quote = new Writer()
    .u32be(tpm.generated)
    .u16be(tpm.quote)
    .u16be(name.length)
    .bytes(name)
    .u16be(extraData.length)
    .bytes(extraData)
    .u64be(12_345n)
    .u32be(2)
    .u32be(0)
    .u8(1)
    .u64be(0x2020_0312_0012_0003n)
    .u32be(1)
    .u16be(tpm.sha256)
    .u8(3)
    .bytes(bitmap)
    .u16be(32)
    .bytes(sha256(concat(...selected.map(pcrValue))))
    .done()
  return broken.quote?.(quote) ?? quote
}

async function mintVtpm(broken: AzureBreakage) {
  const quote = mintQuote(broken)
  const handle = await backend.importPrivateKey('RSA-SHA256', (broken.signer ?? azureKeys.ak).pkcs8)
  const signature = await backend.sign(handle, quote)
  broken.signature?.(signature)
  const pcrs = Object.fromEntries((broken.selected ?? allPcrs).map((i) => [String(i), toBase64(pcrValue(i))]))
  broken.pcrs?.(pcrs)
  return { tpmQuote: toBase64(quote), tpmSignature: toBase64(signature), pcrs }
}

// An SNP signature is random: the same fields are signed once, so that cases can share their files.
const snpReports = new Map<string, ReturnType<typeof mintEvidence>>()
function mintSnp(broken: AzureBreakage, reportData: Uint8Array) {
  const mint = () => mintEvidence({ ...broken.snp, report: { ...broken.snp?.report, reportData } })
  if (broken.snp !== undefined) return mint()
  const key = toHex(reportData)
  const known = snpReports.get(key) ?? mint()
  snpReports.set(key, known)
  return known
}

function mintTd(broken: AzureBreakage, reportData: Uint8Array) {
  const report = (body: Uint8Array) => {
    broken.tdx?.report?.(body)
    body.set(reportData, tdxField.reportData[0])
  }
  return mintDcapEvidence({ ...broken.tdx, report })
}

/** The TDREPORT that a quote of version 4 or 5 was made of. */
function tdReportOf(quote: Uint8Array, broken: AzureBreakage): Uint8Array {
  const newer = broken.tdx?.body === 'tdx-1.5'
  const body = quote.subarray(broken.tdx?.version === 5 ? 54 : 48)
  const out = new Uint8Array(1024)
  out[0] = 0x81
  const fields = newer ? { ...tdReportField, ...tdReport15Field } : tdReportField
  for (const [name, at] of Object.entries(fields)) {
    const [from, size] = tdxField[name as TdxField]
    out.set(body.subarray(from, from + size), at)
  }
  broken.tdReport?.(out)
  return out
}

function mintHcl(broken: AzureBreakage, hardwareReport: Uint8Array, runtime: Uint8Array): Uint8Array {
  const out = new Uint8Array(2600)
  const view = new DataView(out.buffer)
  const u32 = (name: keyof typeof field, value: number) => view.setUint32(field[name][0], value, true)
  out.set(utf8('HCLA'))
  u32('version', 2)
  u32('reportSize', runtimeDataAt + runtime.length)
  u32('requestType', 2)
  out.set(hardwareReport, field.hardwareReport[0])
  u32('dataSize', runtime.length + 20)
  u32('dataVersion', 1)
  u32('reportType', broken.hardware === 'tdx' ? 4 : 2)
  u32('reportDataHashType', broken.hash ?? 1)
  u32('variableDataSize', runtime.length)
  out.set(runtime, runtimeDataAt)
  broken.hcl?.(out)
  return out
}

/** Evidence of a simulated virtual machine with one thing broken. With no argument it is good, on SNP. */
export async function mintAzureEvidence(broken: AzureBreakage = {}): Promise<AzureSnpEvidence | AzureTdxEvidence> {
  const value = goodRuntime()
  broken.runtime?.(value)
  const text = JSON.stringify(value)
  const runtime = utf8(broken.runtimeText?.(text) ?? text)
  const digest = hashes[broken.hash ?? 1](runtime)
  const reportData = concat(digest, new Uint8Array(64 - digest.length))
  broken.reportData?.(reportData)
  const vtpm = await mintVtpm(broken)
  if (broken.hardware === 'tdx') {
    const { quote, collateral } = await mintTd(broken, reportData)
    const hclReport = toBase64(mintHcl(broken, tdReportOf(fromBase64(quote), broken), runtime))
    return { kind: 'azure-tdx', hclReport, ...vtpm, quote, collateral }
  }
  const { report, vek, ask, ark, crl } = await mintSnp(broken, reportData)
  const hclReport = toBase64(mintHcl(broken, fromBase64(report), runtime))
  return { kind: 'azure-snp', hclReport, ...vtpm, vek, ask, ark, crl }
}
