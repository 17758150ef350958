import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { SealCode } from '#convert/seal/failures.js'
import { Failure } from '#core/failure.js'
import type { ByteSource } from '#core/onnx/protobuf.js'

const windowSize = 64 * 1024

/** A plaintext file of the model, held open: what was looked at is what is sealed, whatever happens to its name. */
export interface PlaintextFile {
  readonly size: number
  /** fills `target` from `at`. @throws seal/changed when the file ends before it is full */
  read(at: number, target: Uint8Array): void
  /** a window over the file, for the graph reader: it skips weights without reading them */
  source(): ByteSource
  close(): void
}

/** @throws seal/file when it is a symbolic link by now; seal/changed when it has another size than `size` */
export function openPlaintext(path: string, name: string, size: number): PlaintextFile {
  let fd: number
  try {
    // Without O_NONBLOCK a pipe that took the file's place meanwhile would hold the seal for ever.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    throw new Failure<SealCode>('seal/file', `${name} cannot be read`, { cause })
  }
  const stat = fstatSync(fd)
  if (!stat.isFile() || stat.size !== size) {
    closeSync(fd)
    throw new Failure<SealCode>('seal/changed', `${name} has ${stat.size} bytes, expected ${size}`)
  }
  const read = (at: number, target: Uint8Array): void => {
    for (let done = 0; done < target.length; ) {
      const got = readSync(fd, target, done, target.length - done, at + done)
      if (got === 0) throw new Failure<SealCode>('seal/changed', `${name} became shorter while it was read`)
      done += got
    }
  }
  return {
    size,
    read,
    source() {
      const window = new Uint8Array(Math.min(size, windowSize))
      let start = 0
      let filled = 0
      return {
        size,
        bytes(at, length) {
          if (length > windowSize) {
            const own = new Uint8Array(length)
            read(at, own)
            return own
          }
          if (at < start || at + length > start + filled) {
            start = at
            filled = Math.min(window.length, size - at)
            read(at, window.subarray(0, filled))
          }
          return window.subarray(at - start, at - start + length)
        },
      }
    },
    close: () => closeSync(fd),
  }
}
