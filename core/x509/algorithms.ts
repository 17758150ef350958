import { fromHex } from '#core/bytes/bytes.js'
import type { SignatureAlgorithm } from '#core/crypto/backend.js'
import type { Der } from '#core/encoding/der.js'

/**
 * The AlgorithmIdentifiers that we accept, byte for byte: no parameter is ever interpreted. AMD spells the default
 * trailer field of RSASSA-PSS out in ASK and ARK and leaves it out in VCEK and VLEK, so both spellings stand here.
 *
 * source  RFC 4055, "RSASSA-PSS-params"; RFC 5758, "ECDSA Signature Algorithm"; RFC 8410, "Curve25519 and Curve448
 *         Algorithm Identifiers"
 */
const sha384 = '300d06096086480165030402020500'
const pssHead = `06092a864886f70d01010a`
const pssParameters = `a00f${sha384}a11c301a06092a864886f70d010108${sha384}a203020130`
const identifiers: readonly (readonly [string, SignatureAlgorithm])[] = [
  [`3041${pssHead}3034${pssParameters}`, 'RSA-PSS-SHA384'],
  [`3046${pssHead}3039${pssParameters}a303020101`, 'RSA-PSS-SHA384'],
  ['300d06092a864886f70d01010b0500', 'RSA-SHA256'],
  ['300a06082a8648ce3d040302', 'ES256'],
  ['300a06082a8648ce3d040303', 'ES384'],
  ['300506032b6570', 'Ed25519'],
]
const byIdentifier = identifiers.map(([identifier, name]) => ({ identifier: fromHex(identifier), name }))

/** What an AlgorithmIdentifier means, or undefined. */
export function signatureAlgorithm(value: Der): SignatureAlgorithm | undefined {
  return byIdentifier.find(({ identifier }) => value.isSpelled(identifier))?.name
}

/** The AlgorithmIdentifier that we write for an algorithm. */
export function algorithmIdentifier(algorithm: SignatureAlgorithm): Uint8Array {
  return fromHex(identifiers.find(([, name]) => name === algorithm)![0])
}
