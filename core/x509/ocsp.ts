import { equal } from '#core/bytes/bytes.js'
import { derOid, derTag, parseDer } from '#core/encoding/der.js'
import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Certificate, verifyX509Signature, withCode, type X509Code } from '#core/x509/certificate.js'
import type { VerifiedLinks } from '#core/x509/chain.js'
import { keyDigest } from '#core/x509/digests.js'
import type { OcspAnswer, OcspCode } from '#core/x509/ocsp-answer.js'

const oids = {
  extendedKeyUsage: '2.5.29.37',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  subjectKeyIdentifier: '2.5.29.14',
} as const

function refuse(code: OcspCode, message: string, cause?: unknown): Failure<OcspCode> {
  return new Failure<OcspCode>(code, message, { cause })
}

/**
 * Verifies that a responder to whom `issuer` gave that right signed the answer, that it is current at `at`, and that the
 * certificate is good. One that is on hold is revoked; one that is not known is refused.
 *
 * issuer  of the certificate that the answer is about
 * at      may be up to a minute before the answer: responders answer on demand, and clocks differ
 * links   remembers signatures that were found good; names, dates and purposes are read again each time
 * trusts  that the caller has verified the issuer, and compared the id of the answer with certificateId
 * throws  ocsp/responder, ocsp/not-yet-valid, ocsp/expired, ocsp/signature, ocsp/revoked, ocsp/unknown
 * source  RFC 6960, "Signed Response Acceptance Requirements", "Authorized Responders"
 */
export async function verifyOcsp(
  answer: OcspAnswer,
  issuer: Certificate,
  at: UnixSeconds,
  what = 'OCSP answer',
  links?: VerifiedLinks,
): Promise<void> {
  const { status } = await verifyOcspAnswer(answer, issuer, at, what, links)
  if (status !== 'good')
    throw refuse('ocsp/revoked', `${what}: revoked at ${formatTime(status.revokedAt)}, ${status.reason}`)
}

/** An answer that says something of its certificate: that it is good, or that it is revoked. */
export type KnowingAnswer = OcspAnswer & { readonly status: Exclude<OcspAnswer['status'], 'unknown'> }

/**
 * As verifyOcsp, for an answer that is to be kept, whatever it says: that a certificate is revoked is as true as that it is
 * good. One whose responder does not know the certificate says nothing, and is refused.
 *
 * throws  ocsp/responder, ocsp/not-yet-valid, ocsp/expired, ocsp/signature, ocsp/unknown
 */
export async function verifyOcspAnswer(
  answer: OcspAnswer,
  issuer: Certificate,
  at: UnixSeconds,
  what = 'OCSP answer',
  links?: VerifiedLinks,
): Promise<KnowingAnswer> {
  // Responders answer on demand: what was asked for just now is of a moment ago by their clock, and may be of one to come by ours.
  if (at + clockSkewSeconds < Math.max(answer.thisUpdate, answer.producedAt))
    throw refuse(
      'ocsp/not-yet-valid',
      `${what} is from ${formatTime(answer.producedAt)}, verified at ${formatTime(at)}`,
    )
  if (at > answer.nextUpdate)
    throw refuse(
      'ocsp/expired',
      `${what} was due again at ${formatTime(answer.nextUpdate)}, verified at ${formatTime(at)}`,
    )
  verifyResponder(answer, issuer, at, what)
  await verifySignatures(answer, issuer, what, links)
  const { status } = answer
  if (status === 'unknown') throw refuse('ocsp/unknown', `${what}: the responder does not know the certificate`)
  return { ...answer, status }
}

/** Of the issuer itself, for this purpose alone, and the one that the answer names. */
function verifyResponder(
  { responder, responderId }: OcspAnswer,
  issuer: Certificate,
  at: UnixSeconds,
  what: string,
): void {
  const bad = (why: string) => refuse('ocsp/responder', `responder of ${what} ${why}`)
  if (!equal(responder.issuer, issuer.subject)) throw bad('was not appointed by the issuer of the certificate')
  if (responder.isCa || responder.keyUsage?.digitalSignature !== true) throw bad('is an authority, or may not sign')
  if (!purposesOf(responder).includes(oids.ocspSigning)) throw bad('may not sign OCSP answers')
  if (at < responder.notBefore || at > responder.notAfter)
    throw bad(`is valid from ${formatTime(responder.notBefore)} to ${formatTime(responder.notAfter)}`)
  const identifier = responder.extensions.get(oids.subjectKeyIdentifier)?.value
  // An OCTET STRING of at most 127 bytes: tag and length are two bytes.
  const named =
    'name' in responderId
      ? equal(responderId.name, responder.subject)
      : identifier !== undefined && equal(responderId.key, identifier.subarray(2))
  if (!named) throw bad('is another one than the answer names')
}

/** source: RFC 5280, "Extended Key Usage" */
function purposesOf(certificate: Certificate): readonly string[] {
  const extension = certificate.extensions.get(oids.extendedKeyUsage)
  if (!extension) return []
  return withCode<X509Code, readonly string[]>('x509/form', 'extended key usage', () => {
    const reader = parseDer(extension.value, derTag.sequence, 'extended key usage').reader()
    const purposes: string[] = []
    while (!reader.done) purposes.push(derOid(reader.next(derTag.oid, 'purpose'), 'purpose'))
    return purposes
  })
}

async function verifySignatures(
  answer: OcspAnswer,
  issuer: Certificate,
  what: string,
  links: VerifiedLinks | undefined,
): Promise<void> {
  // Invariant: the link names every byte that both verifications read, so a hit is the same verification.
  const link = links && links.keeps !== false ? `ocsp:${answer.digest}:${keyDigest(issuer)}` : undefined
  if (links && link && links.has(link)) return
  const verify = async (code: OcspCode, message: string, work: Promise<void>) => {
    try {
      await work
      links?.verified?.()
    } catch (cause) {
      if (!isFailure(cause)) throw cause
      throw refuse(code, message, cause)
    }
  }
  const { responder } = answer
  const { algorithm, tbs, signature } = responder
  await verify(
    'ocsp/responder',
    `responder of ${what} was not appointed by the issuer of the certificate`,
    verifyX509Signature(algorithm, issuer.spki, tbs, signature, 'certificate of the responder'),
  )
  await verify(
    'ocsp/signature',
    `${what} was not signed by its responder`,
    verifyX509Signature(answer.algorithm, responder.spki, answer.tbs, answer.signature, what),
  )
  if (links && link) links.add(link)
}
