import { type HashName, readBytes, readCbor, readHash, readHashName, readMap, refuse } from '#attest/cca/fields.js'
import {
  coseKey,
  extensibleMeasurementCount,
  realmClaim,
  realmProfile,
  size,
  spkiPrefix,
  uncompressedPoint,
} from '#attest/cca/layout.js'
import { concat, fromHex } from '#core/bytes/bytes.js'
import { type Cbor, isCborArray, isCborMap } from '#core/encoding/cbor.js'
import { isFailure } from '#core/failure.js'

/** Claims of a realm token as they were carried: nothing of them has been verified yet. */
export interface RealmToken {
  /** null in the legacy profile */
  readonly profile: string | null
  /** 64 bytes: what the realm bound in */
  readonly challenge: Uint8Array
  /** 64 bytes: what whoever started the realm bound in */
  readonly personalizationValue: Uint8Array
  readonly initialMeasurement: Uint8Array
  readonly extensibleMeasurements: readonly Uint8Array[]
  readonly hashAlgorithm: HashName
  /** the key as carried: its digest stands in the platform token */
  readonly publicKey: Uint8Array
  readonly publicKeyHashAlgorithm: HashName
  /** the same key as DER SubjectPublicKeyInfo, on P-384 */
  readonly spki: Uint8Array
}

/**
 * The realm token that a payload spells.
 *
 * throws  cca/form, cca/claims, cca/profile, cca/claim, cca/hash-algorithm, cca/realm-key
 * source  Arm DEN0137, "Realm claims"
 */
export function parseRealm(payload: Uint8Array): RealmToken {
  const what = 'realm token'
  const claims = readMap(readCbor(payload, what), Object.values(realmClaim), [realmClaim.profile], what)
  const profile = claims.get(realmClaim.profile) ?? null
  if (claims.has(realmClaim.profile) && profile !== realmProfile)
    throw refuse('cca/profile', `profile of the realm is not ${realmProfile}`)
  const publicKey = claims.get(realmClaim.publicKey)
  if (!(publicKey instanceof Uint8Array)) throw refuse('cca/realm-key', 'key of the realm is no byte string')
  const point = profile === null ? rawPoint(publicKey) : keyPoint(publicKey)
  return {
    profile: profile === null ? null : realmProfile,
    challenge: readBytes(claims.get(realmClaim.challenge), [size.challenge], 'realm challenge'),
    personalizationValue: readBytes(
      claims.get(realmClaim.personalizationValue),
      [size.personalizationValue],
      'personalization value',
    ),
    initialMeasurement: readHash(claims.get(realmClaim.initialMeasurement), 'initial measurement'),
    extensibleMeasurements: readMeasurements(claims.get(realmClaim.extensibleMeasurements)),
    hashAlgorithm: readHashName(claims.get(realmClaim.hashAlgoId), 'hash algorithm of the realm'),
    publicKey,
    publicKeyHashAlgorithm: readHashName(claims.get(realmClaim.publicKeyHashAlgoId), 'hash algorithm of the realm key'),
    spki: concat(fromHex(spkiPrefix.p384), point),
  }
}

function readMeasurements(value: Cbor | undefined): readonly Uint8Array[] {
  if (!isCborArray(value) || value.length !== extensibleMeasurementCount)
    throw refuse('cca/claim', `extensible measurements are not a list of ${extensibleMeasurementCount}`)
  return value.map((one, i) => readHash(one, `extensible measurement ${i}`))
}

/** Coordinates of the legacy profile's key: an uncompressed point. source: SEC 1, "Elliptic-Curve-Point-to-Octet-String" */
function rawPoint(key: Uint8Array): Uint8Array {
  if (key.length !== 1 + 2 * coseKey.coordinate || key[0] !== uncompressedPoint)
    throw refuse('cca/realm-key', 'key of the realm is no uncompressed point on P-384, as it is without a profile')
  return key.subarray(1)
}

/** Coordinates of a COSE_Key: its type, curve and both coordinates; it may repeat the algorithm and have a name. */
function keyPoint(key: Uint8Array): Uint8Array {
  const members = readKey(key)
  const known: readonly unknown[] = [coseKey.kty, coseKey.kid, coseKey.alg, coseKey.crv, coseKey.x, coseKey.y]
  if (!isCborMap(members) || ![...members.keys()].every((label) => known.includes(label)))
    throw refuse('cca/realm-key', 'key of the realm is no COSE_Key of known members')
  const [x, y] = [members.get(coseKey.x), members.get(coseKey.y)]
  const onP384 = members.get(coseKey.kty) === coseKey.ec2 && members.get(coseKey.crv) === coseKey.p384
  const algorithm = members.get(coseKey.alg) ?? coseKey.es384
  if (!onP384 || algorithm !== coseKey.es384 || !isCoordinate(x) || !isCoordinate(y))
    throw refuse('cca/realm-key', 'key of the realm is no point on P-384, with both coordinates, for ES384')
  return concat(x, y)
}

function readKey(key: Uint8Array): Cbor {
  try {
    return readCbor(key, 'key of the realm')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('cca/realm-key', error.message, error)
  }
}

function isCoordinate(value: Cbor | undefined): value is Uint8Array {
  return value instanceof Uint8Array && value.length === coseKey.coordinate
}
