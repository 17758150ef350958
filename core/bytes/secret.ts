/**
 * Memory for keys: `size` zero bytes outside the JavaScript heap, where no collector moves or copies them.
 *
 * V8 keeps typed arrays of up to 64 bytes inside the heap; a view of a buffer that was made first stays outside.
 * `shared` memory can be read by workers without being copied into a message.
 */
export function secretBytes(size: number, shared = false): Uint8Array {
  const room = Math.max(size, 128)
  return new Uint8Array(shared ? new SharedArrayBuffer(room) : new ArrayBuffer(room), 0, size)
}

/** Zeroes secrets when they are no longer needed. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}
