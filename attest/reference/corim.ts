import type { Publisher, ReferenceCode } from '#attest/reference/provenance.js'
import { toHex } from '#core/bytes/bytes.js'
import { type CoseSign1, parseCoseSign1, verifyCoseSign1 } from '#core/cose.js'
import { jwkToSpki } from '#core/crypto/jwk.js'
import { type Cbor, type CborMap, decodeCbor, isCborArray, isCborMap, isCborTag } from '#core/encoding/cbor.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'

/** Code points. source: draft-ietf-rats-corim-10, "Signed CoRIM", "CoRIM Map", "CoMID", "Reference Values Triple" */
const header = { contentType: 3, keyId: 4, meta: 8 } as const
const contentType = 'application/rim+cbor'
const tags = { corim: 501, comid: 506, bytes: 560, uuid: 37, uri: 32, time: 1, svn: 552, minSvn: 553 } as const
const corim = { id: 0, tags: 1, profile: 3, validity: 4, entities: 5 } as const
const meta = { signer: 0, validity: 1 } as const
/** source: draft-deeglaze-amd-sev-snp-corim-profile, "AMD SEV-SNP CoRIM Profile" */
const snpProfile = 'tag:amd.com,2025:snp-corim-profile'
const comid = { language: 0, identity: 1, entities: 2, triples: 4 } as const
/** SHA-384. source: IANA Named Information Hash Algorithm Registry */
const sha384Id = 7

/**
 * Classes and measurements of SEV-SNP. source: draft-deeglaze-amd-sev-snp-corim-profile, "AMD SEV-SNP Target Environment",
 * "AMD SEV-SNP measurements"
 */
const snpClasses = ['d05e6d1b9f464ae2a610ce3e6ee7e153', '89a7a1f0e7044faaacbd81c86df8a961']
const snpKey = { guest: 0, idKeyDigest: 5, authorKeyDigest: 6, host: 8 } as const
const value = { svn: 1, digests: 2, rawValue: 4 } as const

/** What a manifest says of SEV-SNP guests: lists that take the place of those in reference values. */
export interface CorimValues {
  readonly measurements: readonly string[]
  readonly hostData: readonly string[]
  readonly idKeyDigests: readonly string[]
  readonly authorKeyDigests: readonly string[]
  readonly guestSvnMin: number | null
}
/** From when until when, both included; null where the signer does not say. */
export interface Validity {
  readonly notBefore: UnixSeconds | null
  readonly notAfter: UnixSeconds | null
}
export interface Corim extends Validity {
  readonly title: string
  readonly snp: CorimValues
}

function unsupported(what: string): Failure<ReferenceCode> {
  return new Failure<ReferenceCode>('reference/unsupported', `manifest: ${what}`)
}
function malformed(what: string, cause?: unknown): Failure<ReferenceCode> {
  return new Failure<ReferenceCode>('reference/form', `manifest: ${what}`, { cause })
}

/**
 * The payload of a signed CoRIM, who signed it, and for what time.
 *
 * throws  reference/form, reference/publisher, reference/unsupported
 * source  draft-ietf-rats-corim-10, "Signed CoRIM", "CoRIM Metadata"; RFC 9052, "Signing with One Signer"
 */
export async function verifySignedCorim(
  bytes: Uint8Array,
  publishers: readonly Publisher[],
): Promise<{ readonly payload: Uint8Array; readonly publisher: Publisher; readonly signedFor: Validity }> {
  const message = readMessage(bytes)
  if (message.protectedHeader.get(header.contentType) !== contentType)
    throw malformed(`content type is not ${contentType}`)
  for (const publisher of publishers) {
    if (await isSignedBy(message, publisher))
      return { payload: message.payload, publisher, signedFor: metaValidity(message.protectedHeader.get(header.meta)) }
  }
  throw new Failure<ReferenceCode>('reference/publisher', 'manifest is signed by no publisher that is trusted')
}

/** Who the signer calls itself is not read: a publisher is known by its key. */
function metaValidity(one: Cbor | undefined): Validity {
  if (one === undefined) return validityOf(undefined)
  if (!(one instanceof Uint8Array)) throw malformed('what its signer says of it is no byte string')
  return validityOf(mapOf(decode(one), 'what its signer says of it', Object.values(meta)).get(meta.validity))
}

