import { gunzipSync } from 'node:zlib'
import type { ModelCode } from '#convert/model/failures.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'

const block = 512
const plainFile = 0x30
const unpackedMax = 256 * 1024 * 1024

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return fromUtf8(end === -1 ? bytes : bytes.subarray(0, end))
}

/**
 * The named plain files of a gzipped tar archive. Nothing is written anywhere, and what is not named is passed over.
 *
 * wanted  at most as many bytes as the archive may unpack to: 256 MiB
 * throws  model/form for no archive, a missing file, or one that occurs twice
 * source  POSIX.1-1988 ustar, as npm packs it
 */
export function readTarball(tarball: Uint8Array, wanted: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const refuse = (message: string, cause?: unknown) => new Failure<ModelCode>('model/form', message, { cause })
  let tar: Uint8Array
  try {
    tar = gunzipSync(tarball, { maxOutputLength: unpackedMax })
  } catch (cause) {
    throw refuse('package does not unpack', cause)
  }
  const found = new Map<string, Uint8Array>()
  for (let at = 0; at + block <= tar.length; ) {
    const header = tar.subarray(at, at + block)
    if (header[0] === 0) break // the archive's end
    const octal = text(header.subarray(124, 136)).trim()
    if (!/^[0-7]{1,11}$/.test(octal)) throw refuse('package holds an entry without a plain size')
    const size = Number.parseInt(octal, 8)
    const prefix = text(header.subarray(345, 500))
    const name = (prefix === '' ? '' : `${prefix}/`) + text(header.subarray(0, 100))
    if (at + block + size > tar.length) throw refuse('package ends inside a file')
    if (header[156] === plainFile && wanted.includes(name)) {
      if (found.has(name)) throw refuse(`package holds ${name} twice`)
      found.set(name, tar.subarray(at + block, at + block + size))
    }
    at += block + Math.ceil(size / block) * block
  }
  const missing = wanted.find((name) => !found.has(name))
  if (missing !== undefined) throw refuse(`package holds no ${missing}`)
  return found
}
