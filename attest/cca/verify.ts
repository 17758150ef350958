import type { Anchors } from '#attest/anchors.js'
import { type Caches, noCaches } from '#attest/caches.js'
import type { CcaCode } from '#attest/cca/codes.js'
import { type HashName, refuse } from '#attest/cca/fields.js'
import { spkiPrefix } from '#attest/cca/layout.js'
import { type CcaToken, parseToken } from '#attest/cca/parse.js'
import { platformKeys } from '#attest/cca/roots.js'
import type { Trace } from '#attest/trace.js'
import { equal, fromBase64, fromHex } from '#core/bytes/bytes.js'
import { type CoseSign1, verifyCoseSign1 } from '#core/cose.js'
import { sha256, sha256Hex, sha384, sha512 } from '#core/crypto/hash.js'
import { isFailure } from '#core/failure.js'
import type { CcaEvidence } from '#core/wire/evidence.js'

declare const verified: unique symbol

/** A token whose platform half a known platform signed, and whose realm half the key that it names. Only verifyCca makes one. */
export interface VerifiedCca {
  readonly [verified]: true
  readonly platform: 'hardware' | 'simulated'
  readonly token: CcaToken
  /** SHA-256 of the platform's key, hex */
  readonly platformKey: string
}

/**
 * Verifies that the platform whose key was named made this token, and that a realm on it holds the key that signed the
 * realm's half. What the halves say is not judged here: the appraisal does. Neither has a date: when it was made is shown
 * by the challenge alone.
 *
 * throws  CcaCode
 * source  Arm DEN0137, "Attestation token format"; draft-ffm-rats-cca-token, "Verification"
 */
export async function verifyCca(
  evidence: CcaEvidence,
  anchors: Anchors,
  trace: Trace,
  caches: Caches = noCaches(),
): Promise<VerifiedCca> {
  const token = parseToken(fromBase64(evidence.token))
  trace('cca/structure', `${token.platform.components.length} software components, ${profileOf(token)}`)
  const key = fromBase64(evidence.platformKey)
  const { platform, digest } = findPlatformKey(key, anchors)
  trace('cca/platform-key', platform === 'hardware' ? digest : 'NOT HARDWARE: a key that the caller named')
  await verifyHalf(token.platformMessage, key, 'platform token', 'cca/platform-signature')
  caches.count('evidence')
  trace('cca/platform-signature', token.platformMessage.algorithm)
  verifyBinding(token)
  trace('cca/binding', token.realm.publicKeyHashAlgorithm)
  await verifyHalf(token.realmMessage, token.realm.spki, 'realm token', 'cca/realm-signature')
  caches.count('evidence')
  trace('cca/realm-signature', token.realmMessage.algorithm)
  return { platform, token, platformKey: digest } as VerifiedCca
}

const profileOf = ({ realm }: CcaToken) => (realm.profile === null ? 'legacy realm profile' : 'realm profile of 2023')

/**
 * Invariant: `hardware` comes from a digest compiled into this program and from nothing else (I6). The key has the one
 * spelling whose digest is looked up.
 */
function findPlatformKey(spki: Uint8Array, anchors: Anchors): { platform: 'hardware' | 'simulated'; digest: string } {
  const known = Object.values(spkiPrefix).some((prefix) => {
    const head = fromHex(prefix)
    // The head is followed by two coordinates, of the size that its last length byte counts.
    return spki.length === spki[1]! + 2 && spki.length > head.length && equal(spki.subarray(0, head.length), head)
  })
  if (!known) throw refuse('cca/platform-key', 'platform key is no SubjectPublicKeyInfo of a point on P-256 or P-384')
  const digest = sha256Hex(spki)
  if (platformKeys.has(digest)) return { platform: 'hardware', digest }
  if (anchors.simulatedRoots.includes(digest)) return { platform: 'simulated', digest }
  throw refuse('cca/unknown-key', `platform key ${digest} is none that this caller accepts`)
}

async function verifyHalf(message: CoseSign1, spki: Uint8Array, what: string, code: CcaCode): Promise<void> {
  try {
    await verifyCoseSign1(message, spki, what)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse(code, `${what} was not signed by its key`, cause)
  }
}

const hashes: Readonly<Record<HashName, (bytes: Uint8Array) => Uint8Array>> = {
  'sha-256': sha256,
  'sha-384': sha384,
  'sha-512': sha512,
}

/**
 * The platform's challenge is the digest of the realm's key, as carried, by the hash function that the realm token names
 * for that key: without it any realm's half could stand beside any platform's.
 *
 * source  Arm DEN0137, "CCA platform challenge claim", "Realm public key hash algorithm identifier claim"
 */
function verifyBinding({ platform, realm }: CcaToken): void {
  const digest = hashes[realm.publicKeyHashAlgorithm](realm.publicKey)
  if (!equal(platform.challenge, digest))
    throw refuse('cca/binding', 'challenge of the platform token is not the digest of the key of the realm token')
}
