import type { Anchors } from '#attest/anchors.js'
import { type Caches, noCaches } from '#attest/caches.js'
import type { TcbInfo } from '#attest/dcap/collateral.js'
import * as found from '#attest/dcap/found.js'
import { parseQuote, type Quote } from '#attest/dcap/quote.js'
import {
  converge,
  enclaveLevel,
  moduleIdentity,
  platformLevel,
  relaunchAdvised,
  type TcbResult,
  tcbResult,
} from '#attest/dcap/tcb.js'
import { type Collateral, type Machine, verifyCollateral, verifyFamily, verifyPckChain } from '#attest/dcap/verify.js'
import { verifyAttestationKey, verifyQe, verifyQeReport, verifyQuoteSignature } from '#attest/dcap/verify-quote.js'
import type { TdxCode } from '#attest/tdx/codes.js'
import { type VerifiedEventLog, verifyEventLog } from '#attest/tdx/event-log.js'
import { parseTdReport, type TdReport } from '#attest/tdx/parse.js'
import type { Trace } from '#attest/trace.js'
import { equal, fromHex, isZero, toHex } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { TdxEvidence } from '#core/wire/evidence.js'

declare const verified: unique symbol

/** A TD report that a genuine machine signed, and what Intel says of its TCB. Only verifyTdx makes one. */
export interface VerifiedTdx {
  readonly [verified]: true
  readonly platform: 'hardware' | 'simulated'
  readonly quote: Quote
  readonly report: TdReport
  readonly machine: Machine
  readonly collateral: Collateral
  readonly tcb: TcbResult
  /** null when the evidence came without one: the appraisal says whether that is enough */
  readonly eventLog: VerifiedEventLog | null
}

function refuse(code: TdxCode, message: string): Failure<TdxCode> {
  return new Failure<TdxCode>(code, message)
}

/**
 * Verifies that a genuine Intel machine, or a simulated one under a root that the caller named, made this quote, and
 * says where its TCB stands. What the report and the TCB say is not judged here: the appraisal does.
 *
 * at      the time at which certificates, CRLs, TCB info and QE identity must be valid
 * caches  what earlier calls established about collateral and chains; the result is the same without
 * throws  DcapCode, TdxCode, and those of core/x509: x509/..., chain/..., crl/...
 * source  Intel Quote Verification Library, "sgxAttestationVerifyQuote"
 */
export async function verifyTdx(
  evidence: TdxEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedTdx> {
  const quote = parseQuote(caches.decode(evidence.quote))
  const report = parseTdReport(quote)
  trace('tdx/structure', `quote version ${quote.version}, TD report ${report.version}`)
  const machine = await verifyPckChain(quote, anchors, at, caches)
  trace('tdx/pck-chain', () => found.machine(machine))
  const collateral = await verifyCollateral(evidence.collateral, quote, machine, anchors, at, caches)
  trace('tdx/collateral', () => found.collateral(collateral))
  verifyFamily(machine, collateral)
  trace('tdx/family', () => found.family(machine))
  verifyModule(report, collateral.tcbInfo)
  trace('tdx/module', () => moduleText(report))
  await verifyQeReport(quote, machine)
  caches.count('evidence')
  trace('tdx/qe-report', 'ECDSA P-256 with SHA-256 by the PCK')
  verifyAttestationKey(quote)
  trace('tdx/attestation-key', () => found.attestationKey(quote))
  const qe = verifyQe(quote, collateral)
  trace('tdx/qe-identity', () => found.quotingEnclave(collateral, qe.isvSvn))
  await verifyQuoteSignature(quote)
  caches.count('evidence')
  trace('tdx/signature', `ECDSA P-256 with SHA-256 over ${quote.signed.length} bytes`)
  const tcb = tcbOf(report, machine, collateral, qe.isvSvn)
  trace('tdx/tcb', () => found.tcb(tcb))
  const eventLog = evidence.eventLog === null ? null : verifyEventLog(caches.decode(evidence.eventLog), report)
  if (eventLog) trace('tdx/event-log', `${eventLog.format}, ${eventLog.count} events`)
  else trace('tdx/event-log', '', 'skip')
  return { platform: machine.platform, quote, report, machine, collateral, tcb, eventLog } as VerifiedTdx
}

function moduleText(report: TdReport): string {
  const [svn, version] = report.bytesOf('teeTcbSvn')
  return `module version ${version}, SVN ${svn}, MRSIGNERSEAM ${toHex(report.bytesOf('mrSignerSeam')).slice(0, 16)}...`
}

/**
 * Step 5: Intel signed the module, and it runs with the attributes that Intel lists. A module of version 0 is that of
 * TDX 1.0; every later one has an identity of its own, and one that Intel does not list is refused.
 *
 * source  Intel Quote Verification Library, "TdxModuleCheck"
 */
function verifyModule(report: TdReport, info: TcbInfo): void {
  const version = report.bytesOf('teeTcbSvn')[1]!
  const module = version === 0 ? info.tdxModule : moduleIdentity(info, version)
  if (!module) throw refuse('tdx/module-identity', `TCB info does not list TDX module version ${version}`)
  if (!equal(report.bytesOf('mrSignerSeam'), fromHex(module.mrsigner)))
    throw refuse('tdx/module-signer', 'TDX module was signed by another key than the TCB info names')
  const attributes = report.bytesOf('seamAttributes')
  const mask = fromHex(module.attributesMask)
  const masked = attributes.map((byte, i) => byte & mask[i]!)
  if (!isZero(attributes) || !equal(masked, fromHex(module.attributes)))
    throw refuse('tdx/module-attributes', 'attributes of the TDX module are not zero, or not those of the TCB info')
}

/** Step 10: platform, module and quoting enclave, each by its own levels, then as one. */
function tcbOf(report: TdReport, { pck }: Machine, { tcbInfo, qeIdentity }: Collateral, qeSvn: number): TcbResult {
  const svns = report.bytesOf('teeTcbSvn')
  const platform = platformLevel(tcbInfo, pck, svns)
  const identity = svns[1]! > 0 ? moduleIdentity(tcbInfo, svns[1]!) : undefined
  const module = identity ? enclaveLevel(identity.tcbLevels, svns[0]!) : null
  const qe = enclaveLevel(qeIdentity.tcbLevels, qeSvn)
  const relaunch =
    report.version === '1.5' ? relaunchAdvised(tcbInfo, platform, module, qe, report.bytesOf('teeTcbSvn2')) : null
  return tcbResult(relaunch ?? converge(platform, module, qe), platform, module, qe)
}
