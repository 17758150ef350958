import type { PrivateKeyHandle, SignatureAlgorithm } from '#core/crypto/backend.js'
import type { CryptoCode } from '#core/crypto/failures.js'
import { jwkToSpki, type SignatureJwk, spkiToJwk, thumbprint } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'
import { backend } from '#crypto-backend'

/** A private key that signs, with the public key and the name that go with it. */
export interface SigningKey {
  readonly id: string
  readonly publicKey: SignatureJwk
  readonly algorithm: 'Ed25519' | 'ES256'
  readonly handle: PrivateKeyHandle
}

/** A new key pair; `pkcs8` is the private key in DER, for the caller to keep or to forget. */
export async function generateSigningKey(
  algorithm: 'Ed25519' | 'ES256',
): Promise<{ readonly key: SigningKey; readonly pkcs8: Uint8Array }> {
  const { pkcs8, spki } = await backend.generateKey(algorithm)
  return { key: await importSigningKey(pkcs8, spki), pkcs8 }
}

/** A signing key from DER PKCS#8 and the DER SubjectPublicKeyInfo that belongs to it. @throws crypto/key */
export async function importSigningKey(pkcs8: Uint8Array, spki: Uint8Array): Promise<SigningKey> {
  const publicKey = spkiToJwk(spki)
  const algorithm = publicKey.kty === 'EC' ? 'ES256' : 'Ed25519'
  let handle: PrivateKeyHandle
  try {
    handle = await backend.importPrivateKey(algorithm, pkcs8)
  } catch (cause) {
    throw new Failure<CryptoCode>('crypto/key', `private key is not one of ${algorithm}`, { cause })
  }
  const key: SigningKey = { id: thumbprint(publicKey), publicKey, algorithm, handle }
  // Invariant: a pair that does not belong together is found here, not at the first signature that nobody can verify.
  const probe = new Uint8Array(1)
  await verifySignature(publicKey, probe, await sign(key, probe), 'key pair')
  return key
}

/** The signature of `message`: Ed25519 64 bytes; ES256 r||s 64 bytes. */
export async function sign(key: SigningKey, message: Uint8Array): Promise<Uint8Array> {
  return backend.sign(key.handle, message)
}

/**
 * Returns only when `signature` over `message` is `key`'s. `what` names the signed thing in the message.
 *
 * throws  crypto/signature
 */
export async function verifySignature(
  key: SignatureJwk,
  message: Uint8Array,
  signature: Uint8Array,
  what: string,
): Promise<void> {
  await verifySpkiSignature(key.kty === 'EC' ? 'ES256' : 'Ed25519', jwkToSpki(key), message, signature, what)
}

/** The same for a DER SubjectPublicKeyInfo and a named algorithm: certificates and evidence. @throws crypto/signature */
export async function verifySpkiSignature(
  algorithm: SignatureAlgorithm,
  spki: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  what: string,
  der?: Uint8Array,
): Promise<void> {
  if (!(await backend.verify(algorithm, spki, message, signature, der))) {
    throw new Failure<CryptoCode>('crypto/signature', `signature of ${what} is not the key's`)
  }
}
