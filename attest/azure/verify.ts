import type { Anchors } from '#attest/anchors.js'
import type { AzureCode } from '#attest/azure/codes.js'
import { type HclReport, parseHclReport } from '#attest/azure/hcl-report.js'
import { paravisorVmpl, tdReport15Field, tdReportField, tdReportType } from '#attest/azure/layout.js'
import { parseRuntimeData, type RuntimeData } from '#attest/azure/runtime-data.js'
import { parseTpmQuote, type TpmQuote } from '#attest/azure/tpm-quote.js'
import { type Caches, noCaches } from '#attest/caches.js'
import { type VerifiedSnp, verifySnp } from '#attest/snp/verify.js'
import type { Field } from '#attest/tdx/layout.js'
import { eventLogStep } from '#attest/tdx/steps.js'
import { type VerifiedTdx, verifyTdx } from '#attest/tdx/verify.js'
import type { Trace } from '#attest/trace.js'
import { concat, equal, fromBase64, isZero, toBase64 } from '#core/bytes/bytes.js'
import { sha256, sha384, sha512 } from '#core/crypto/hash.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { AzureSnpEvidence, AzureTdxEvidence } from '#core/wire/evidence.js'

/** A vTPM of a verified paravisor: every member was signed by the key that the hardware vouches for. */
export interface VerifiedVtpm {
  readonly hcl: HclReport
  readonly runtime: RuntimeData
  readonly quote: TpmQuote
  /** 32 bytes for each index that the quote selects, in its order */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
}

declare const verified: unique symbol

/** An SNP report and the vTPM behind it. Only verifyAzureSnp makes one. */
export interface VerifiedAzureSnp {
  readonly [verified]: true
  readonly hardware: VerifiedSnp
  readonly vtpm: VerifiedVtpm
}

/** A TD quote and the vTPM behind it. Only verifyAzureTdx makes one. */
export interface VerifiedAzureTdx {
  readonly [verified]: true
  readonly hardware: VerifiedTdx
  readonly vtpm: VerifiedVtpm
}

function refuse(code: AzureCode, message: string, cause?: unknown): Failure<AzureCode> {
  return new Failure<AzureCode>(code, message, { cause })
}

/**
 * Verifies that a genuine AMD processor, or a simulated one under a root that the caller named, runs a paravisor at VMPL 0
 * whose vTPM made this quote over these PCRs. Which paravisor, which PCRs and which nonce is not judged here.
 *
 * at      the time at which certificates and CRL must be valid
 * throws  AzureCode, and those of verifySnp
 * source  Microsoft, Azure confidential VM guest attestation design; TCG TPM 2.0 Library Part 1, "Attestation"
 */
