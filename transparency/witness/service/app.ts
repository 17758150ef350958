import { fromUtf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { noteSizeMax } from '#core/limits.js'
import type { FileCode } from '#host/files.js'
import { type App, createApp, readBody } from '#host/http.js'
import type { Log } from '#host/log.js'
import type { WitnessCode } from '#transparency/witness/store/state.js'
import type { Witness } from '#transparency/witness/witness.js'

/** Nothing was cosigned, and the log is told no more than that: these are the operator's to mend. */
const statuses: Readonly<Record<WitnessCode | FileCode, number>> = {
  'witness/absent': 500,
  'witness/exists': 500,
  'witness/state': 500,
  'file/absent': 500,
  'file/exists': 500,
  'file/folder': 500,
  'file/permissions': 500,
  'file/size': 500,
  'file/kind': 500,
}

/**
 * The witness over HTTP: `POST /add-checkpoint`.
 *
 * source  C2SP tlog-witness, "add-checkpoint"
 */
export function makeWitnessApp(witness: Witness, log: Log): App {
  // A log that writes batch after batch asks some hundred times a second; nobody else has reason to.
  const limits = { bodySizeMax: noteSizeMax, timeoutMs: 10_000, concurrencyMax: 64, ratePerMinute: 60_000 }
  const app = createApp({ log, statuses, limits })
  app.hono.post('/add-checkpoint', async (c) => {
    let body: string
    try {
      body = fromUtf8(await readBody(c))
    } catch (error) {
      if (!isFailure(error) || error.code !== 'bytes/utf8') throw error
      return c.text(`${error.message}\n`, 400)
    }
    const reply = await witness.answer(body)
    if (reply.status === 200) return c.text(reply.lines, 200)
    if (reply.status === 409) return c.body(`${reply.size}\n`, 409, { 'content-type': 'text/x.tlog.size' })
    return c.text(`${reply.reason}\n`, reply.status)
  })
  return app
}
