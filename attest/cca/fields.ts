import type { CcaCode } from '#attest/cca/codes.js'
import { cborLimits, hashNames, size, textLengthMax } from '#attest/cca/layout.js'
import { type Cbor, type CborMap, decodeCbor, isCborMap } from '#core/encoding/cbor.js'
import { Failure, isFailure } from '#core/failure.js'

export type HashName = (typeof hashNames)[number]

export function refuse(code: CcaCode, message: string, cause?: Failure): Failure<CcaCode> {
  return new Failure<CcaCode>(code, message, cause ? { detail: { inner: cause.code }, cause } : {})
}

/** The one value that the bytes spell, definite lengths only. @throws cca/form */
export function readCbor(bytes: Uint8Array, what: string): Cbor {
  try {
    return decodeCbor(bytes, cborLimits)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw refuse('cca/form', `${what} cannot be read: ${error.message}`, error)
  }
}

/** A map of exactly these labels; those of `absent` need not be there. @throws cca/form, cca/claims */
export function readMap(value: Cbor, labels: readonly number[], absent: readonly number[], what: string): CborMap {
  if (!isCborMap(value)) throw refuse('cca/form', `${what} is no map`)
  for (const label of value.keys())
    if (typeof label !== 'number' || !labels.includes(label))
      throw refuse('cca/claims', `${what} has unknown claim ${JSON.stringify(String(label).slice(0, 40))}`)
  for (const label of labels)
    if (!value.has(label) && !absent.includes(label)) throw refuse('cca/claims', `${what} has no claim ${label}`)
  return value
}

/** A byte string of one of these sizes. @throws cca/claim */
export function readBytes(value: Cbor | undefined, sizes: readonly number[], what: string): Uint8Array {
  if (!(value instanceof Uint8Array) || !sizes.includes(value.length))
    throw refuse('cca/claim', `${what} is not ${sizes.join(', ')} bytes`)
  return value
}

/** A measurement, or a digest of a key. @throws cca/claim */
export function readHash(value: Cbor | undefined, what: string): Uint8Array {
  return readBytes(value, size.hashes, what)
}

/** Text that is shown to people, so it holds nothing but printable ASCII. @throws cca/claim */
export function readText(value: Cbor | undefined, what: string): string {
  if (typeof value !== 'string' || value.length > textLengthMax || !/^[\x20-\x7e]*$/.test(value))
    throw refuse('cca/claim', `${what} is not text of at most ${textLengthMax} printable characters`)
  return value
}

/** The same, or null where there is none. @throws cca/claim */
export function readOptionalText(value: Cbor | undefined, what: string): string | null {
  return value === undefined ? null : readText(value, what)
}

/** @throws cca/hash-algorithm */
export function readHashName(value: Cbor | undefined, what: string): HashName {
  const name = hashNames.find((one) => one === value)
  if (name === undefined) throw refuse('cca/hash-algorithm', `${what} is none of ${hashNames.join(', ')}`)
  return name
}
