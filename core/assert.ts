/** Throws when an invariant of our own code is broken. A failed assertion is a bug, never a verdict on input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}
