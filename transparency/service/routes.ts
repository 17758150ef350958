/** What belongs in transparency/service: the log over HTTP, and how the log reaches its witnesses. */
import { type Context, Hono } from 'hono'
import { isFailure } from '#core/failure.js'
import { parseDecimal } from '#core/tlog/checkpoint.js'
import { parseTilePath } from '#core/tlog/tiles.js'
import type { Env } from '#host/http.js'
import type { LogCode } from '#transparency/failures.js'
import type { LogReader } from '#transparency/log.js'

/** Failures of a log as HTTP statuses, for the application that the routes are mounted in. */
export const logStatuses: Readonly<Record<LogCode, number>> = {
  'log/absent': 500,
  'log/exists': 409,
  'log/identity': 500,
  'log/policy': 500,
  'log/state': 500,
  'log/rollback': 503,
  'log/forked': 503,
  'log/storage': 503,
  'log/writer': 503,
  'log/witness-unavailable': 503,
  'log/entry-size': 413,
  'log/busy': 503,
  'log/closed': 503,
  'log/index': 404,
}

const tilePathLengthMax = 64
const text = { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }
const immutable = {
  'content-type': 'application/octet-stream',
  'cache-control': 'public, max-age=31536000, immutable',
  'x-content-type-options': 'nosniff',
  'access-control-allow-origin': '*',
}
/** Proofs and checkpoints change with the tree; browsers of other origins verify logs too. */
const mutable = { ...text, 'cache-control': 'no-cache', 'access-control-allow-origin': '*' }

function absent(c: Context<Env>): Response {
  return c.body('not in this log\n', 404, { ...text, 'cache-control': 'no-store' })
}

/**
 * The read side of a log, as C2SP tlog-tiles lays it out, and proofs of single entries:
 * `/checkpoint`, `/tile/<L>/<N>[.p/<W>]`, `/tile/entries/<N>[.p/<W>]`, `/v1/log/proofs/{index}`.
 *
 * Everything is public, and only what a quorum has cosigned is served. Mount it at the log's own prefix, in an
 * application that bounds rate, time and concurrency.
 */
export function makeLogRoutes(log: LogReader): Hono<Env> {
  const routes = new Hono<Env>()
  /** What the log has not is 404; other failures are the application's to answer, by `logStatuses`. */
  const answer = async (c: Context<Env>, work: () => Promise<Response>): Promise<Response> => {
    try {
      return await work()
    } catch (error) {
      if (isFailure(error) && (error.code === 'log/index' || error.code === 'tlog/tile')) return absent(c)
      throw error
    }
  }
  routes.get('/checkpoint', (c) => answer(c, async () => c.body(await log.checkpoint(), 200, mutable)))
  routes.get('/v1/log/proofs/:index', (c) =>
    answer(c, async () => {
      const index = parseDecimal(c.req.param('index'))
      return index === undefined ? absent(c) : c.body(await log.proof(index), 200, mutable)
    }),
  )
  routes.get('/tile/*', (c) =>
    answer(c, async () => {
      // The prefix before it is whatever the routes are mounted at.
      const path = c.req.path.slice(c.req.path.lastIndexOf('/tile/') + 1)
      if (path.length > tilePathLengthMax) return absent(c)
      return c.body(new Uint8Array(await log.tile(parseTilePath(path))), 200, immutable)
    }),
  )
  return routes
}
