import { toHex } from '#core/bytes/bytes.js'
import { ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import { sha256 } from '#core/crypto/hash.js'
import { derTag } from '#core/encoding/der.js'
import { algorithmIdentifier } from '#core/x509/algorithms.js'
import { backend } from '#crypto-backend'
import {
  type MintCertificate,
  type MintExtension,
  type MintKey,
  name,
} from '#runtime/attester/simulated/certificate.js'
import { bitString, boolean, der, integer, octets, oid, sequence, time } from '#runtime/attester/simulated/der.js'

export type EcAlgorithm = 'ES256' | 'ES384'

// Signatures are random: what is signed twice by one key is signed once, so that it is the same bytes.
const signatures = new Map<string, Promise<Uint8Array>>()

/** The raw r||s of a throwaway key. */
export function ecSign(algorithm: EcAlgorithm, message: Uint8Array, signer: MintKey): Promise<Uint8Array> {
  const key = `${toHex(sha256(signer.pkcs8))}${toHex(sha256(message))}`
  const known =
    signatures.get(key) ?? backend.importPrivateKey(algorithm, signer.pkcs8).then((one) => backend.sign(one, message))
  signatures.set(key, known)
  return known
}

const extension = (one: MintExtension) =>
  sequence(oid(one.oid), ...(one.critical ? [boolean(true)] : []), octets(one.value))

/** A version 3 certificate under a throwaway key. NOT HARDWARE. */
export async function ecCertificate(
  algorithm: EcAlgorithm,
  fields: MintCertificate,
  signer: MintKey,
): Promise<Uint8Array> {
  const identifier = algorithmIdentifier(algorithm)
  const tbs = sequence(
    der(0xa0, integer(2)),
    integer(fields.serial),
    identifier,
    name(fields.issuer),
    sequence(time(fields.notBefore), time(fields.notAfter)),
    name(fields.subject),
    fields.spki,
    der(0xa3, sequence(...fields.extensions.map(extension))),
  )
  return sequence(tbs, identifier, bitString(ecdsaRawToDer(await ecSign(algorithm, tbs, signer))))
}

/** Key usage of a certificate whose key signs, and issues nothing. */
export const digitalSignature: MintExtension = {
  oid: '2.5.29.15',
  critical: false,
  value: der(derTag.bitString, new Uint8Array([7, 0x80])),
}
