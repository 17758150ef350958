/**
 * What belongs in core/x509: certificates, chains and CRLs as bytes and rules (RFC 5280). Which root is trusted, and
 * what a vendor's own extensions mean, belongs to the verifier of that vendor's evidence.
 */
import { fromHex } from '#core/bytes/bytes.js'
import type { SignatureAlgorithm } from '#core/crypto/backend.js'
import { ecdsaDerToRaw } from '#core/crypto/ecdsa.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import {
  type Der,
  type DerCode,
  derAscii,
  derBitBytes,
  derBits,
  derBoolean,
  derInteger,
  derOid,
  derOidIs,
  derTag,
  derUnsigned,
  oidArc,
  parseDer,
} from '#core/encoding/der.js'
import { readDerTime } from '#core/encoding/der-time.js'
import { Failure, isFailure } from '#core/failure.js'
import { certificateSizeMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { signatureAlgorithm } from '#core/x509/algorithms.js'

/** Failures of reading a certificate. */
export type X509Code =
  | 'x509/size'
  | 'x509/form'
  | 'x509/version'
  | 'x509/algorithm'
  | 'x509/duplicate-extension'
  | 'x509/critical-extension'
  | 'x509/extension'

export interface Extension {
  readonly oid: string
  readonly critical: boolean
  /** what the OCTET STRING holds */
  readonly value: Uint8Array
}

/** A parsed certificate. Byte members are views into the bytes that were signed. */
export interface Certificate {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  /** magnitude without sign byte; AMD's VCEK and VLEK all have serial number 0 */
  readonly serial: Uint8Array
  readonly algorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  /** DER of the names: compared as bytes */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: UnixSeconds
  readonly notAfter: UnixSeconds
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  readonly extensions: ReadonlyMap<string, Extension>
  readonly isCa: boolean
  readonly pathLengthMax: number | undefined
  /** `keyCertSign`, `cRLSign`; undefined when the certificate does not restrict its key */
  readonly keyUsage: KeyUsage | undefined
}
export interface KeyUsage {
  readonly digitalSignature: boolean
  readonly certSign: boolean
  readonly crlSign: boolean
}

/** In what a vendor's certificates go beyond what is read here. The caller answers for each. */
export interface CertificateRules {
  /** critical extensions that the caller itself reads and heeds, by OID */
  readonly heeds?: readonly string[]
  /** `any` for a vendor who spells dates before 2050 as GeneralizedTime */
  readonly times?: 'profile' | 'any'
}

const context = (number: number) => 0xa0 + number
const extensionsMax = 64
const oids = { basicConstraints: '2.5.29.19', keyUsage: '2.5.29.15' } as const
/** source: RFC 5280, "Standard Extensions" */
const extensionArc = oidArc(fromHex('551d'), '2.5.29')
/** Attributes of names, as the contents of their object identifiers. */
const attributes = { commonName: fromHex('550403'), serialNumber: fromHex('550405') } as const

/** Turns trouble with the encoding into the caller's own code; other failures and bugs pass. */
export function withCode<Code extends string, T>(code: Code, what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isFailure(error) || !error.code.startsWith('der/')) throw error
    const inner = error as Failure<DerCode>
    throw new Failure<Code>(code, `${what}: ${inner.message}`, { detail: { der: inner.code }, cause: error })
  }
}

/**
 * The certificate that the bytes spell: X.509 version 3, one known signature algorithm named twice alike, no extension
 * twice, no critical extension but those read here.
 *
 * der     at most 64 KiB
 * rules   what the caller reads beyond this; none for a vendor who keeps to the profile
 * throws  x509/size, x509/form, x509/version, x509/algorithm, x509/duplicate-extension, x509/critical-extension,
 *         x509/extension
 * source  RFC 5280, "Basic Certificate Fields"
 */
export function parseCertificate(der: Uint8Array, what = 'certificate', rules: CertificateRules = {}): Certificate {
  if (der.length > certificateSizeMax)
    throw new Failure<X509Code>('x509/size', `${what} has ${der.length} bytes, at most ${certificateSizeMax}`)
  return withCode<X509Code, Certificate>('x509/form', what, () => {
    const outer = parseDer(der, derTag.sequence, 'certificate').reader()
    const tbs = outer.next(derTag.sequence, 'to-be-signed part')
    const identifier = outer.next(derTag.sequence, 'signature algorithm')
    const signature = derBitBytes(outer.next(derTag.bitString, 'signature'), 'signature')
    outer.end('certificate')
    return { der, tbs: tbs.whole, signature, ...readTbs(tbs, identifier, what, rules) }
  })
}

function readTbs(
  tbs: Der,
  outerIdentifier: Der,
  what: string,
  rules: CertificateRules,
): Omit<Certificate, 'der' | 'tbs' | 'signature'> {
  const reader = tbs.reader()
  const version = reader.optional(context(0), 'version')
  if (!version || derInteger(parseDer(version, derTag.integer, 'version'), 255, 'version') !== 2)
    throw new Failure<X509Code>('x509/version', `${what} is not of version 3`)
  const serial = derUnsigned(reader.next(derTag.integer, 'serial number'), 'serial number')
  const algorithm = sameAlgorithm(reader.next(derTag.sequence, 'signature algorithm'), outerIdentifier, what)
  const issuer = reader.next(derTag.sequence, 'issuer').whole
  const validity = reader.next(derTag.sequence, 'validity').reader()
  const notBefore = readDerTime(validity, 'not before', rules.times)
  const notAfter = readDerTime(validity, 'not after', rules.times)
  validity.end('validity')
  const subject = reader.next(derTag.sequence, 'subject').whole
  const spki = reader.next(derTag.sequence, 'public key').whole
  const list = reader.optional(context(3), 'extensions')
  reader.end('to-be-signed part')
  const extensions = list ? readExtensions(parseDer(list, derTag.sequence, 'extensions'), what, rules) : new Map()
  const constraints = readBasicConstraints(extensions.get(oids.basicConstraints))
  const keyUsage = readKeyUsage(extensions.get(oids.keyUsage))
  return { serial, algorithm, issuer, notBefore, notAfter, subject, spki, extensions, keyUsage, ...constraints }
}

