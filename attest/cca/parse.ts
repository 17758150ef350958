import { readCbor, refuse } from '#attest/cca/fields.js'
import { collection } from '#attest/cca/layout.js'
import { type PlatformToken, parsePlatform } from '#attest/cca/platform.js'
import { parseRealm, type RealmToken } from '#attest/cca/realm.js'
import { type CoseSign1, parseCoseSign1 } from '#core/cose.js'
import { type Cbor, isCborArray, isCborMap, isCborTag } from '#core/encoding/cbor.js'
import { isFailure } from '#core/failure.js'

/** A token of two halves as it was carried: nothing of it has been verified yet. */
export interface CcaToken {
  readonly platformMessage: CoseSign1
  readonly realmMessage: CoseSign1
  readonly platform: PlatformToken
  readonly realm: RealmToken
}

/**
 * The token that the bytes spell: a collection of a platform and a realm token, each a COSE_Sign1, with every claim as
 * Arm specifies it.
 *
 * throws  cca/form, cca/collection, cca/cose, cca/algorithm, cca/claims, cca/profile, cca/claim, cca/hash-algorithm,
 *         cca/realm-key
 * source  Arm DEN0137, "Attestation token format"; draft-ffm-rats-cca-token, "CCA Attestation Token"
 */
export function parseToken(bytes: Uint8Array): CcaToken {
  const halves = readCollection(readCbor(bytes, 'token'))
  const platformMessage = parseMessage(halves.platform, 'platform token')
  const realmMessage = parseMessage(halves.realm, 'realm token')
  if (realmMessage.algorithm !== 'ES384')
    throw refuse('cca/algorithm', `realm token is signed with ${realmMessage.algorithm}, expected ES384`)
  return {
    platformMessage,
    realmMessage,
    platform: parsePlatform(platformMessage.payload),
    realm: parseRealm(realmMessage.payload),
  }
}

/** Both halves and nothing else: a third one would be a claim that nobody here has judged. */
function readCollection(value: Cbor): { platform: Uint8Array; realm: Uint8Array } {
  if (!isCborTag(value) || (value.tag !== collection.tag && value.tag !== collection.wrappedTag))
    throw refuse('cca/collection', `token has neither tag ${collection.tag} nor tag ${collection.wrappedTag}`)
  const entries = value.value
  if (!isCborMap(entries) || entries.size !== 2)
    throw refuse('cca/collection', 'token is not a map of a platform and a realm token')
  const wrapped = value.tag === collection.wrappedTag
  return {
    platform: readEntry(entries.get(collection.platform), wrapped, 'platform token'),
    realm: readEntry(entries.get(collection.realm), wrapped, 'realm token'),
  }
}

/** source: draft-ietf-rats-msg-wrap, "CMW Record" */
function readEntry(value: Cbor | undefined, wrapped: boolean, what: string): Uint8Array {
  if (!wrapped) {
    if (value instanceof Uint8Array) return value
    throw refuse('cca/collection', `${what} is missing, or no byte string`)
  }
  const [type, bytes] = isCborArray(value) && value.length === 2 ? value : []
  if (type !== collection.eatCwt || !(bytes instanceof Uint8Array))
    throw refuse('cca/collection', `${what} is missing, or no record of content format ${collection.eatCwt}`)
  return bytes
}

function parseMessage(bytes: Uint8Array, what: string): CoseSign1 {
  try {
    return parseCoseSign1(bytes, what)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(error.code === 'cose/algorithm' ? 'cca/algorithm' : 'cca/cose', error.message, error)
  }
}
