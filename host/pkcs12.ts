import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import forge from 'node-forge'
import { Failure, isFailure } from '#core/failure.js'
import { chainLengthMax, KiB } from '#core/limits.js'

/** Failures of reading a PKCS #12 bundle. */
export type Pkcs12Code =
  | 'pkcs12/size'
  | 'pkcs12/form'
  | 'pkcs12/password'
  /** protected by an algorithm that is broken, or that is not known here */
  | 'pkcs12/algorithm'
  /** deriving its keys would take too long */
  | 'pkcs12/iterations'
  /** not exactly one private key, or no certificate of it */
  | 'pkcs12/contents'

/** A private key with what vouches for it, for TLS: PEM. */
export interface TlsIdentity {
  readonly key: Buffer
  /** leaf first */
  readonly cert: Buffer
}

const sizeMax = 256 * KiB
const bagsMax = 32
/** Of all derivations in a file together: a second or two. Files of today have 2,048 to 600,000 each. */
const iterationsMax = 3_000_000

const oids = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  tripleDes: '1.2.840.113549.1.12.1.3',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  certBag: '1.2.840.113549.1.12.10.1.3',
} as const
const macDigests = ['1.3.14.3.2.26', '2.16.840.1.101.3.4.2.1', '2.16.840.1.101.3.4.2.2', '2.16.840.1.101.3.4.2.3']
/** Password-based encryption of PKCS #5 and PKCS #12, and DES by itself: what of these is not named above is broken or unknown. */
const passwordBased = /^1\.2\.840\.113549\.1\.(5|12\.1)\.[0-9]+$|^1\.3\.14\.3\.2\.7$/

type Asn1 = forge.asn1.Asn1

/** A part of the library that its types leave out. */
const passwordCiphers = (
  forge.pki as unknown as {
    readonly pbe: {
      getCipher(oid: string, parameters: Asn1, password: string): forge.cipher.BlockCipher
    }
  }
).pbe

function refuse(code: Pkcs12Code, message: string, cause?: unknown): Failure<Pkcs12Code> {
  return new Failure<Pkcs12Code>(code, message, { cause, detail: { hint: hints[code] ?? null } })
}

const hints: { readonly [code in Pkcs12Code]?: string } = {
  'pkcs12/password': 'is it the password of this file? its first line is taken, without the line break',
  'pkcs12/algorithm':
    'protect it anew: openssl pkcs12 -legacy -in FILE -nodes -out all.pem; openssl pkcs12 -export -in all.pem -out NEW',
  'pkcs12/iterations': 'protect it anew with fewer: openssl pkcs12 -export -iter 100000',
  'pkcs12/contents': 'export one key with its certificate chain',
}

/**
 * The one private key in a PKCS #12 bundle and its certificate chain. Nothing is derived from the password before it is
 * known how much work that is, and the whole file must be authenticated by the password.
 *
 * bytes     at most 256 KiB
 * throws    pkcs12/size, pkcs12/form, pkcs12/password, pkcs12/algorithm, pkcs12/iterations, pkcs12/contents
 * source    RFC 7292, "PFX PDU Syntax", "SafeContents Type"; RFC 8018, "PBES2"
 */
export function readPkcs12(bytes: Uint8Array, password: string): TlsIdentity {
  if (bytes.length === 0 || bytes.length > sizeMax)
    throw refuse('pkcs12/size', `bundle has ${bytes.length} bytes, expected 1 to ${sizeMax}`)
  const pfx = parse(Buffer.from(bytes).toString('latin1'), 'bundle')
  verifyWork(pfx, password)
  return identityIn(open(pfx, password))
}

function parse(text: string, what: string): Asn1 {
  try {
    return forge.asn1.fromDer(text)
  } catch (cause) {
    throw refuse('pkcs12/form', `${what} is not in the form of a PKCS #12 file`, cause)
  }
}

function children(node: Asn1 | undefined): readonly Asn1[] {
  return node !== undefined && Array.isArray(node.value) ? (node.value as readonly Asn1[]) : []
}

function oidOf(node: Asn1 | undefined): string | null {
  const isOid = node?.tagClass === forge.asn1.Class.UNIVERSAL && node.type === forge.asn1.Type.OID
  return isOid && typeof node.value === 'string' ? forge.asn1.derToOid(node.value) : null
}

/** The bytes of an OCTET STRING, which BER may spell in pieces. @throws pkcs12/form */
function octetsOf(node: Asn1 | undefined): string {
  if (typeof node?.value === 'string') return node.value
  const parts = children(node)
  if (parts.length === 0 || parts.some((one) => typeof one.value !== 'string'))
    throw refuse('pkcs12/form', 'a part of the bundle is not there')
  return parts.map((one) => one.value as string).join('')
}

function countOf(node: Asn1 | undefined): number {
  const isCount = node?.type === forge.asn1.Type.INTEGER && typeof node.value === 'string'
  if (!isCount) throw refuse('pkcs12/form', 'a number of iterations is not there')
  const bytes = node.value as string
  if (bytes.length > 4 || bytes.charCodeAt(0) > 0x7f) throw refuse('pkcs12/iterations', 'too many iterations')
  return [...bytes].reduce((sum, byte) => sum * 256 + byte.charCodeAt(0), 0)
}

/**
 * Returns only when every algorithm is one of ours and all derivations together are bounded, those behind encryption too.
 *
 * throws  pkcs12/form, pkcs12/password, pkcs12/algorithm, pkcs12/iterations
 */
