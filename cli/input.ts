import { createReadStream } from 'node:fs'
import { parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { responseSizeMax } from '#core/limits.js'

/** Failures of a file that was named on the command line. */
export type InputCode =
  | 'input/unreadable'
  | 'input/size'
  /** it does not hold what it was named for */
  | 'input/document'

function hintFor(path: string, reason: string): string {
  if (/^https?:\/\//.test(path)) return 'a file is expected here; an address is called by `claviger verify` alone'
  return reason === 'EISDIR' ? 'it is a folder: name a file in it' : 'is the path right, and may you read it?'
}

/**
 * The bytes of a file that was named on the command line, `-` for standard input; `what` names its purpose.
 *
 * throws  input/unreadable, input/size for more than `sizeMax` bytes
 */
export async function readInput(path: string, what: string, sizeMax = responseSizeMax): Promise<Uint8Array> {
  try {
    const parts: Uint8Array[] = []
    let size = 0
    for await (const part of path === '-' ? process.stdin : createReadStream(path)) {
      size += (part as Uint8Array).length
      if (size > sizeMax) throw new Failure<InputCode>('input/size', `${what} ${path} has more than ${sizeMax} bytes`)
      parts.push(part as Uint8Array)
    }
    return new Uint8Array(Buffer.concat(parts))
  } catch (cause) {
    if (isFailure(cause)) throw cause
    const reason = (cause as { code?: string }).code ?? 'unknown'
    throw new Failure<InputCode>('input/unreadable', `cannot read ${what} ${path}: ${reason}`, {
      cause,
      detail: { hint: hintFor(path, reason) },
    })
  }
}

/** The document in a file that was named on the command line; `what` names its purpose. @throws input/unreadable, input/size, input/document */
export async function readDocument<T>(path: string, shape: Shape<T>, what: string): Promise<T> {
  const bytes = await readInput(path, what)
  try {
    return shape(parseJson(bytes), what)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<InputCode>('input/document', `${path} holds no ${what}: ${cause.message}`, { cause })
  }
}
