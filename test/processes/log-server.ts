/** A log with entries `entry 0` to `entry N-1`, in memory, over HTTP: for readers that share no code with it. */
import { utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { emptyRoot } from '#core/tlog/merkle.js'
import { makeNoteSigner, parseVkey } from '#core/tlog/vkey.js'
import { openDatabase } from '#host/database.js'
import { createApp } from '#host/http.js'
import { listen } from '#host/listen.js'
import { createLog as createServiceLog } from '#host/log.js'
import { announceReady } from '#host/process.js'
import { logStatuses, makeLogRoutes } from '#transparency/service/routes.js'
import { createLog, openLog } from '#transparency/storage/open.js'
import type { SeenTree } from '#transparency/witness/rule.js'
import { Witness } from '#transparency/witness/witness.js'

const count = Number(process.argv[2])
const origin = 'log.example/interop'
const database = await openDatabase({ memory: true })
const { key: signer } = await generateSigningKey('Ed25519')
const logVkey = await createLog({ database, origin, signer })

const { key } = await generateSigningKey('Ed25519')
let seen: SeenTree = { size: 0, rootHash: emptyRoot }
const witness = new Witness({
  signer: makeNoteSigner('witness.example/interop', 'cosigner', key),
  logs: [parseVkey(logVkey)],
  now: () => Math.floor(Date.now() / 1000),
  store: {
    seen: async () => seen,
    record: async (_, next) => {
      seen = next
    },
  },
})
const log = await openLog({
  database,
  origin,
  signer,
  witnesses: [
    {
      vkey: witness.vkey,
      async addCheckpoint(body) {
        const reply = await witness.answer(body)
        if (reply.status === 200) return { kind: 'cosigned', lines: reply.lines }
        return reply.status === 409 ? { kind: 'conflict', size: reply.size } : { kind: 'refused', status: reply.status }
      },
    },
  ],
  quorumPolicy: `witness w ${witness.vkey}\nquorum w\n`,
})
for (let i = 0; i < count; i += 500) {
  const batch = Array.from({ length: Math.min(500, count - i) }, (_, k) => log.append(utf8(`entry ${i + k}`)))
  await Promise.all(batch)
}
const app = createApp({ log: createServiceLog('log', 'error'), statuses: logStatuses, limits: { ratePerMinute: 0 } })
app.hono.route('/', makeLogRoutes(log))
const listening = await listen(app, { host: '127.0.0.1', port: 0 })
announceReady({ url: listening.url, logVkey, witnessVkey: witness.vkey }, () => listening.close())
