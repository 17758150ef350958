import type { Spelling } from '#core/bytes/spelling.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The character codes of 0 to 9 and a to f. */
const hexCodes = encoder.encode('0123456789abcdef')

/** The character codes of base64's alphabet, in the order of what they stand for. */
const codesOf = encoder.encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
/** The six bits that a byte of base64 stands for; all bits for one that is none. */
const bitsOf = new Int32Array(256).fill(-1)
for (let i = 0; i < 64; i++) bitsOf[codesOf[i]!] = i
const padding = 0x3d

function fromBase64(text: string): Uint8Array | null {
  const bytes = encoder.encode(text) // other characters than those of base64 become bytes that are none of it
  if (bytes.length % 4 !== 0) return null
  const padded = bytes.at(-1) !== padding ? 0 : bytes.at(-2) !== padding ? 1 : 2
  // Padding stands for zero bits.
  for (let i = 1; i <= padded; i++) bytes[bytes.length - i] = codesOf[0]!
  const out = new Uint8Array((bytes.length / 4) * 3 - padded)
  let wrong = 0
  let word = 0
  let to = 0
  for (let from = 0; from < bytes.length; from += 4) {
    const [first, second] = [bitsOf[bytes[from]!]!, bitsOf[bytes[from + 1]!]!]
    word = (first << 18) | (second << 12) | (bitsOf[bytes[from + 2]!]! << 6) | bitsOf[bytes[from + 3]!]!
    wrong |= word // a negative number stays one
    out[to++] = word >> 16
    out[to++] = word >> 8 // beyond the end, where the padding is: not written
    out[to++] = word
  }
  // Invariant: bits that stand before the padding and belong to no byte are zero.
  const isCanonical = wrong >= 0 && (word & ((1 << (8 * padded)) - 1)) === 0
  return isCanonical ? out : null
}

export const spelling: Spelling = {
  toHex(bytes) {
    const codes = new Uint8Array(bytes.length * 2)
    for (let i = 0; i < bytes.length; i++) {
      codes[2 * i] = hexCodes[bytes[i]! >> 4]!
      codes[2 * i + 1] = hexCodes[bytes[i]! & 15]!
    }
    return decoder.decode(codes)
  },

  toBase64(bytes) {
    const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
    let to = 0
    for (let from = 0; from < bytes.length; from += 3) {
      const [b0, b1, b2] = [bytes[from]!, bytes[from + 1] ?? 0, bytes[from + 2] ?? 0]
      codes[to++] = codesOf[b0 >> 2]!
      codes[to++] = codesOf[((b0 & 3) << 4) | (b1 >> 4)]!
      codes[to++] = codesOf[((b1 & 15) << 2) | (b2 >> 6)]!
      codes[to++] = codesOf[b2 & 63]!
    }
    codes.fill(padding, codes.length - ((3 - (bytes.length % 3)) % 3))
    return decoder.decode(codes)
  },

  fromBase64,
  fromPublicBase64: fromBase64,
}
