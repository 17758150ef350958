import { lstat, realpath } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Io, paint } from '#cli/output.js'
import { Failure } from '#core/failure.js'

/** Failures of loading an SDK of OpenTelemetry. */
export type TracingCode =
  /** somebody else could change what is loaded */
  'tracing/file'

/** Whoever can write the file, or put another in its place, runs in the broker's process. @throws tracing/file, system/... */
async function verifyOwn(path: string): Promise<void> {
  const own = process.getuid?.() ?? 0
  for (const one of [path, dirname(path)]) {
    const { uid, mode } = await lstat(one)
    if ((uid === own || uid === 0) && (mode & 0o022) === 0) continue
    throw new Failure<TracingCode>('tracing/file', `${one} can be changed by others: its code would read every key`, {
      detail: { hint: `chown ${own} ${one}; chmod go-w ${one}` },
    })
  }
}

/**
 * A module of the operator's has run in this process, which sets up an SDK of OpenTelemetry. It could read every key that is opened
 * here: no environment and no flag of Node loads code, so that nothing but this option does.
 *
 * throws  tracing/file, and what the module throws
 */
export async function loadTracing(file: string | undefined, io: Io): Promise<void> {
  if (file === undefined) return
  const path = await realpath(file)
  await verifyOwn(path)
  io.stderr(`${paint(io, 'yellow', 'DANGEROUS:')} ${path} runs in this process, and can read its keys\n`)
  await import(pathToFileURL(path).href)
}
