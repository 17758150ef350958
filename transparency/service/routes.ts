/** What belongs in transparency/service: the log over HTTP, and how the log reaches its witnesses. */
import { type Context, Hono } from 'hono'
import { isFailure } from '#core/failure.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import { parseTilePath } from '#core/tlog/tiles.js'
import type { LogReader } from '#transparency/log.js'

const pathLengthMax = 64
const requestsAtOnceMax = 128
const text = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }
const immutable = {
  'content-type': 'application/octet-stream',
  'cache-control': 'public, max-age=31536000, immutable',
  'x-content-type-options': 'nosniff',
  'access-control-allow-origin': '*',
}
/** Proofs and checkpoints change with the tree; browsers of other origins verify logs too. */
const mutable = { ...text, 'cache-control': 'no-cache', 'access-control-allow-origin': '*' }

function absent(c: Context): Response {
  return c.body('not in this log\n', 404, { ...text, 'cache-control': 'no-store' })
}

/**
 * The read side of a log, as C2SP tlog-tiles lays it out, and proofs of single entries:
 * `/checkpoint`, `/tile/<L>/<N>[.p/<W>]`, `/tile/entries/<N>[.p/<W>]`, `/v1/log/proofs/{index}`.
 *
 * Everything is public. Only what a quorum has cosigned is served. Mount it at the log's own prefix.
 */
export function makeLogRoutes(log: LogReader): Hono {
  const app = new Hono()
  let running = 0
  /** Bounds what runs at once; what the log has not is 404. */
  const answer = async (c: Context, work: () => Promise<Response>): Promise<Response> => {
    if (running >= requestsAtOnceMax) return c.body('too many requests at once\n', 503, { ...text, 'retry-after': '1' })
    running++
    try {
      return await work()
    } catch (error) {
      if (isFailure(error) && error.code === 'log/index') return absent(c)
      throw error
    } finally {
      running--
    }
  }
  app.get('/checkpoint', (c) => answer(c, async () => c.body(await log.checkpoint(), 200, mutable)))
  app.get('/v1/log/proofs/:index', (c) =>
    answer(c, async () => {
      const index = parseDecimal(c.req.param('index'))
      return index === undefined ? absent(c) : c.body(await log.proof(index), 200, mutable)
    }),
  )
  app.get('/tile/*', (c) =>
    answer(c, async () => {
      const path = c.req.path.slice(c.req.path.lastIndexOf('/tile/') + 1)
      if (path.length > pathLengthMax) return absent(c)
      let tile: ReturnType<typeof parseTilePath>
      try {
        tile = parseTilePath(path)
      } catch (error) {
        if (isFailure(error)) return absent(c)
        throw error
      }
      return c.body(new Uint8Array(await log.tile(tile)), 200, immutable)
    }),
  )
  return app
}
