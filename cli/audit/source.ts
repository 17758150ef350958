import type { LogSource } from '#client/audit/follow.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { entrySizeMax, noteSizeMax } from '#core/limits.js'
import { tilePath, tileWidth } from '#core/tlog/tiles.js'

/** Failures of reading a log from its address. */
export type LogSourceCode =
  /** nobody answers, or not within its time */
  | 'audit-log/unreachable'
  /** an answer that is none of a log */
  | 'audit-log/answer'

const timeoutMs = 60_000
/** The largest bundle of entries: each has a length of two bytes before it. */
const bundleSizeMax = tileWidth * (entrySizeMax + 2)

/**
 * The static files of a log below an address: a broker's, or a plain file server's.
 *
 * source  C2SP tlog-tiles, "APIs"
 */
export function logAt(url: string, fetchWith: typeof fetch = fetch): LogSource {
  const base = url.endsWith('/') ? url : `${url}/`
  const get = async (path: string, sizeMax: number): Promise<Uint8Array> => {
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      const response = await fetchWith(new URL(path, base), { redirect: 'error', signal })
      if (response.status !== 200) {
        await response.body?.cancel()
        throw new Failure<LogSourceCode>('audit-log/answer', `${base}${path} answers ${response.status}`, {
          detail: { hint: 'is this the address of a log, with /checkpoint below it?' },
        })
      }
      return await readBounded(response, sizeMax, path)
    } catch (cause) {
      if (isFailure(cause)) throw cause
      throw new Failure<LogSourceCode>('audit-log/unreachable', `no answer from ${base}${path}`, {
        cause,
        detail: { hint: 'is a log served there? a broker serves its own: ./claviger serve all' },
      })
    }
  }
  return {
    checkpoint: async () => fromUtf8(await get('checkpoint', noteSizeMax)),
    tile: (id) => get(tilePath(id), id.level === 'entries' ? bundleSizeMax : tileWidth * 32),
  }
}

async function readBounded(response: Response, sizeMax: number, path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > sizeMax) throw new Failure<LogSourceCode>('audit-log/answer', `${path} has more than ${sizeMax} bytes`)
    parts.push(part)
  }
  return new Uint8Array(Buffer.concat(parts))
}
