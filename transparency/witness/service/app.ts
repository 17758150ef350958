import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { noteSizeMax } from '#core/limits.js'
import type { Witness } from '#transparency/witness/witness.js'

const requestsAtOnceMax = 64

/** The witness's routes: `POST /add-checkpoint` (C2SP tlog-witness) and `GET /health`. */
export function makeWitnessApp(witness: Witness): Hono {
  const app = new Hono()
  let running = 0
  app.get('/health', (c) => c.json({ status: 'ok', vkey: witness.vkey }))
  app.post(
    '/add-checkpoint',
    bodyLimit({ maxSize: noteSizeMax, onError: (c) => c.text('request is too large\n', 413) }),
    async (c) => {
      if (running >= requestsAtOnceMax) return c.text('too many requests at once\n', 503)
      running++
      try {
        const reply = await witness.answer(fromUtf8(new Uint8Array(await c.req.arrayBuffer())))
        if (reply.status === 200) return c.text(reply.lines, 200)
        if (reply.status === 409) {
          return c.body(`${reply.size}\n`, 409, { 'content-type': 'text/x.tlog.size' })
        }
        return c.text(`${reply.reason}\n`, reply.status)
      } catch (error) {
        if (isFailure(error) && error.code === 'bytes/utf8') return c.text(`${error.message}\n`, 400)
        throw error
      } finally {
        running--
      }
    },
  )
  app.onError((error, c) => {
    // Where state cannot be read or written nothing was cosigned, and the log is told no more than that.
    process.stderr.write(`error: ${isFailure(error) ? `${error.code} ${error.message}` : error.message}\n`)
    return c.text('witness cannot record what it sees\n', 500)
  })
  return app
}
