import { assert } from '#core/assert.js'
import { headerSize, segmentOverhead } from '#core/sealed/floe.js'

/** Bytes of a segment with its overhead: fixed by the format. docs/decisions/segment-size.md says why. */
export const segmentLength = 1024 * 1024
/** Plaintext bytes of a full segment. */
export const segmentPlaintextLength = segmentLength - segmentOverhead

/** How many segments a file of `plaintextLength` bytes has: at least one, and never an empty last one behind others. */
export function segmentCount(plaintextLength: number): number {
  return Math.max(1, Math.ceil(plaintextLength / segmentPlaintextLength))
}

/** Bytes of the sealed file: header, segments. */
export function ciphertextLength(plaintextLength: number): number {
  return headerSize + plaintextLength + segmentCount(plaintextLength) * segmentOverhead
}

export interface SegmentPlace {
  /** first byte in the sealed file, and how many */
  readonly at: number
  readonly length: number
  /** first byte in the plaintext, and how many */
  readonly plaintextAt: number
  readonly plaintextLength: number
  readonly last: boolean
}

/** Where segment `index` of a file of `plaintextLength` bytes lies: the only source of positions when opening. */
export function segmentPlace(plaintextLength: number, index: number): SegmentPlace {
  const count = segmentCount(plaintextLength)
  assert(Number.isInteger(index) && index >= 0 && index < count, 'segment of the file')
  const plaintextAt = index * segmentPlaintextLength
  const size = Math.min(segmentPlaintextLength, plaintextLength - plaintextAt)
  return {
    at: headerSize + index * segmentLength,
    length: size + segmentOverhead,
    plaintextAt,
    plaintextLength: size,
    last: index === count - 1,
  }
}
