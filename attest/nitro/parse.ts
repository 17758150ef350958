import type { NitroCode } from '#attest/nitro/codes.js'
import {
  cborLimits,
  digestName,
  imagePcrs,
  moduleIdLengthMax,
  optional,
  pcrCount,
  pcrSize,
  required,
  size,
  timestampMax,
} from '#attest/nitro/layout.js'
import { type CoseSign1, parseCoseSign1 } from '#core/cose.js'
import { type Cbor, type CborMap, decodeCbor, isCborArray, isCborMap } from '#core/encoding/cbor.js'
import { Failure, isFailure } from '#core/failure.js'
import { chainLengthMax } from '#core/limits.js'

/** A document as it was carried: nothing of it has been verified yet. */
export interface NitroDocument {
  readonly message: CoseSign1
  /** printable ASCII, at most 100 characters */
  readonly moduleId: string
  /** milliseconds since 1970, up to the year 9999 */
  readonly timestampMs: number
  /** 48 bytes each; 0, 1 and 2 are there */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  /** DER of the certificate whose key signed */
  readonly certificate: Uint8Array
  /** DER, root first, 1 to 7 certificates */
  readonly bundle: readonly Uint8Array[]
  /** at most 1024 bytes */
  readonly publicKey: Uint8Array | null
  /** at most 512 bytes each */
  readonly userData: Uint8Array | null
  readonly nonce: Uint8Array | null
}

function refuse(code: NitroCode, message: string, cause?: Failure): Failure<NitroCode> {
  return new Failure<NitroCode>(code, message, cause ? { detail: { inner: cause.code }, cause } : {})
}

/**
 * The document that the bytes spell, with every size and member as AWS specifies them: a COSE_Sign1 signed with ES384,
 * with tag 18 or without, and a map inside. The map may have an indefinite length: AWS writes such documents, and the
 * signature is over its bytes.
 *
 * throws  nitro/cose, nitro/algorithm, nitro/form, nitro/members, nitro/module-id, nitro/digest, nitro/timestamp,
 *         nitro/pcrs, nitro/certificates, nitro/field-size
 * source  AWS Nitro Enclaves Attestation Process, "Syntactical Validation"
 */
export function parseDocument(bytes: Uint8Array): NitroDocument {
  const message = parseMessage(bytes)
  const document = decodePayload(message.payload)
  for (const name of document.keys())
    if (![...required, ...optional].includes(name as never))
      throw refuse('nitro/members', `document has unknown member ${JSON.stringify(String(name).slice(0, 40))}`)
  for (const name of required) if (!document.has(name)) throw refuse('nitro/members', `document has no member ${name}`)
  if (document.get('digest') !== digestName) throw refuse('nitro/digest', `digest is not ${digestName}`)
  return {
    message,
    moduleId: readModuleId(document.get('module_id')),
    timestampMs: readTimestamp(document.get('timestamp')),
    pcrs: readPcrs(document.get('pcrs')),
    certificate: readCertificate(document.get('certificate'), 'certificate'),
    bundle: readBundle(document.get('cabundle')),
    publicKey: readOptional(document, 'public_key'),
    userData: readOptional(document, 'user_data'),
    nonce: readOptional(document, 'nonce'),
  }
}

function parseMessage(bytes: Uint8Array): CoseSign1 {
  let message: CoseSign1
  try {
    message = parseCoseSign1(bytes, 'document')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse(error.code === 'cose/algorithm' ? 'nitro/algorithm' : 'nitro/cose', error.message, error)
  }
  if (message.algorithm !== 'ES384')
    throw refuse('nitro/algorithm', `document is signed with ${message.algorithm}, expected ES384`)
  return message
}

function decodePayload(payload: Uint8Array): CborMap {
  try {
    const document = decodeCbor(payload, cborLimits)
    if (isCborMap(document)) return document
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('nitro/form', `document cannot be read: ${error.message}`, error)
  }
  throw refuse('nitro/form', 'document is no map')
}

/** It is shown to people, so it holds nothing but printable characters. */
function readModuleId(value: Cbor | undefined): string {
  if (typeof value !== 'string' || value.length > moduleIdLengthMax || !/^[\x21-\x7e]+$/.test(value))
    throw refuse('nitro/module-id', `module id is not 1 to ${moduleIdLengthMax} printable characters`)
  return value
}

function readTimestamp(value: Cbor | undefined): number {
  if (typeof value !== 'number' || value <= 0 || value > timestampMax)
    throw refuse('nitro/timestamp', 'timestamp is no time in milliseconds after 1970')
  return value
}

function readPcrs(value: Cbor | undefined): ReadonlyMap<number, Uint8Array> {
  if (!isCborMap(value)) throw refuse('nitro/pcrs', 'PCRs are no map')
  const out = new Map<number, Uint8Array>()
  for (const [index, pcr] of value) {
    if (typeof index !== 'number' || index < 0 || index >= pcrCount)
      throw refuse('nitro/pcrs', `a PCR has index ${String(index).slice(0, 40)}, expected 0 to ${pcrCount - 1}`)
    if (!(pcr instanceof Uint8Array) || pcr.length !== pcrSize)
      throw refuse('nitro/pcrs', `PCR${index} is not ${pcrSize} bytes`)
    out.set(index, pcr)
  }
  for (const index of imagePcrs) if (!out.has(index)) throw refuse('nitro/pcrs', `PCR${index} is missing`)
  return out
}

function readCertificate(value: Cbor | undefined, what: string): Uint8Array {
  const [least, most] = size.certificate
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most)
    throw refuse('nitro/certificates', `${what} is not ${least} to ${most} bytes`)
  return value
}

/** Invariant: with the signing certificate there are at most as many as a chain may have. */
function readBundle(value: Cbor | undefined): readonly Uint8Array[] {
  if (!isCborArray(value) || value.length === 0 || value.length >= chainLengthMax)
    throw refuse('nitro/certificates', `cabundle is not a list of 1 to ${chainLengthMax - 1} certificates`)
  return value.map((one, i) => readCertificate(one, `certificate ${i} of the cabundle`))
}

/** Null stands for absent: AWS writes it so, though its text forbids it. An empty value is not absent. */
function readOptional(document: CborMap, name: (typeof optional)[number]): Uint8Array | null {
  const value = document.get(name)
  if (value === undefined || value === null) return null
  const [least, most] = size[name]
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most)
    throw refuse('nitro/field-size', `${name} is not ${least} to ${most} bytes`)
  return value
}
