import { loadOwnerPublicKey } from '#convert/keys/owner-keys.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'

/** Failures of what a landmark was started with. */
export type LandmarkServeCode =
  /** tickets are signed with Ed25519, so that they fit a datagram */
  'landmark-serve/broker'

/** The Ed25519 key of a broker's public key file. @throws landmark-serve/broker, keys/... */
export async function brokerKey(path: string): Promise<Ed25519Jwk> {
  const key = await loadOwnerPublicKey(path)
  if (key.kty !== 'OKP')
    throw new Failure<LandmarkServeCode>('landmark-serve/broker', `${path} is an ECDSA key, expected Ed25519`)
  return key
}
