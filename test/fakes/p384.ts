import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import { sha256 } from '#core/crypto/hash.js'
import { derTag } from '#core/encoding/der.js'
import type { UnixSeconds } from '#core/time.js'
import { algorithmIdentifier } from '#core/x509/algorithms.js'
import { backend } from '#crypto-backend'
import type { MintExtension, MintKey } from '#runtime/attester/simulated/certificate.js'
import { bitString, boolean, der, integer, octets, oid, sequence, time } from '#runtime/attester/simulated/der.js'

/** A certificate on P-384, its names as they are encoded. */
export interface P384Certificate {
  readonly serial: number
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: UnixSeconds
  readonly notAfter: UnixSeconds
  readonly spki: Uint8Array
  readonly extensions: readonly MintExtension[]
}

export const readKey = (key: { pkcs8: string; spki: string }): MintKey => ({
  pkcs8: fromBase64(key.pkcs8),
  spki: fromBase64(key.spki),
})

/** A name that says at once what it is, with a serial number where there is one. */
export function p384Name(commonName: string, serialNumber?: string): Uint8Array {
  const part = (id: string, text: string) => der(derTag.set, sequence(oid(id), der(derTag.utf8String, utf8(text))))
  return sequence(
    part('2.5.4.10', 'NOT HARDWARE'),
    ...(serialNumber === undefined ? [] : [part('2.5.4.5', serialNumber)]),
    part('2.5.4.3', commonName),
  )
}

// Signatures are random: what is signed twice by one key is signed once, so that it is the same bytes.
const signatures = new Map<string, Promise<Uint8Array>>()
/** r then s, 96 bytes. */
export function signP384(message: Uint8Array, signer: MintKey): Promise<Uint8Array> {
  const key = `${toHex(sha256(signer.spki))}${toHex(sha256(message))}`
  const known =
    signatures.get(key) ?? backend.importPrivateKey('ES384', signer.pkcs8).then((one) => backend.sign(one, message))
  signatures.set(key, known)
  return known
}

/** `tbs`, the algorithm, the signature, and what comes after them. */
export async function signedDer(tbs: Uint8Array, signer: MintKey, ...more: readonly Uint8Array[]): Promise<Uint8Array> {
  const signature = bitString(ecdsaRawToDer(await signP384(tbs, signer)))
  return sequence(tbs, algorithmIdentifier('ES384'), signature, ...more)
}

export const encodeExtension = (one: MintExtension): Uint8Array =>
  sequence(oid(one.oid), ...(one.critical ? [boolean(true)] : []), octets(one.value))

export async function mintP384(fields: P384Certificate, signer: MintKey): Promise<Uint8Array> {
  const tbs = sequence(
    der(0xa0, integer(2)),
    integer(fields.serial),
    algorithmIdentifier('ES384'),
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    fields.spki,
    der(0xa3, sequence(...fields.extensions.map(encodeExtension))),
  )
  return signedDer(tbs, signer)
}

/** Key usage with digitalSignature alone. */
export const signsOnly: MintExtension = {
  oid: '2.5.29.15',
  critical: true,
  value: der(derTag.bitString, new Uint8Array([7, 0x80])),
}
