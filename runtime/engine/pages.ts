import koffi from 'koffi'
import { assert } from '#core/assert.js'
import { Failure } from '#core/failure.js'

/** Memory could not be had. */
export type PagesCode = 'engine/memory'

// <sys/mman.h>
const PROT_READ_WRITE = 3
const MAP_PRIVATE_ANONYMOUS = 0x22
const MADV_DONTFORK = 10
const MADV_HUGEPAGE = 14
const MADV_DONTDUMP = 16
const hugePageSize = 2 * 1024 * 1024

/** Zero bytes of this process outside every heap. */
export interface Pages {
  /** What a worker of the same process passes to `viewPages`. */
  readonly address: bigint
  readonly bytes: Uint8Array
}

/**
 * Memory for plaintext: its own mapping, in huge pages where there are some, left out of core dumps and of forked processes.
 * It belongs to the process until its end: nothing returns it, so that no view can dangle; the caller zeroes it.
 *
 * An ordinary ArrayBuffer, and yet writable by workers at once: ONNX Runtime refuses a SharedArrayBuffer as a model, and
 * a buffer of malloc is overwritten once more by MALLOC_PERTURB_ before its first use.
 *
 * throws  engine/memory
 * source  mmap(2), madvise(2)
 */
export function allocatePages(size: number): Pages {
  const libc = koffi.load(null)
  const mmap = libc.func('uintptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)')
  const madvise = libc.func('int madvise(uintptr_t, size_t, int)')
  const room = Math.max(1, Math.ceil(size / hugePageSize)) * hugePageSize
  const address = BigInt(mmap(0, room, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0) as number | bigint)
  if (address === 2n ** 64n - 1n) throw new Failure<PagesCode>('engine/memory', `no ${room} bytes of memory`)
  // Advice: a kernel that does not take it gives slower memory, or memory that RLIMIT_CORE alone keeps out of dumps.
  for (const advice of [MADV_HUGEPAGE, MADV_DONTDUMP, MADV_DONTFORK]) madvise(address, room, advice)
  return { address, bytes: viewPages(address, size) }
}

/** The bytes at an address that `allocatePages` of this process returned. */
export function viewPages(address: bigint, size: number): Uint8Array {
  assert(address !== 0n && size >= 0, 'memory of allocatePages')
  if (size === 0) return new Uint8Array(0)
  return new Uint8Array(koffi.view(address, size) as ArrayBuffer)
}
