import type { Spelling } from '#core/bytes/spelling.js'

/** What `toString` calls in the end. Called on bytes as they are: a Buffer around a few of them costs more than their hex. */
const { hexSlice, base64Slice } = Buffer.prototype as unknown as Readonly<
  Record<'hexSlice' | 'base64Slice', (this: Uint8Array, from: number, end: number) => string>
>

function decodeTo(bytes: Buffer, text: string): Uint8Array | null {
  // Invariant: Node forgives much, in the alphabet, in spaces and in the last bits: what it spells again as it was is canonical.
  const isWhole = bytes.write(text, 'base64') === bytes.length && base64Slice.call(bytes, 0, bytes.length) === text
  return isWhole ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : null
}

export const spelling: Spelling = {
  toHex: (bytes) => hexSlice.call(bytes, 0, bytes.length),

  toBase64: (bytes) => base64Slice.call(bytes, 0, bytes.length),

  // Not from the pool that Node cuts small buffers from: what a text spells may be a key, and is wiped in its one place.
  fromBase64: (text) => decodeTo(Buffer.allocUnsafeSlow(Buffer.byteLength(text, 'base64')), text),

  fromPublicBase64: (text) => decodeTo(Buffer.allocUnsafe(Buffer.byteLength(text, 'base64')), text),
}
