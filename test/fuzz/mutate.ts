import type { Random } from './random.js'

/** Numbers at which bounds are forgotten. */
const interesting = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
]

type Mutation = (bytes: Uint8Array, random: Random, context: MutationContext) => Uint8Array

export interface MutationContext {
  readonly dictionary: readonly Uint8Array[]
  /** another input of the corpus */
  readonly other: Uint8Array
}

function spliced(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length - remove + insert.length)
  out.set(bytes.subarray(0, at))
  out.set(insert, at)
  out.set(bytes.subarray(at + remove), at + insert.length)
  return out
}

function part(bytes: Uint8Array, random: Random, most: number): { readonly at: number; readonly size: number } {
  const at = random.below(bytes.length)
  return { at, size: 1 + random.below(Math.min(most, bytes.length - at)) }
}

/** Writes a number of 1, 2, 3 or 4 bytes in either order. */
function writeNumber(bytes: Uint8Array, at: number, value: number, width: number, little: boolean): void {
  for (let i = 0; i < width && at + i < bytes.length; i++) bytes[at + i] = value >>> (8 * (little ? i : width - 1 - i))
}

function readNumber(bytes: Uint8Array, at: number, width: number, little: boolean): number {
  let value = 0
  for (let i = 0; i < width; i++) value += (bytes[at + (little ? i : width - 1 - i)] ?? 0) * 256 ** i
  return value
}

const changed = (bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array => {
  const copy = bytes.slice()
  change(copy)
  return copy
}

const mutations: readonly Mutation[] = [
  // one bit, one byte
  (bytes, random) => changed(bytes, (copy) => void (copy[random.below(copy.length)]! ^= 1 << random.below(8))),
  (bytes, random) => changed(bytes, (copy) => void (copy[random.below(copy.length)] = random.below(256))),
  // an interesting number
  (bytes, random) =>
    changed(bytes, (copy) => {
      writeNumber(copy, random.below(copy.length), random.of(interesting), 1 + random.below(4), random.below(2) === 0)
    }),
  // a length that is a little off, or the length of what follows
  (bytes, random) =>
    changed(bytes, (copy) => {
      const [at, width, little] = [random.below(copy.length), 1 + random.below(4), random.below(2) === 0]
      const near = readNumber(copy, at, width, little) + random.below(35) - 17
      writeNumber(copy, at, random.below(3) === 0 ? copy.length - at - width : near, width, little)
    }),
  // cut off, taken out
  (bytes, random) => bytes.slice(0, random.below(bytes.length)),
  (bytes, random) => {
    const { at, size } = part(bytes, random, 64)
    return spliced(bytes, at, size, new Uint8Array(0))
  },
  // written twice, moved, filled
  (bytes, random) => {
    const { at, size } = part(bytes, random, 128)
    return spliced(bytes, random.below(bytes.length + 1), 0, bytes.slice(at, at + size))
  },
  (bytes, random) =>
    changed(bytes, (copy) => {
      const { at, size } = part(copy, random, 64)
      copy.copyWithin(random.below(copy.length), at, at + size)
    }),
  (bytes, random) =>
    changed(bytes, (copy) => {
      const { at, size } = part(copy, random, 64)
      copy.fill(random.below(2) === 0 ? 0xff * random.below(2) : random.below(256), at, at + size)
    }),
  // random bytes put in
  (bytes, random) =>
    spliced(
      bytes,
      random.below(bytes.length + 1),
      0,
      Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256)),
    ),
  // a word of the format, put in or over
  (bytes, random, { dictionary }) =>
    dictionary.length === 0 ? bytes : spliced(bytes, random.below(bytes.length + 1), 0, random.of(dictionary)),
  (bytes, random, { dictionary }) =>
    dictionary.length === 0
      ? bytes
      : changed(bytes, (copy) => {
          const word = random.of(dictionary)
          const at = random.below(copy.length)
          copy.set(word.subarray(0, copy.length - at), at)
        }),
  // the head of one and the tail of another; a part of another put in
  (bytes, random, { other }) => {
    const at = random.below(Math.min(bytes.length, other.length))
    return spliced(
      bytes,
      at,
      bytes.length - at,
      other.subarray(random.below(2) === 0 ? at : random.below(other.length)),
    )
  },
  (bytes, random, { other }) => {
    if (other.length === 0) return bytes
    const { at, size } = part(other, random, 128)
    return spliced(bytes, random.below(bytes.length + 1), 0, other.subarray(at, at + size))
  },
]

/** An input made of another: one change half of the time, else two to eight after each other, at most `sizeMax` bytes. */
export function mutate(bytes: Uint8Array, random: Random, context: MutationContext, sizeMax: number): Uint8Array {
  let out = bytes
  for (let left = random.below(2) === 0 ? 1 : 2 << random.below(3); left > 0; left--) {
    if (out.length === 0) out = Uint8Array.from({ length: 1 + random.below(16) }, () => random.below(256))
    out = random.of(mutations)(out, random, context)
  }
  return out.length > sizeMax ? out.slice(0, sizeMax) : out
}