function readMessage(bytes: Uint8Array): CoseSign1 {
  try {
    const known = [header.contentType, header.keyId, header.meta]
    const algorithms = ['ES256', 'ES384', 'Ed25519'] as const // those of the keys of publishers
    return parseCoseSign1(bytes, 'manifest', { algorithms, protected: known, unprotected: [header.keyId] })
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw malformed(cause.message, cause)
  }
}

async function isSignedBy(message: CoseSign1, { key }: Publisher): Promise<boolean> {
  try {
    await verifyCoseSign1(message, jwkToSpki(key), 'manifest')
    return true
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}

/**
 * What the payload of a signed CoRIM says. Reference values of SEV-SNP are read; anything else in it is refused, so that
 * nothing that its publisher meant is left out in silence.
 *
 * trusts  that the signature was verified by the caller
 * throws  reference/form, reference/unsupported
 */
export function readCorim(payload: Uint8Array): Corim {
  const map = mapOf(tagged(decode(payload), tags.corim), 'the manifest', Object.values(corim))
  verifyProfile(map.get(corim.profile))
  const id = map.get(corim.id)
  const { notBefore, notAfter } = validityOf(map.get(corim.validity))
  const found: Found = {
    measurements: [],
    hostData: [],
    idKeyDigests: [],
    authorKeyDigests: [],
    guestSvnMin: null,
    triples: 0,
  }
  for (const tag of arrayOf(map.get(corim.tags), 'tags')) {
    const bytes = tagged(tag, tags.comid)
    if (!(bytes instanceof Uint8Array)) throw malformed('a CoMID is no byte string')
    readComid(decode(bytes), found)
  }
  if (found.measurements.length === 0) throw malformed('it has no measurement')
  // Which key goes with which measurement is not what lists can say: together they would accept more than was meant.
  const isPaired = found.hostData.length + found.idKeyDigests.length + found.authorKeyDigests.length > 0
  if (isPaired && found.triples > 1) throw unsupported('several guests, with keys or host data of their own')
  const title =
    typeof id === 'string' ? id : id instanceof Uint8Array ? toHex(id) : isTagged(id, tags.uuid) ? uuid(id) : null
  if (title === null) throw malformed('it has no id')
  const { triples: _, ...snp } = found
  return { title: title.slice(0, 200).replaceAll(/\p{Cc}/gu, '?'), notBefore, notAfter, snp }
}

/** A profile that is not known changes what is allowed in the manifest, and perhaps what it asks of its reader. */
function verifyProfile(one: Cbor | undefined): void {
  if (one === undefined) return
  const only = isCborArray(one) && one.length === 1 ? one[0] : one
  if (!isTagged(only, tags.uri) || only.value !== snpProfile) throw unsupported(`its profile is not ${snpProfile}`)
}

/** What is being read together; `triples` counts the reference values that it comes from. */
interface Found {
  triples: number
  readonly measurements: string[]
  readonly hostData: string[]
  readonly idKeyDigests: string[]
  readonly authorKeyDigests: string[]
  guestSvnMin: number | null
}

function decode(bytes: Uint8Array): Cbor {
  try {
    return decodeCbor(bytes)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw malformed(cause.message, cause)
  }
}

const isTagged = (one: Cbor | undefined, tag: number): one is { readonly tag: number; readonly value: Cbor } =>
  isCborTag(one) && one.tag === tag
function tagged(one: Cbor | undefined, tag: number): Cbor {
  if (!isTagged(one, tag)) throw malformed(`expected tag ${tag}`)
  return one.value
}
function uuid({ value: bytes }: { readonly value: Cbor }): string {
  if (!(bytes instanceof Uint8Array) || bytes.length !== 16) throw malformed('a UUID does not have 16 bytes')
  return toHex(bytes)
}
function mapOf(one: Cbor | undefined, what: string, keys: readonly number[]): CborMap {
  if (!isCborMap(one)) throw malformed(`${what} is no map`)
  for (const key of one.keys())
    if (typeof key !== 'number' || !keys.includes(key))
      throw unsupported(`${what} has member ${String(key).slice(0, 40)}`)
  return one
}
function arrayOf(one: Cbor | undefined, what: string): readonly Cbor[] {
  if (!isCborArray(one) || one.length === 0) throw malformed(`${what} is no list of at least one`)
  return one
}

function timeOf(one: Cbor | undefined): UnixSeconds | null {
  if (one === undefined) return null
  const at = isTagged(one, tags.time) ? one.value : one
  if (typeof at !== 'number' || at < 0 || at > 253_402_300_799) throw malformed('a time is no time')
  return at
}

/** A list of exactly two: a third member would say what nobody here reads. */
function pairOf(one: Cbor | undefined, what: string): readonly [Cbor, Cbor] {
  const [first, second, ...more] = arrayOf(one, what)
  if (first === undefined || second === undefined || more.length > 0) throw malformed(`${what} is no list of two`)
  return [first, second]
}

function validityOf(one: Cbor | undefined): Validity {
  if (one === undefined) return { notBefore: null, notAfter: null }
  const map = mapOf(one, 'validity', [0, 1])
  return { notBefore: timeOf(map.get(0)), notAfter: timeOf(map.get(1)) }
}

function readComid(one: Cbor, found: Found): void {
  const map = mapOf(one, 'a CoMID', Object.values(comid))
  const triples = mapOf(map.get(comid.triples), 'triples', [0])
  for (const record of arrayOf(triples.get(0), 'reference values')) {
    found.triples++
    const [environment, measurements] = pairOf(record, 'a reference value')
    verifySnp(environment)
    for (const measurement of arrayOf(measurements, 'measurements')) readMeasurement(measurement, found)
  }
}

/** The environment is any SEV-SNP guest: one of a single chip, or of a group, is not what reference values can say. */
function verifySnp(one: Cbor | undefined): void {
  const environment = mapOf(one, 'an environment', [0])
  const classId = mapOf(environment.get(0), 'a class', [0]).get(0)
  if (!isTagged(classId, tags.uuid) || !snpClasses.includes(uuid(classId)))
    throw unsupported('an environment is not of the class of SEV-SNP guests')
}

function readMeasurement(one: Cbor, found: Found): void {
  const map = mapOf(one, 'a measurement', [0, 1])
  const key = map.get(0)
  switch (key) {
    case snpKey.guest:
      readGuest(mapOf(map.get(1), 'values of the guest', [value.svn, value.digests]), found)
      return
    case snpKey.idKeyDigest:
      found.idKeyDigests.push(rawValue(map, 48))
      return
    case snpKey.authorKeyDigest:
      found.authorKeyDigests.push(rawValue(map, 48))
      return
    case snpKey.host:
      found.hostData.push(rawValue(map, 32))
      return
    default:
      throw unsupported(`a measurement has key ${String(key).slice(0, 40)}`)
  }
}

function rawValue(measurement: CborMap, size: number): string {
  const bytes = tagged(mapOf(measurement.get(1), 'values', [value.rawValue]).get(value.rawValue), tags.bytes)
  if (!(bytes instanceof Uint8Array) || bytes.length !== size) throw malformed(`a value does not have ${size} bytes`)
  return toHex(bytes)
}

function readGuest(values: CborMap, found: Found): void {
  for (const digest of arrayOf(values.get(value.digests), 'digests')) {
    const [algorithm, bytes] = pairOf(digest, 'a digest')
    if (algorithm !== sha384Id) throw unsupported('a digest is not SHA-384')
    if (!(bytes instanceof Uint8Array) || bytes.length !== 48) throw malformed('a digest does not have 48 bytes')
    found.measurements.push(toHex(bytes))
  }
  const svn = values.get(value.svn)
  if (svn === undefined) return
  // An exact number would refuse a newer guest, which reference values cannot say.
  const min = tagged(svn, tags.minSvn)
  if (typeof min !== 'number' || min < 0 || min > 0xffff_ffff) throw malformed('a least SVN is no 32-bit number')
  // Of several the least holds for none of the others: it is not said of which measurement.
  if (found.guestSvnMin !== null && found.guestSvnMin !== min) throw unsupported('guests have different least SVNs')
  found.guestSvnMin = min
}
