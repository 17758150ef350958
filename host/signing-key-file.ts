import { createPrivateKey, createPublicKey } from 'node:crypto'
import { generateSigningKey, importSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { createSecretFile, type FileCode, readSecretFile } from '#host/files.js'

/** A new signing key, whose private part (PKCS#8, DER) is in a new file of mode 0600. @throws file/exists */
export async function createSigningKeyFile(
  path: string,
  algorithm: 'Ed25519' | 'ES256' = 'Ed25519',
): Promise<SigningKey> {
  const { key, pkcs8 } = await generateSigningKey(algorithm)
  try {
    await createSecretFile(path, pkcs8)
  } finally {
    pkcs8.fill(0)
  }
  return key
}

/** The signing key of a file. @throws file/absent, file/permissions, file/kind, file/size, crypto/key */
export async function loadSigningKeyFile(path: string): Promise<SigningKey> {
  const pkcs8 = await readSecretFile(path)
  try {
    return await signingKeyOf(pkcs8)
  } catch (cause) {
    // The cause may quote what it could not read.
    if (cause instanceof Failure) throw cause
    throw new Failure<FileCode>('file/kind', `${path} is not a PKCS#8 private key`)
  } finally {
    pkcs8.fill(0)
  }
}

/** The signing key of a PKCS#8 private key (DER). @throws crypto/key, and what Node throws at bytes that are none */
export async function signingKeyOf(pkcs8: Uint8Array): Promise<SigningKey> {
  const privateKey = createPrivateKey({
    key: Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return importSigningKey(pkcs8, new Uint8Array(spki))
}
