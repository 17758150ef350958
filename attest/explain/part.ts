/**
 * What belongs in attest/explain: showing what bytes say, field by field under the names of their specification, to a
 * reader who judges for himself. Nothing here verifies or decides, and no verification reads any of it.
 */
import { toHex } from '#core/bytes/bytes.js'

export interface ExplainedField {
  /** from the start of the part, in bytes; null for what has no fixed place, as in JSON or a certificate */
  readonly offset: number | null
  readonly size: number | null
  readonly name: string
  readonly value: string
}

export interface ExplainedPart {
  readonly title: string
  /** the specification that names the fields, with its revision */
  readonly document: string
  readonly fields: readonly ExplainedField[]
}

/** One field of a fixed layout: name, offset, size, and how its bytes are shown; hex without it. */
export type Row = readonly [
  name: string,
  offset: number,
  size: number,
  show?: ((bytes: Uint8Array) => string) | undefined,
]

/** The fields of a fixed layout; those that the bytes end before are not shown, and the reader is told. */
export function fieldsOf(bytes: Uint8Array, rows: readonly Row[], base = 0): readonly ExplainedField[] {
  const whole = rows.filter(([, offset, size]) => offset + size <= bytes.length)
  const fields = whole.map(([name, offset, size, show = toHex]) =>
    field(name, show(bytes.subarray(offset, offset + size)), base + offset, size),
  )
  return whole.length === rows.length
    ? fields
    : [...fields, field('(cut off)', `the part ends after ${bytes.length} bytes`)]
}

export function field(
  name: string,
  value: string,
  offset: number | null = null,
  size: number | null = null,
): ExplainedField {
  return { name, value, offset, size }
}

/** A little-endian number, with its hex where that says more. */
export function number(bytes: Uint8Array): string {
  return BigInt(`0x${toHex(bytes.toReversed()) || '0'}`).toString()
}

/** A little-endian number in hex, then the names of its bits that are set. */
export function bits(names: Readonly<Record<string, number>>): (bytes: Uint8Array) => string {
  return (bytes) => {
    const value = BigInt(`0x${toHex(bytes.toReversed()) || '0'}`)
    const set = Object.entries(names).filter(([, at]) => (value >> BigInt(at)) & 1n)
    return `0x${value.toString(16)}${set.length > 0 ? ` (${set.map(([name]) => name).join(', ')})` : ''}`
  }
}
