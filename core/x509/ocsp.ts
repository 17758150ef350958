import { equal, toHex } from '#core/bytes/bytes.js'
import type { SignatureAlgorithm } from '#core/crypto/backend.js'
import { sha256, sha384 } from '#core/crypto/hash.js'
import {
  type Der,
  DerReader,
  derBitBytes,
  derOid,
  derTag,
  derUnsigned,
  parseDer,
  readDerTime,
} from '#core/encoding/der.js'
import { Failure, isFailure } from '#core/failure.js'
import { ocspSizeMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { signatureAlgorithm } from '#core/x509/algorithms.js'
import {
  type Certificate,
  parseCertificate,
  readExtensionList,
  verifyX509Signature,
  withCode,
  type X509Code,
} from '#core/x509/certificate.js'
import type { VerifiedLinks } from '#core/x509/chain.js'
import { keyDigest } from '#core/x509/digests.js'

/** Failures of reading and verifying an OCSP answer. */
export type OcspCode =
  | 'ocsp/size'
  | 'ocsp/form'
  | 'ocsp/not-successful'
  | 'ocsp/algorithm'
  | 'ocsp/critical-extension'
  | 'ocsp/no-next-update'
  | 'ocsp/responder'
  | 'ocsp/not-yet-valid'
  | 'ocsp/expired'
  | 'ocsp/signature'
  | 'ocsp/revoked'
  | 'ocsp/unknown'

/** An answer on one certificate. Byte members are views. */
export interface OcspAnswer {
  /** SHA-256 of the whole answer, hex */
  readonly digest: string
  readonly tbs: Uint8Array
  readonly algorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  /** whose certificate came along, not verified yet, and the id by which the answer names it */
  readonly responder: Certificate
  readonly responderId: { readonly name: Uint8Array } | { readonly key: Uint8Array }
  /** which certificate it is about, as certificateId gives it */
  readonly id: string
  readonly status: 'good' | 'unknown' | { readonly revokedAt: UnixSeconds; readonly reason: string }
  readonly producedAt: UnixSeconds
  readonly thisUpdate: UnixSeconds
  readonly nextUpdate: UnixSeconds
}

const oids = {
  basic: '1.3.6.1.5.5.7.48.1.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  extendedKeyUsage: '2.5.29.37',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  subjectKeyIdentifier: '2.5.29.14',
} as const
const enumerated = 0x0a

function refuse(code: OcspCode, message: string, cause?: unknown): Failure<OcspCode> {
  return new Failure<OcspCode>(code, message, { cause })
}

const idOf = (name: Uint8Array, key: Uint8Array, serial: Uint8Array) => `${toHex(name)}${toHex(key)}${toHex(serial)}`

const ids = new WeakMap<Certificate, { readonly issuer: Certificate; readonly id: string }>()

/** The id under which an answer speaks of a certificate: SHA-384 of issuer's name and key, and the serial number. */
export function certificateId(certificate: Certificate, issuer: Certificate): string {
  const known = ids.get(certificate)
  if (known?.issuer === issuer) return known.id
  const id = issuerId(issuer) + toHex(certificate.serial)
  ids.set(certificate, { issuer, id })
  return id
}

function issuerId(issuer: Certificate): string {
  const spki = new DerReader(parseDer(issuer.spki, derTag.sequence, 'public key').body)
  spki.next(derTag.sequence, 'algorithm of the key')
  const key = derBitBytes(spki.next(derTag.bitString, 'public key'), 'public key')
  return idOf(sha384(issuer.subject), sha384(key), new Uint8Array())
}

/**
 * The answer that the bytes spell: successful, basic, on one certificate by SHA-384, with the certificate of its
 * responder, and with a time at which the next one is due.
 *
 * der     at most 16 KiB
 * throws  ocsp/size, ocsp/form, ocsp/not-successful, ocsp/algorithm, ocsp/critical-extension, ocsp/no-next-update,
 *         x509/... for the certificate of the responder
 * source  RFC 6960, "ASN.1 Specification of the OCSP Response"
 */
export function parseOcsp(der: Uint8Array, what = 'OCSP answer'): OcspAnswer {
  if (der.length > ocspSizeMax) throw refuse('ocsp/size', `${what} has ${der.length} bytes, at most ${ocspSizeMax}`)
  return withCode<OcspCode, OcspAnswer>('ocsp/form', what, () => {
    const outer = new DerReader(parseDer(der, derTag.sequence, 'answer').body)
    const status = outer.next(enumerated, 'response status').body
    if (status.length !== 1 || status[0] !== 0)
      throw refuse('ocsp/not-successful', `${what} has response status ${status[0]}, expected 0`)
    const bytes = new DerReader(parseDer(outer.next(0xa0, 'response bytes').body, derTag.sequence, 'response').body)
    outer.end('answer')
    if (derOid(bytes.next(derTag.oid, 'response type'), 'response type') !== oids.basic)
      throw refuse('ocsp/form', `${what} is not a basic one`)
    const basic = new DerReader(
      parseDer(bytes.next(derTag.octetString, 'basic response').body, derTag.sequence, 'basic response').body,
    )
    bytes.end('response')
    const tbs = basic.next(derTag.sequence, 'response data')
    const identifier = basic.next(derTag.sequence, 'signature algorithm')
    const signature = derBitBytes(basic.next(derTag.bitString, 'signature'), 'signature')
    const certificates = new DerReader(parseDer(basic.next(0xa0, 'certificates').body, derTag.sequence, 'list').body)
    const responder = certificates.next(derTag.sequence, 'certificate of the responder').whole
    certificates.end('certificates')
    basic.end('basic response')
    const algorithm = signatureAlgorithm(identifier.whole)
    if (!algorithm) throw refuse('ocsp/algorithm', `${what} has an unknown signature algorithm`)
    const rules = { heeds: [oids.extendedKeyUsage], times: 'any' } as const
    return {
      digest: toHex(sha256(der)),
      tbs: tbs.whole,
      algorithm,
      signature,
      responder: parseCertificate(responder, `responder of ${what}`, rules),
      ...readData(tbs, what),
    }
  })
}

function readData(
  tbs: Der,
  what: string,
): Omit<OcspAnswer, 'digest' | 'tbs' | 'algorithm' | 'signature' | 'responder'> {
  const reader = new DerReader(tbs.body)
  const byName = reader.optional(0xa1, 'responder name')
  const responderId = byName
    ? { name: parseDer(byName.body, derTag.sequence, 'responder name').whole }
    : { key: parseDer(reader.next(0xa2, 'responder id').body, derTag.octetString, 'responder key').body }
  const producedAt = readTime(reader, 'time of the answer')
  const responses = new DerReader(reader.next(derTag.sequence, 'responses').body)
  const single = new DerReader(responses.next(derTag.sequence, 'response').body)
  responses.end('responses')
  refuseCritical(reader.optional(0xa1, 'extensions'), what)
  reader.end('response data')
  const id = readId(single.next(derTag.sequence, 'certificate id'), what)
  const status = readStatus(single)
  const thisUpdate = readTime(single, 'this update')
  const next = single.optional(0xa0, 'next update')
  if (!next) throw refuse('ocsp/no-next-update', `${what} does not say when the next one is due`)
  const time = new DerReader(next.body)
  const nextUpdate = readTime(time, 'next update')
  time.end('next update')
  refuseCritical(single.optional(0xa1, 'extensions'), what)
  single.end('response')
  return { responderId, producedAt, id, status, thisUpdate, nextUpdate }
}

/** OCSP knows GeneralizedTime alone, for any year. */
function readTime(reader: DerReader, what: string): UnixSeconds {
  const form = reader.tag === derTag.utcTime ? 'profile' : 'any'
  if (form === 'profile') throw refuse('ocsp/form', `${what} is not a GeneralizedTime`)
  return readDerTime(reader, what, form)
}

function readId(sequence: Der, what: string): string {
  const reader = new DerReader(sequence.body)
  const hash = new DerReader(reader.next(derTag.sequence, 'hash of the id').body)
  const algorithm = derOid(hash.next(derTag.oid, 'hash of the id'), 'hash of the id')
  const parameters = hash.optional(derTag.null, 'parameters')
  hash.end('hash of the id')
  if (algorithm !== oids.sha384 || (parameters && parameters.body.length > 0))
    throw refuse('ocsp/algorithm', `${what} names a certificate by another hash than SHA-384`)
  const name = reader.next(derTag.octetString, 'hash of the name').body
  const key = reader.next(derTag.octetString, 'hash of the key').body
  const serial = derUnsigned(reader.next(derTag.integer, 'serial number'), 'serial number')
  reader.end('certificate id')
  if (name.length !== 48 || key.length !== 48) throw refuse('ocsp/form', `${what} has hashes of another size`)
  return idOf(name, key, serial)
}

/** source: RFC 5280, "Reason Code" */
const reasons = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
] as const