function verifyWork(pfx: Asn1, password: string): void {
  let iterations = 0
  const count = (node: Asn1 | undefined) => {
    iterations += countOf(node)
    if (iterations > iterationsMax)
      throw refuse('pkcs12/iterations', `bundle asks for more than ${iterationsMax} iterations`)
  }
  const [, authenticated, mac] = children(pfx)
  const [digestInfo, , macIterations] = children(mac)
  const macDigest = oidOf(children(children(digestInfo)[0])[0])
  if (macDigest === null) throw refuse('pkcs12/form', 'bundle is not authenticated by a password')
  if (!macDigests.includes(macDigest)) throw refuse('pkcs12/algorithm', 'bundle is authenticated by an unknown digest')
  if (macIterations !== undefined) count(macIterations)

  const scan = (node: Asn1): void => {
    const [first, parameters] = children(node)
    const oid = oidOf(first)
    if (oid === oids.pbkdf2 || oid === oids.tripleDes) count(children(parameters)[1])
    else if (oid !== null && oid !== oids.pbes2 && passwordBased.test(oid))
      throw refuse('pkcs12/algorithm', `bundle is encrypted with ${oid}, which is broken or unknown`)
    for (const one of children(node)) scan(one)
  }
  const safe = parse(octetsOf(children(children(authenticated)[1])[0]), 'content of the bundle')
  scan(safe)
  if (children(safe).length > bagsMax) throw refuse('pkcs12/form', `bundle has more than ${bagsMax} parts`)
  for (const part of children(safe)) scan(contentsOf(part, password))
}

/** What a part of the bundle holds, decrypted where it is encrypted. */
function contentsOf(part: Asn1, password: string): Asn1 {
  const [type, body] = children(part)
  const inner = children(body)[0]
  const kind = oidOf(type)
  if (kind === oids.data) return parse(octetsOf(inner), 'part of the bundle')
  if (kind !== oids.encryptedData) throw refuse('pkcs12/form', 'a part of the bundle is of an unknown kind')
  const [, identifier, sealed] = children(children(inner)[1])
  const [algorithm, parameters] = children(identifier)
  const oid = oidOf(algorithm)
  if (oid === null || parameters === undefined) throw refuse('pkcs12/form', 'a part of the bundle names no algorithm')
  const plain = attempt(() => {
    const cipher = passwordCiphers.getCipher(oid, parameters, password)
    cipher.update(forge.util.createBuffer(octetsOf(sealed)))
    if (!cipher.finish()) return null
    return forge.asn1.fromDer(cipher.output)
  })
  if (plain === null) throw refuse('pkcs12/password', 'the password does not open the bundle')
  return plain
}

/** Null for whatever the library objects to in bytes that a wrong password made. */
function attempt<T>(work: () => T | null): T | null {
  try {
    return work()
  } catch (error) {
    if (isFailure(error)) throw error
    return null
  }
}

function open(pfx: Asn1, password: string): forge.pkcs12.Pkcs12Pfx {
  try {
    return forge.pkcs12.pkcs12FromAsn1(pfx, true, password)
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : ''
    if (/MAC could not be verified|wrong password|Failed to decrypt/i.test(text))
      throw refuse('pkcs12/password', 'the password does not open the bundle')
    throw refuse('pkcs12/form', 'bundle is not in the form of a PKCS #12 file', cause)
  }
}

function identityIn(pfx: forge.pkcs12.Pkcs12Pfx): TlsIdentity {
  const bags = (type: string) => pfx.getBags({ bagType: type })[type] ?? []
  const keys = [...bags(oids.shroudedKeyBag), ...bags(oids.keyBag)]
  if (keys.length !== 1) throw refuse('pkcs12/contents', `bundle holds ${keys.length} private keys, expected one`)
  const key = privateKeyOf(keys[0]!)
  const certificates = bags(oids.certBag).map(certificateOf)
  const leaf = certificates.find((one) => one.checkPrivateKey(key))
  if (leaf === undefined) throw refuse('pkcs12/contents', 'bundle holds no certificate of its private key')
  const chain = [leaf]
  for (let last = leaf; chain.length < chainLengthMax; ) {
    const issuer = certificates.find((one) => !chain.includes(one) && last.checkIssued(one))
    if (issuer === undefined) break
    chain.push(issuer)
    last = issuer
  }
  return {
    key: Buffer.from(key.export({ type: 'pkcs8', format: 'pem' })),
    cert: Buffer.from(chain.map((one) => one.toString()).join('')),
  }
}

/** The library reads RSA alone: of other keys it hands over what they were spelled with. */
function privateKeyOf(bag: forge.pkcs12.Bag): KeyObject {
  const isRsa = bag.key !== undefined && bag.key !== null
  const asn1 = isRsa ? forge.pki.privateKeyToAsn1(bag.key!) : bag.asn1
  const der = Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1')
  try {
    return createPrivateKey({ key: der, format: 'der', type: isRsa ? 'pkcs1' : 'pkcs8' })
  } catch {
    throw refuse('pkcs12/contents', 'the private key in the bundle is of an unknown kind')
  } finally {
    der.fill(0)
  }
}

function certificateOf(bag: forge.pkcs12.Bag): X509Certificate {
  const asn1 = bag.cert ? forge.pki.certificateToAsn1(bag.cert) : bag.asn1
  try {
    return new X509Certificate(Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'latin1'))
  } catch (cause) {
    throw refuse('pkcs12/contents', 'a certificate in the bundle cannot be read', cause)
  }
}
