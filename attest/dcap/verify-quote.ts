import type { DcapCode } from '#attest/dcap/codes.js'
import { sgxFlag } from '#attest/dcap/layout.js'
import type { Quote } from '#attest/dcap/quote.js'
import { readSgxReport } from '#attest/dcap/sgx-report.js'
import type { Collateral, Machine } from '#attest/dcap/verify.js'
import { concat, equal, fromHex, isZero, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import { p256Prefix } from '#core/crypto/spki.js'
import { Failure, isFailure } from '#core/failure.js'

function refuse(code: DcapCode, message: string, cause?: unknown): Failure<DcapCode> {
  return new Failure<DcapCode>(code, message, { cause })
}

/** Step 6: the machine's provisioning certification enclave signed the report of the QE. @throws dcap/qe-signature */
export async function verifyQeReport(quote: Quote, { certificate }: Machine): Promise<void> {
  try {
    await verifySpkiSignature('ES256', certificate.spki, quote.qeReport, quote.qeReportSignature, 'QE report')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('dcap/qe-signature', 'report of the quoting enclave was not signed by the PCK', cause)
  }
}

/** Step 7: the quoting enclave vouches for the attestation key. @throws dcap/attestation-key */
export function verifyAttestationKey(quote: Quote): void {
  const { reportData } = readSgxReport(quote.qeReport)
  const digest = sha256(concat(quote.attestationKey, quote.qeAuth))
  if (!equal(reportData.subarray(0, 32), digest) || !isZero(reportData.subarray(32)))
    throw refuse('dcap/attestation-key', 'report of the quoting enclave does not name this attestation key')
}

/** Step 8: the quoting enclave is Intel's, and no debug enclave. @throws dcap/qe-identity */
export function verifyQe(quote: Quote, { qeIdentity }: Collateral): { readonly isvSvn: number } {
  const report = readSgxReport(quote.qeReport)
  const differs = (what: string) => refuse('dcap/qe-identity', `quoting enclave is not Intel's: ${what} differs`)
  const masked = (found: Uint8Array, value: string, mask: string) => equal(and(found, fromHex(mask)), fromHex(value))
  // A little-endian number in the report, spelled as a number in the identity. Only zero has been seen.
  if (!masked(report.miscSelect.toReversed(), qeIdentity.miscselect, qeIdentity.miscselectMask))
    throw differs('miscselect')
  if (!masked(report.attributes, qeIdentity.attributes, qeIdentity.attributesMask)) throw differs('attributes')
  if (toHex(report.mrSigner) !== qeIdentity.mrsigner) throw differs('mrsigner')
  if (report.isvProdId !== qeIdentity.isvprodid) throw differs('isvprodid')
  // Whatever the mask lets through: memory of a debug enclave, and so the attestation key, is the host's to read.
  if ((report.flags >> BigInt(sgxFlag.debug)) & 1n)
    throw refuse('dcap/qe-identity', 'quoting enclave is a debug enclave')
  return report
}

function and(bytes: Uint8Array, mask: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => byte & mask[i]!)
}

/** Step 9: the attestation key signed header and body. @throws dcap/signature */
export async function verifyQuoteSignature(quote: Quote): Promise<void> {
  const spki = concat(p256Prefix, quote.attestationKey)
  try {
    await verifySpkiSignature('ES256', spki, quote.signed, quote.signature, 'quote')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('dcap/signature', 'quote was not signed by the attestation key', cause)
  }
}
