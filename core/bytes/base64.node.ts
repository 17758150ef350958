import type { Base64 } from '#core/bytes/base64.js'

export const base64: Base64 = {
  encode: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),

  decode(text) {
    // Not from the pool that Node cuts small buffers from: what a text spells may be a key, and is wiped in its one place.
    const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text, 'base64'))
    // Invariant: Node forgives much, in the alphabet, in spaces and in the last bits: what it spells again as it was is canonical.
    const isWhole = bytes.write(text, 'base64') === bytes.length && bytes.toString('base64') === text
    return isWhole ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : null
  },
}
