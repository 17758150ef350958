import { lstat } from 'node:fs/promises'
import { readDocument } from '#cli/input.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { type FileCode, verifyNewFile, writeFileDurably } from '#host/files.js'

/** A kind of result. */
export interface ResultKind {
  readonly shape: Shape<unknown>
  readonly what: string
  /** permissions of the file, default 0644 */
  readonly mode?: number
}

/**
 * A result may be written to the path: nothing stands there, or an earlier result of the same kind, which the new one replaces.
 * A key, another document, a link or a device stays as it is.
 *
 * throws  file/exists, file/folder
 */
export async function verifyResultPlace(path: string, { shape, what }: ResultKind): Promise<void> {
  const found = await lstat(path).catch(() => null)
  if (found?.isFile() !== true) return verifyNewFile(path)
  try {
    await readDocument(path, shape, what)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<FileCode>('file/exists', `${path} exists, is no ${what}, and is not written over`, {
      cause,
      detail: { hint: 'choose another name, or move what stands there away' },
    })
  }
}

/** The result stands at the path, whole. @throws file/exists, file/folder */
export async function writeResult(path: string, bytes: Uint8Array, kind: ResultKind): Promise<void> {
  await verifyResultPlace(path, kind)
  await writeFileDurably(path, bytes, { mode: kind.mode ?? 0o644 })
}
