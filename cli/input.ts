import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { Failure } from '#core/failure.js'

/** Failures of a file that was named on the command line. */
export type InputCode = 'input/unreadable'

/** The bytes of a file that was named on the command line, `-` for standard input; `what` names its purpose. @throws input/unreadable */
export async function readInput(path: string, what: string): Promise<Uint8Array> {
  try {
    if (path === '-') return new Uint8Array(await buffer(process.stdin))
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    const reason = (cause as { code?: string }).code ?? 'unknown'
    throw new Failure<InputCode>('input/unreadable', `cannot read ${what} ${path}: ${reason}`, {
      cause,
      detail: { hint: 'is the path right, and may you read it?' },
    })
  }
}