/** The algorithm, when signed and unsigned part name the same. source: RFC 5280, "signatureAlgorithm" */
export function sameAlgorithm(inner: Der, outer: Der, what: string): SignatureAlgorithm {
  const algorithm = signatureAlgorithm(outer)
  if (!algorithm) throw new Failure<X509Code>('x509/algorithm', `${what} has an unknown signature algorithm`)
  if (!inner.isSame(outer))
    throw new Failure<X509Code>('x509/algorithm', `${what} names two different signature algorithms`)
  return algorithm
}

/** Few of the values of extensions are looked at: a view of one is made when it is. */
class ReadExtension implements Extension {
  readonly oid: string
  readonly critical: boolean
  readonly #value: Der

  constructor(oid: string, critical: boolean, value: Der) {
    this.oid = oid
    this.critical = critical
    this.#value = value
  }

  get value(): Uint8Array {
    return this.#value.body
  }
}

/** The Extensions of a certificate or CRL, none twice. What a critical one means is the caller's to know. */
export function readExtensionList(sequence: Der, what: string): ReadonlyMap<string, Extension> {
  const out = new Map<string, Extension>()
  const reader = sequence.reader()
  while (!reader.done) {
    const one = reader.next(derTag.sequence, 'extension').reader()
    const oid = derOid(one.next(derTag.oid, 'extension id'), 'extension id', extensionArc)
    const flag = one.optional(derTag.boolean, 'critical')
    const critical = flag ? derBoolean(flag, 'critical') : false
    const value = one.next(derTag.octetString, 'extension value')
    one.end('extension')
    if (out.has(oid)) throw new Failure<X509Code>('x509/duplicate-extension', `${what} has extension ${oid} twice`)
    if (out.size === extensionsMax)
      throw new Failure<X509Code>('x509/extension', `${what} has more than ${extensionsMax} extensions`)
    out.set(oid, new ReadExtension(oid, critical, value))
  }
  return out
}

function readExtensions(sequence: Der, what: string, rules: CertificateRules): ReadonlyMap<string, Extension> {
  const extensions = readExtensionList(sequence, what)
  for (const { oid, critical } of extensions.values()) {
    if (critical && oid !== oids.basicConstraints && oid !== oids.keyUsage && !rules.heeds?.includes(oid))
      throw new Failure<X509Code>('x509/critical-extension', `${what} has unknown critical extension ${oid}`)
  }
  return extensions
}

/** source: RFC 5280, "Basic Constraints" */
function readBasicConstraints(extension: Extension | undefined): Pick<Certificate, 'isCa' | 'pathLengthMax'> {
  if (!extension) return { isCa: false, pathLengthMax: undefined }
  const reader = parseDer(extension.value, derTag.sequence, 'basic constraints').reader()
  const ca = reader.optional(derTag.boolean, 'basic constraints')
  const isCa = ca ? derBoolean(ca, 'basic constraints') : false
  const length = reader.optional(derTag.integer, 'path length')
  reader.end('basic constraints')
  const pathLengthMax = length ? derInteger(length, 255, 'path length') : undefined
  if (!isCa && pathLengthMax !== undefined)
    throw new Failure<X509Code>('x509/extension', 'basic constraints limit the path of what is no CA')
  return { isCa, pathLengthMax }
}

/** source: RFC 5280, "Key Usage" */
function readKeyUsage(extension: Extension | undefined): KeyUsage | undefined {
  if (!extension) return undefined
  const { bytes } = derBits(parseDer(extension.value, derTag.bitString, 'key usage'), 'key usage')
  const first = bytes[0] ?? 0
  return { digitalSignature: (first & 0x80) !== 0, certSign: (first & 0x04) !== 0, crlSign: (first & 0x02) !== 0 }
}

/** The single common name of a Name, or undefined. @throws x509/form */
export function commonName(name: Uint8Array): string | undefined {
  return nameText(name, 'commonName', 'common name')
}

/** The single value of an attribute of a Name, or undefined. @throws x509/form */
export function nameText(name: Uint8Array, attribute: keyof typeof attributes, what: string): string | undefined {
  return withCode<X509Code, string | undefined>('x509/form', 'name', () => {
    const sets = parseDer(name, derTag.sequence, 'name').reader()
    let found: string | undefined
    while (!sets.done) {
      const set = sets.next(derTag.set, 'name part').reader()
      while (!set.done) {
        const one = set.next(derTag.sequence, 'name attribute').reader()
        if (!derOidIs(one.next(derTag.oid, 'name attribute'), attributes[attribute], 'name attribute')) continue
        const text = derAscii(one.next(one.tag ?? 0, what), what)
        if (found !== undefined) throw new Failure<X509Code>('x509/form', `name has ${what} twice`)
        found = text
      }
    }
    return found
  })
}

/** Returns only when `signature` over `message` is that of the key in `spki`. @throws crypto/signature */
export async function verifyX509Signature(
  algorithm: SignatureAlgorithm,
  spki: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  what: string,
): Promise<void> {
  const size = algorithm === 'ES256' ? 32 : algorithm === 'ES384' ? 48 : undefined
  if (size === undefined) await verifySpkiSignature(algorithm, spki, message, signature, what)
  else await verifySpkiSignature(algorithm, spki, message, ecdsaDerToRaw(signature, size), what, signature)
}
