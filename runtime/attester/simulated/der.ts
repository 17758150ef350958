/**
 * What belongs in runtime/attester/simulated: the minter of evidence that is NOT HARDWARE, in the true binary layout
 * under throwaway roots, so that the true verification path runs. Reached by joining places and tests only.
 */
import { concat, fromHex, utf8 } from '#core/bytes/bytes.js'
import { derTag } from '#core/encoding/der.js'
import type { UnixSeconds } from '#core/time.js'

/** One DER value. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = concat(...contents)
  if (body.length < 0x80) return concat(new Uint8Array([tag, body.length]), body)
  let length = body.length.toString(16)
  if (length.length % 2 === 1) length = `0${length}`
  const bytes = fromHex(length)
  return concat(new Uint8Array([tag, 0x80 | bytes.length]), bytes, body)
}

export const sequence = (...contents: readonly Uint8Array[]): Uint8Array => der(derTag.sequence, ...contents)
export const octets = (bytes: Uint8Array): Uint8Array => der(derTag.octetString, bytes)
export const ia5 = (text: string): Uint8Array => der(derTag.ia5String, utf8(text))
export const bitString = (bytes: Uint8Array): Uint8Array => der(derTag.bitString, new Uint8Array(1), bytes)
export const boolean = (value: boolean): Uint8Array => der(derTag.boolean, new Uint8Array([value ? 0xff : 0]))

/** An INTEGER from 0 to 2^53 - 1. */
export function integer(value: number): Uint8Array {
  let hex = value.toString(16)
  if (hex.length % 2 === 1) hex = `0${hex}`
  if (Number.parseInt(hex.slice(0, 2), 16) & 0x80) hex = `00${hex}`
  return der(derTag.integer, fromHex(hex))
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes: number[] = []
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc % 128]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 | (left % 128))
    bytes.push(...digits)
  }
  return der(derTag.oid, new Uint8Array(bytes))
}

/** UTCTime up to 2049, GeneralizedTime from then on. */
export function time(at: UnixSeconds): Uint8Array {
  const text = new Date(at * 1000).toISOString().replace(/[-:T]|\.\d+/g, '')
  return text < '2050' ? der(derTag.utcTime, utf8(text.slice(2))) : der(derTag.generalizedTime, utf8(text))
}