export async function verifyAzureSnp(
  evidence: AzureSnpEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedAzureSnp> {
  const { hcl, quote } = parseStructure(evidence, 'snp', trace)
  const { vek, ask, ark, crl } = evidence
  const snp = { kind: 'snp', report: toBase64(hcl.hardwareReport), vek, ask, ark, crl } as const
  const hardware = await verifySnp(snp, anchors, at, trace, caches)
  verifyParavisor(hardware)
  trace('azure/paravisor', `VMPL ${paravisorVmpl}`)
  const vtpm = await verifyVtpm(hcl, hardware.report.bytesOf('reportData'), quote, evidence, trace, caches)
  return { hardware, vtpm } as VerifiedAzureSnp
}

/**
 * As verifyAzureSnp, for a TD: the quote is of the TD whose TDREPORT the paravisor gave out, and binds its vTPM.
 *
 * throws  AzureCode, and those of verifyTdx
 */
export async function verifyAzureTdx(
  evidence: AzureTdxEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedAzureTdx> {
  const { hcl, quote } = parseStructure(evidence, 'tdx', trace)
  const { quote: tdQuote, collateral } = evidence
  const tdx = { kind: 'tdx', quote: tdQuote, collateral, eventLog: null } as const
  const hardware = await verifyTdx(tdx, anchors, at, withoutEventLog(trace), caches)
  verifyTdReport(hcl.hardwareReport, hardware)
  trace('azure/td-report', 'the fields of the quote')
  const vtpm = await verifyVtpm(hcl, hardware.report.bytesOf('reportData'), quote, evidence, trace, caches)
  return { hardware, vtpm } as VerifiedAzureTdx
}

/**
 * Evidence of this kind has no event log: the registers of such a TD are empty, and the PCRs say what was measured. So the
 * step of a log is none of its steps, and none that could be skipped.
 */
function withoutEventLog(trace: Trace): Trace {
  return (step, found, verdict) => {
    if (step !== eventLogStep.id) trace(step, found, verdict)
  }
}

type Envelope = Pick<AzureSnpEvidence, 'hclReport' | 'tpmQuote' | 'tpmSignature' | 'pcrs'>

function parseStructure(evidence: Envelope, hardware: 'snp' | 'tdx', trace: Trace) {
  const hcl = parseHclReport(fromBase64(evidence.hclReport), hardware)
  const quote = parseTpmQuote(fromBase64(evidence.tpmQuote))
  trace('azure/structure', `HCL report version ${hcl.version}, PCRs ${quote.pcrs.join(', ')}`)
  return { hcl, quote }
}

/** From the bytes that the hardware signed to the PCRs: each step rests on the one before and on nothing else. */
async function verifyVtpm(
  hcl: HclReport,
  reportData: Uint8Array,
  quote: TpmQuote,
  evidence: Envelope,
  trace: Trace,
  caches: Caches,
): Promise<VerifiedVtpm> {
  verifyRuntimeBinding(hcl, reportData)
  trace('azure/runtime-binding', `${hcl.hash} of ${hcl.runtimeData.length} bytes`)
  const runtime = parseRuntimeData(hcl.runtimeData)
  trace('azure/attestation-key', 'RSA-2048')
  await verifyQuoteSignature(quote, runtime, fromBase64(evidence.tpmSignature))
  caches.count('evidence')
  trace('azure/quote-signature', 'RSASSA-PKCS1-v1_5 with SHA-256')
  const pcrs = verifyPcrs(quote, evidence.pcrs)
  trace('azure/pcrs', `${pcrs.size} values`)
  return { hcl, runtime, quote, pcrs }
}

/**
 * The paravisor alone runs at VMPL 0. A report from a lower level carries report data that the guest chose, and so could
 * name an attestation key that is no TPM's.
 */
function verifyParavisor({ report }: VerifiedSnp): void {
  if (report.vmpl !== paravisorVmpl)
    throw refuse('azure/vmpl', `report was asked for at VMPL ${report.vmpl}, expected ${paravisorVmpl}`)
}

/**
 * The TDREPORT says what the quote says. Its MAC means nothing outside the machine that made it, so it proves nothing by
 * itself, and what it holds beyond the fields of a quote is not read.
 *
 * source  Intel TDX Module ABI Specification, "TDREPORT_STRUCT", "TEE_TCB_INFO", "TDINFO_STRUCT"
 */
function verifyTdReport(tdReport: Uint8Array, { report }: VerifiedTdx): void {
  if (tdReport[0] !== tdReportType)
    throw refuse('azure/td-report', `report has type ${tdReport[0]}, expected ${tdReportType}, a TDREPORT`)
  const fields = report.version === '1.5' ? { ...tdReportField, ...tdReport15Field } : tdReportField
  for (const [name, at] of Object.entries(fields)) {
    const wanted = report.bytesOf(name as Field)
    if (!equal(tdReport.subarray(at, at + wanted.length), wanted))
      throw refuse('azure/td-report', `${name} of the TDREPORT is not that of the quote`)
  }
}

const hashes = { sha256, sha384, sha512 } as const

/** Report data is the digest, then zeros up to 64 bytes: the whole field is compared. */
function verifyRuntimeBinding({ hash: name, runtimeData }: HclReport, reportData: Uint8Array): void {
  const digest = hashes[name](runtimeData)
  if (!equal(reportData.subarray(0, digest.length), digest) || !isZero(reportData.subarray(digest.length)))
    throw refuse('azure/runtime-binding', `report data is not the ${name} of the runtime data, then zeros`)
}

async function verifyQuoteSignature({ bytes }: TpmQuote, { ak }: RuntimeData, signature: Uint8Array): Promise<void> {
  try {
    await verifySpkiSignature('RSA-SHA256', ak, bytes, signature, 'TPM quote')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('azure/quote-signature', 'TPM quote was not signed by the attestation key of the runtime data', cause)
  }
}

/** Exactly the quoted PCRs come along, and their digest, in the order of their indices, is the quote's. */
function verifyPcrs(quote: TpmQuote, given: Envelope['pcrs']): ReadonlyMap<number, Uint8Array> {
  const pcrs = new Map<number, Uint8Array>()
  for (const index of quote.pcrs) {
    const value = given[index]
    if (value === undefined) throw refuse('azure/pcr-selection', `quote selects PCR ${index}, whose value is missing`)
    pcrs.set(index, fromBase64(value))
  }
  const more = Object.keys(given).filter((index) => !pcrs.has(Number(index)))
  if (more.length > 0) throw refuse('azure/pcr-selection', `quote does not select PCR ${more.join(', ')}`)
  if (!equal(sha256(concat(...pcrs.values())), quote.pcrDigest))
    throw refuse('azure/pcr-digest', 'digest of the PCR values is not that of the quote')
  return pcrs
}
