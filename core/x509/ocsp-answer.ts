import { toHex } from '#core/bytes/bytes.js'
import type { SignatureAlgorithm } from '#core/crypto/backend.js'
import { sha256Hex, sha384 } from '#core/crypto/hash.js'
import { type Der, type DerReader, derBitBytes, derOid, derTag, derUnsigned, parseDer } from '#core/encoding/der.js'
import { readDerTime } from '#core/encoding/der-time.js'
import { Failure } from '#core/failure.js'
import { ocspSizeMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { signatureAlgorithm } from '#core/x509/algorithms.js'
import { type Certificate, parseCertificate, readExtensionList, withCode } from '#core/x509/certificate.js'

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

/** What the ids of all certificates of an issuer begin with: SHA-384 of its name and of its key. */
export function issuerId(issuer: Certificate): string {
  const spki = parseDer(issuer.spki, derTag.sequence, 'public key').reader()
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
    const outer = parseDer(der, derTag.sequence, 'answer').reader()
    const status = outer.next(enumerated, 'response status').body
    if (status.length !== 1 || status[0] !== 0)
      throw refuse('ocsp/not-successful', `${what} has response status ${status[0]}, expected 0`)
    const bytes = parseDer(outer.next(0xa0, 'response bytes'), derTag.sequence, 'response').reader()
    outer.end('answer')
    if (derOid(bytes.next(derTag.oid, 'response type'), 'response type') !== oids.basic)
      throw refuse('ocsp/form', `${what} is not a basic one`)
    const basic = parseDer(bytes.next(derTag.octetString, 'basic response'), derTag.sequence, 'basic response').reader()
    bytes.end('response')
    const tbs = basic.next(derTag.sequence, 'response data')
    const identifier = basic.next(derTag.sequence, 'signature algorithm')
    const signature = derBitBytes(basic.next(derTag.bitString, 'signature'), 'signature')
    const certificates = parseDer(basic.next(0xa0, 'certificates'), derTag.sequence, 'list').reader()
    const responder = certificates.next(derTag.sequence, 'certificate of the responder').whole
    certificates.end('certificates')
    basic.end('basic response')
    const algorithm = signatureAlgorithm(identifier)
    if (!algorithm) throw refuse('ocsp/algorithm', `${what} has an unknown signature algorithm`)
    const rules = { heeds: [oids.extendedKeyUsage], times: 'any' } as const
    return {
      digest: sha256Hex(der),
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
  const reader = tbs.reader()
  const byName = reader.optional(0xa1, 'responder name')
  const responderId = byName
    ? { name: parseDer(byName, derTag.sequence, 'responder name').whole }
    : { key: parseDer(reader.next(0xa2, 'responder id'), derTag.octetString, 'responder key').body }
  const producedAt = readTime(reader, 'time of the answer')
  const responses = reader.next(derTag.sequence, 'responses').reader()
  const single = responses.next(derTag.sequence, 'response').reader()
  responses.end('responses')
  refuseCritical(reader.optional(0xa1, 'extensions'), what)
  reader.end('response data')
  const id = readId(single.next(derTag.sequence, 'certificate id'), what)
  const status = readStatus(single)
  const thisUpdate = readTime(single, 'this update')
  const next = single.optional(0xa0, 'next update')
  if (!next) throw refuse('ocsp/no-next-update', `${what} does not say when the next one is due`)
  const time = next.reader()
  const nextUpdate = readTime(time, 'next update')
  time.end('next update')
  refuseCritical(single.optional(0xa1, 'extensions'), what)
  single.end('response')
  return { responderId, producedAt, id, status, thisUpdate, nextUpdate }
}

/** OCSP knows GeneralizedTime alone, for any year. */
function readTime(reader: DerReader, what: string): UnixSeconds {
  if (reader.tag === derTag.utcTime) throw refuse('ocsp/form', `${what} is not a GeneralizedTime`)
  return readDerTime(reader, what, 'any')
}

function readId(sequence: Der, what: string): string {
  const reader = sequence.reader()
  const hash = reader.next(derTag.sequence, 'hash of the id').reader()
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
  const revoked = reader.next(0xa1, 'certificate status').reader()
  const revokedAt = readTime(revoked, 'revocation time')
  const reason = revoked.optional(0xa0, 'reason')
  revoked.end('certificate status')
  const number = reason ? parseDer(reason, enumerated, 'reason').body[0]! : 0
  return { revokedAt, reason: reasons[number] ?? `reason ${number}` }
}

function refuseCritical(extensions: Der | undefined, what: string): void {
  if (!extensions) return
  for (const { oid, critical } of readExtensionList(parseDer(extensions, derTag.sequence, 'list'), what).values()) {
    if (critical) throw refuse('ocsp/critical-extension', `${what} has critical extension ${oid}`)
  }
}
