import { equal, toHex } from '#core/bytes/bytes.js'
import type { SignatureAlgorithm } from '#core/crypto/backend.js'
import { type Der, derBitBytes, derInteger, derTag, derUnsigned, parseDer } from '#core/encoding/der.js'
import { readDerTime } from '#core/encoding/der-time.js'
import { Failure, isFailure } from '#core/failure.js'
import { crlSizeMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import {
  type Certificate,
  type Extension,
  readExtensionList,
  sameAlgorithm,
  verifyX509Signature,
  withCode,
} from '#core/x509/certificate.js'
import { RevokedSerials } from '#core/x509/revoked.js'

/** Failures of reading and verifying a certificate revocation list. */
export type CrlCode =
  | 'crl/size'
  | 'crl/form'
  | 'crl/critical-extension'
  | 'crl/no-next-update'
  | 'crl/issuer-name'
  | 'crl/key-usage'
  | 'crl/not-yet-valid'
  | 'crl/expired'
  | 'crl/signature'
  | 'crl/revoked'

export interface Crl {
  readonly tbs: Uint8Array
  readonly algorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  readonly issuer: Uint8Array
  readonly thisUpdate: UnixSeconds
  readonly nextUpdate: UnixSeconds
  readonly revoked: Pick<RevokedSerials, 'size' | 'has' | typeof Symbol.iterator>
  /** the CRL number, which only grows for one issuer; null when the list carries none */
  readonly number: bigint | null
}

const crlNumberOid = '2.5.29.20'
/** source: RFC 5280, "Delta CRL Indicator", "Issuing Distribution Point" */
const partialListOids = ['2.5.29.27', '2.5.29.28']
/** source: RFC 5280, "CRL Number" */
const crlNumberSizeMax = 20

/**
 * The CRL that the bytes spell. One without `nextUpdate` is refused: nothing could ever call it stale. One with a
 * critical extension (delta, indirect or partial lists) is refused: it does not say what a full list says.
 *
 * der     at most 8 MiB
 * throws  crl/size, crl/form, crl/critical-extension, crl/no-next-update, x509/algorithm, x509/duplicate-extension,
 *         x509/extension
 * source  RFC 5280, "CRL Fields"
 */
export function parseCrl(der: Uint8Array, what = 'CRL'): Crl {
  if (der.length > crlSizeMax)
    throw new Failure<CrlCode>('crl/size', `${what} has ${der.length} bytes, at most ${crlSizeMax}`)
  return withCode<CrlCode, Crl>('crl/form', what, () => {
    const outer = parseDer(der, derTag.sequence, 'CRL').reader()
    const tbs = outer.next(derTag.sequence, 'to-be-signed part')
    const identifier = outer.next(derTag.sequence, 'signature algorithm')
    const signature = derBitBytes(outer.next(derTag.bitString, 'signature'), 'signature')
    outer.end('CRL')
    const reader = tbs.reader()
    const version = reader.optional(derTag.integer, 'version')
    if (version && derInteger(version, 255, 'version') !== 1)
      throw new Failure<CrlCode>('crl/form', `${what} is not of version 2`)
    const algorithm = sameAlgorithm(reader.next(derTag.sequence, 'signature algorithm'), identifier, what)
    const issuer = reader.next(derTag.sequence, 'issuer').whole
    const thisUpdate = readDerTime(reader, 'this update')
    if (reader.tag !== derTag.utcTime && reader.tag !== derTag.generalizedTime)
      throw new Failure<CrlCode>('crl/no-next-update', `${what} does not say when the next one is due`)
    const nextUpdate = readDerTime(reader, 'next update')
    const entries = reader.optional(derTag.sequence, 'revoked certificates')
    const revoked = entries ? readEntries(entries, what) : new RevokedSerials()
    const extensions = reader.optional(0xa0, 'extensions')
    reader.end('to-be-signed part')
    const number = extensions ? readNumber(parseDer(extensions, derTag.sequence, 'extensions'), what) : null
    return { tbs: tbs.whole, algorithm, signature, issuer, thisUpdate, nextUpdate, revoked, number }
  })
}

function readEntries(sequence: Der, what: string): RevokedSerials {
  const revoked = new RevokedSerials()
  const reader = sequence.reader()
  // Most entries say no more than the one before: the same bytes are not read again.
  let known: Der | undefined
  let knownRest: Uint8Array | undefined
  while (!reader.done) {
    const entry = reader.next(derTag.sequence, 'entry').reader()
    revoked.add(entry.next(derTag.integer, 'serial number'))
    if (knownRest !== undefined && entry.isLeft(knownRest)) continue
    const { rest } = entry
    readDerTime(entry, 'revocation date')
    const extensions = entry.optional(derTag.sequence, 'entry extensions')
    if (extensions && !known?.isSame(extensions)) {
      refuseCritical(extensions, what)
      known = extensions
    }
    entry.end('entry')
    knownRest = rest
  }
  return revoked
}

function refuseCritical(sequence: Der, what: string): ReadonlyMap<string, Extension> {
  const extensions = readExtensionList(sequence, what)
  for (const { oid, critical } of extensions.values()) {
    if (critical) throw new Failure<CrlCode>('crl/critical-extension', `${what} has critical extension ${oid}`)
  }
  return extensions
}

function readNumber(sequence: Der, what: string): bigint | null {
  const extensions = refuseCritical(sequence, what)
  // Both are critical by the book: a list that hides that it is partial is no less partial.
  for (const oid of partialListOids)
    if (extensions.has(oid)) throw new Failure<CrlCode>('crl/critical-extension', `${what} has extension ${oid}`)
  const extension = extensions.get(crlNumberOid)
  if (!extension) return null
  const magnitude = derUnsigned(parseDer(extension.value, derTag.integer, 'CRL number'), 'CRL number')
  if (magnitude.length > crlNumberSizeMax)
    throw new Failure<CrlCode>('crl/form', `number of ${what} has more than ${crlNumberSizeMax} bytes`)
  return BigInt(`0x${toHex(magnitude)}`)
}

/**
 * Verifies that `issuer` signed the CRL and that it is current at `at`.
 *
 * trusts  that the caller has verified the issuer
 * throws  crl/issuer-name, crl/key-usage, crl/not-yet-valid, crl/expired, crl/signature
 * source  RFC 5280, "CRL Validation"
 */
export async function verifyCrl(crl: Crl, issuer: Certificate, at: UnixSeconds, what = 'CRL'): Promise<void> {
  if (!equal(crl.issuer, issuer.subject)) throw new Failure<CrlCode>('crl/issuer-name', `${what} has another issuer`)
  if (issuer.keyUsage && !issuer.keyUsage.crlSign)
    throw new Failure<CrlCode>('crl/key-usage', `issuer of ${what} may not sign CRLs`)
  if (at < crl.thisUpdate)
    throw new Failure<CrlCode>(
      'crl/not-yet-valid',
      `${what} is from ${formatTime(crl.thisUpdate)}, verified at ${formatTime(at)}`,
    )
  if (at > crl.nextUpdate)
    throw new Failure<CrlCode>(
      'crl/expired',
      `${what} was due again at ${formatTime(crl.nextUpdate)}, verified at ${formatTime(at)}`,
    )
  try {
    await verifyX509Signature(crl.algorithm, issuer.spki, crl.tbs, crl.signature, what)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<CrlCode>('crl/signature', `${what} was not signed by its issuer`, { cause })
  }
}

/** Returns only when the CRL does not list the certificate. @throws crl/revoked */
export function verifyNotRevoked(certificate: Certificate, crl: Crl, name: string): void {
  if (crl.revoked.has(certificate.serial))
    throw new Failure<CrlCode>('crl/revoked', `${name}, serial number ${toHex(certificate.serial)}, is revoked`)
}
