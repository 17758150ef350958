import type { Anchors } from '#attest/anchors.js'
import { type Caches, noCaches } from '#attest/caches.js'
import * as found from '#attest/dcap/found.js'
import { parseQuote, type Quote } from '#attest/dcap/quote.js'
import type { SgxReport } from '#attest/dcap/sgx-report.js'
import { converge, enclaveLevel, platformLevel, type TcbResult, tcbResult } from '#attest/dcap/tcb.js'
import { type Collateral, type Machine, verifyCollateral, verifyFamily, verifyPckChain } from '#attest/dcap/verify.js'
import { verifyAttestationKey, verifyQe, verifyQeReport, verifyQuoteSignature } from '#attest/dcap/verify-quote.js'
import { parseEnclaveReport } from '#attest/sgx/parse.js'
import type { Trace } from '#attest/trace.js'
import type { UnixSeconds } from '#core/time.js'
import type { SgxEvidence } from '#core/wire/evidence.js'

declare const verified: unique symbol

/** A report that a genuine machine signed for an enclave, and what Intel says of its TCB. Only verifySgx makes one. */
export interface VerifiedSgx {
  readonly [verified]: true
  readonly platform: 'hardware' | 'simulated'
  readonly quote: Quote
  readonly report: SgxReport
  readonly machine: Machine
  readonly collateral: Collateral
  readonly tcb: TcbResult
}

/**
 * Verifies that a genuine Intel machine, or a simulated one under a root that the caller named, made this quote, and
 * says where its TCB stands. What the report and the TCB say is not judged here: the appraisal does.
 *
 * at      the time at which certificates, CRLs, TCB info and QE identity must be valid
 * caches  what earlier calls established about collateral and chains; the result is the same without
 * throws  DcapCode, SgxCode, and those of core/x509: x509/..., chain/..., crl/...
 * source  Intel Quote Verification Library, "sgxAttestationVerifyQuote"
 */
export async function verifySgx(
  evidence: SgxEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedSgx> {
  const quote = parseQuote(caches.decode(evidence.quote))
  const report = parseEnclaveReport(quote)
  trace('sgx/structure', `quote version ${quote.version}, report of an enclave`)
  const machine = await verifyPckChain(quote, anchors, at, caches)
  trace('sgx/pck-chain', () => found.machine(machine))
  const collateral = await verifyCollateral(evidence.collateral, quote, machine, anchors, at, caches)
  trace('sgx/collateral', () => found.collateral(collateral))
  verifyFamily(machine, collateral)
  trace('sgx/family', () => found.family(machine))
  await verifyQeReport(quote, machine)
  caches.count('evidence')
  trace('sgx/qe-report', 'ECDSA P-256 with SHA-256 by the PCK')
  verifyAttestationKey(quote)
  trace('sgx/attestation-key', () => found.attestationKey(quote))
  const qe = verifyQe(quote, collateral)
  trace('sgx/qe-identity', () => found.quotingEnclave(collateral, qe.isvSvn))
  await verifyQuoteSignature(quote)
  caches.count('evidence')
  trace('sgx/signature', `ECDSA P-256 with SHA-256 over ${quote.signed.length} bytes`)
  const platform = platformLevel(collateral.tcbInfo, machine.pck, null)
  const qeLevel = enclaveLevel(collateral.qeIdentity.tcbLevels, qe.isvSvn)
  const tcb = tcbResult(converge(platform, null, qeLevel), platform, null, qeLevel)
  trace('sgx/tcb', () => found.tcb(tcb))
  return { platform: machine.platform, quote, report, machine, collateral, tcb } as VerifiedSgx
}
