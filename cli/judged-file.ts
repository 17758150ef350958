import { readInput } from '#cli/input.js'
import { exitCodes, type Io, paint, sayError } from '#cli/output.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { type Failure, isFailure } from '#core/failure.js'
import { MiB } from '#core/limits.js'

/** What stands in a file that is judged: a document, or why it is none. */
export type JudgedFile = { readonly document: Json } | { readonly failure: Failure }

/** Larger than any document of ours: a bundle is the largest. */
const documentSizeMax = 16 * MiB

/** What is no document is judged like a document that is wrong. @throws what `work` throws besides */
async function judgedBy<T>(work: () => Promise<T>): Promise<T | { readonly failure: Failure }> {
  try {
    return await work()
  } catch (error) {
    if (isFailure(error) && /^(json\/|bytes\/|input\/size$)/.test(error.code)) return { failure: error }
    throw error
  }
}
const documentOf = (work: () => Promise<Json>): Promise<JudgedFile> =>
  judgedBy<JudgedFile>(async () => ({ document: await work() }))

/**
 * The bytes of a file that is to be judged, whatever they are. A file without an end is one that is not good.
 *
 * throws  input/unreadable
 */
export const readJudgedBytes = (path: string, what: string) =>
  judgedBy(async () => ({ bytes: await readInput(path, what, documentSizeMax) }))

/** The document that bytes are, or why they are none. */
export const documentIn = (bytes: Uint8Array): Promise<JudgedFile> =>
  documentOf(async () => parseJson(bytes, documentSizeMax))

/**
 * The document in a file that is to be judged. A file that cannot be read is trouble, and there is no verdict; bytes
 * that are no document are evidence that is not good.
 *
 * throws  input/unreadable
 */
export async function readJudged(path: string, what: string): Promise<JudgedFile> {
  const read = await readJudgedBytes(path, what)
  return 'failure' in read ? read : documentIn(read.bytes)
}

/** The same of what a node answers. @throws what `fetchDocument` throws, but for an answer that is no document */
export const receiveJudged = (fetchDocument: () => Promise<Json>): Promise<JudgedFile> => documentOf(fetchDocument)

/** The `type` that a document says it has; empty when it says none. */
export function typeOf(document: Json): string {
  const isObject = document !== null && typeof document === 'object' && !Array.isArray(document)
  const type = isObject ? (document as { type?: unknown }).type : null
  return typeof type === 'string' ? type : ''
}

/** The verdict on bytes that are no document of a kind that is judged here: exit 3. */
export function refuseJudged(failure: Failure, json: boolean | undefined, io: Io): number {
  const { code, message } = failure
  if (json) {
    const verdict = { verdict: 'NOT VERIFIED', accepted: false, hardware: false, failure: { code, message }, steps: [] }
    io.stdout(`${JSON.stringify(verdict, null, 2)}\n`)
  } else io.stdout(`${paint(io, 'red', 'NOT VERIFIED')}\n`)
  sayError(io, failure)
  return exitCodes.verdict
}