function readStatus(reader: DerReader): OcspAnswer['status'] {
  const good = reader.optional(0x80, 'certificate status')
  const unknown = good ? undefined : reader.optional(0x82, 'certificate status')
  const none = good ?? unknown
  if (none) {
    if (none.body.length > 0) throw refuse('ocsp/form', 'status of the certificate holds more than itself')
    return good ? 'good' : 'unknown'
  }
  const revoked = new DerReader(reader.next(0xa1, 'certificate status').body)
  const revokedAt = readTime(revoked, 'revocation time')
  const reason = revoked.optional(0xa0, 'reason')
  revoked.end('certificate status')
  const number = reason ? parseDer(reason.body, enumerated, 'reason').body[0]! : 0
  return { revokedAt, reason: reasons[number] ?? `reason ${number}` }
}

function refuseCritical(extensions: Der | undefined, what: string): void {
  if (!extensions) return
  for (const { oid, critical } of readExtensionList(
    parseDer(extensions.body, derTag.sequence, 'list'),
    what,
  ).values()) {
    if (critical) throw refuse('ocsp/critical-extension', `${what} has critical extension ${oid}`)
  }
}

/**
 * Verifies that a responder to whom `issuer` gave that right signed the answer, that it is current at `at`, and that the
 * certificate is good. One that is on hold is revoked; one that is not known is refused.
 *
 * issuer  of the certificate that the answer is about
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
  if (at < answer.thisUpdate || at < answer.producedAt)
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
  if (status !== 'good')
    throw refuse('ocsp/revoked', `${what}: revoked at ${formatTime(status.revokedAt)}, ${status.reason}`)
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
    const reader = new DerReader(parseDer(extension.value, derTag.sequence, 'extended key usage').body)
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
  const link = links && `ocsp:${answer.digest}:${keyDigest(issuer)}`
  if (links && link && links.has(link)) return
  const verify = async (code: OcspCode, message: string, work: Promise<void>) => {
    try {
      await work
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
