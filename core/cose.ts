/** COSE_Sign1 (RFC 9052): a payload and the one signature over it. Whose key counts is the caller's to know. */
import { verifySpkiSignature } from '#core/crypto/sign.js'
import {
  type Cbor,
  type CborKey,
  type CborMap,
  decodeCbor,
  encodeCbor,
  isCborArray,
  isCborMap,
  isCborTag,
} from '#core/encoding/cbor.js'
import { Failure, isFailure } from '#core/failure.js'

/** Failures of a COSE_Sign1. Readers of one format turn them into codes of their own. */
export type CoseCode = 'cose/form' | 'cose/header' | 'cose/algorithm' | 'cose/signature'

export type CoseAlgorithm = 'ES256' | 'ES384' | 'Ed25519'

/** A COSE_Sign1 as it was carried: nothing of it has been verified yet. */
export interface CoseSign1 {
  readonly algorithm: CoseAlgorithm
  /** the bytes of the protected header as carried: these were signed */
  readonly protectedBytes: Uint8Array
  readonly protectedHeader: CborMap
  readonly unprotectedHeader: CborMap
  readonly payload: Uint8Array
  /** raw r||s, or R||S: 64 or 96 bytes */
  readonly signature: Uint8Array
}

/**
 * Header labels that a format may carry beside `alg`. A label that is not listed is refused.
 *
 * algorithms  that a format signs with; ES256 and ES384 where it says nothing
 */
export interface CoseLabels {
  readonly algorithms?: readonly CoseAlgorithm[]
  readonly protected: readonly CborKey[]
  readonly unprotected: readonly CborKey[]
}

const sign1Tag = 18
const label = { algorithm: 1, critical: 2 } as const
/** source: RFC 9053, "ECDSA", "EdDSA"; RFC 9864, "Fully-Specified EdDSA": here each name also fixes the curve, as it does in JOSE */
const algorithms: ReadonlyMap<Cbor | undefined, CoseAlgorithm> = new Map<Cbor | undefined, CoseAlgorithm>([
  [-7, 'ES256'],
  [-35, 'ES384'],
  [-8, 'Ed25519'],
  [-19, 'Ed25519'],
])
const signatureSize: Readonly<Record<CoseAlgorithm, number>> = { ES256: 64, ES384: 96, Ed25519: 64 }
const headerLimits = { sizeMax: 64 * 1024, depthMax: 8, itemsMax: 1000 } as const

function refuse(code: CoseCode, message: string, cause?: Failure): Failure<CoseCode> {
  return new Failure<CoseCode>(code, message, cause ? { detail: { cbor: cause.code }, cause } : {})
}

function decode(bytes: Uint8Array, what: string, options = {}): Cbor {
  try {
    return decodeCbor(bytes, options)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('cose/form', `${what}: ${error.message}`, error)
  }
}

/**
 * The COSE_Sign1 that the bytes spell, with tag 18 or without: algorithm in the protected header, payload inside, no
 * label twice, none that is not listed, and so none that is critical.
 *
 * what    how messages call it
 * labels  those that may stand beside `alg`; none without it
 * throws  cose/form, cose/header, cose/algorithm
 * source  RFC 9052, "Signing with One Signer", "Header Parameters"
 */
export function parseCoseSign1(
  bytes: Uint8Array,
  what: string,
  labels: CoseLabels = { protected: [], unprotected: [] },
): CoseSign1 {
  const outer = decode(bytes, what)
  const value = isCborTag(outer) && outer.tag === sign1Tag ? outer.value : outer
  if (!isCborArray(value) || value.length !== 4)
    throw refuse('cose/form', `${what} is not an array of four, with tag ${sign1Tag} or without`)
  const [protectedBytes, unprotectedHeader, payload, signature] = value
  if (!(protectedBytes instanceof Uint8Array) || !isCborMap(unprotectedHeader))
    throw refuse('cose/form', `headers of ${what} are not a byte string and a map`)
  if (!(payload instanceof Uint8Array)) throw refuse('cose/form', `${what} does not carry its payload`)
  if (!(signature instanceof Uint8Array)) throw refuse('cose/form', `signature of ${what} is no byte string`)
  const protectedHeader = decode(protectedBytes, `protected header of ${what}`, headerLimits)
  if (!isCborMap(protectedHeader)) throw refuse('cose/form', `protected header of ${what} is no map`)
  refuseLabels(protectedHeader, [label.algorithm, ...labels.protected], `protected header of ${what}`)
  refuseLabels(unprotectedHeader, labels.unprotected, `unprotected header of ${what}`)
  for (const name of unprotectedHeader.keys())
    if (protectedHeader.has(name)) throw refuse('cose/header', `label ${name} of ${what} stands in both headers`)
  const algorithm = algorithms.get(protectedHeader.get(label.algorithm))
  const known = labels.algorithms ?? ['ES256', 'ES384']
  if (!algorithm || !known.includes(algorithm))
    throw refuse('cose/algorithm', `algorithm of ${what} is none of ${known.join(', ')}`)
  if (signature.length !== signatureSize[algorithm])
    throw refuse(
      'cose/form',
      `signature of ${what} has ${signature.length} bytes, expected ${signatureSize[algorithm]}`,
    )
  return { algorithm, protectedBytes, protectedHeader, unprotectedHeader, payload, signature }
}

/** `crit` is never in a list of labels: a message that asks for more than we do is refused. */
function refuseLabels(header: CborMap, known: readonly CborKey[], what: string): void {
  for (const name of header.keys()) {
    if (name === label.critical || !known.includes(name))
      throw refuse('cose/header', `${what} has label ${String(name).slice(0, 40)}, which means nothing here`)
  }
}

/** What is signed: the Sig_structure of one signer without external data. source: RFC 9052, "Signing and Verification Process" */
export function coseSignedBytes(protectedBytes: Uint8Array, payload: Uint8Array): Uint8Array {
  return encodeCbor(['Signature1', protectedBytes, new Uint8Array(), payload])
}

/**
 * Returns only when the key signed headers and payload as they were carried.
 *
 * spki    DER SubjectPublicKeyInfo; a key on another curve than the algorithm's is refused
 * trusts  that the caller has found the key to be one that counts
 * throws  cose/signature
 * source  RFC 9052, "Signing and Verification Process"; RFC 9053, "ECDSA", "EdDSA"
 */
export async function verifyCoseSign1(message: CoseSign1, spki: Uint8Array, what: string): Promise<void> {
  const signed = coseSignedBytes(message.protectedBytes, message.payload)
  try {
    await verifySpkiSignature(message.algorithm, spki, signed, message.signature, what)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<CoseCode>('cose/signature', `${what} was not signed by the key`, { cause })
  }
}
