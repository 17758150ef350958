import type { Quote } from '#attest/dcap/quote.js'
import type { TcbResult } from '#attest/dcap/tcb.js'
import type { Collateral, Machine } from '#attest/dcap/verify.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256Hex } from '#core/crypto/hash.js'
import { formatTime } from '#core/time.js'
import { commonName } from '#core/x509/certificate.js'

/** What each step of a quote found, in a few words for a reader of the trace. Nothing is decided by these texts. */

export function machine({ certificate, ca, root, platform }: Machine): string {
  const names = [certificate, ca, root].map(({ subject }) => commonName(subject) ?? 'no name')
  const until = Math.min(certificate.notAfter, ca.notAfter, root.notAfter)
  return `${platform}: ${names.join(', ')}; valid until ${formatTime(until)}`
}

export function collateral({ tcbInfo, qeIdentity, validUntil }: Collateral): string {
  return (
    `TCB info of ${formatTime(tcbInfo.issueDate)}, edition ${tcbInfo.tcbEvaluationDataNumber}; ` +
    `QE identity of ${formatTime(qeIdentity.issueDate)}, edition ${qeIdentity.tcbEvaluationDataNumber}; ` +
    `all valid until ${formatTime(validUntil)}; nothing revoked`
  )
}

export function family({ pck }: Machine): string {
  return `FMSPC ${toHex(pck.fmspc)}, PCEID ${toHex(pck.pceId)}`
}

export function attestationKey(quote: Quote): string {
  return `key with SHA-256 ${sha256Hex(quote.attestationKey)}`
}

export function quotingEnclave({ qeIdentity }: Collateral, isvSvn: number): string {
  return `${qeIdentity.id}, MRSIGNER ${qeIdentity.mrsigner}, ISVPRODID ${qeIdentity.isvprodid}, ISVSVN ${isvSvn}`
}

export function tcb({ status, platform, module, qe, advisories }: TcbResult): string {
  const parts = `platform ${platform.status}${module ? `, module ${module.status}` : ''}, quoting enclave ${qe.status}`
  return `${status} (${parts})${advisories.length > 0 ? `: ${advisories.join(', ')}` : ''}`
}
