/**
 * A writer of a log for the tests that kill one: appends entries `0`, `1`, ... from many callers at once until it is
 * ended, and says on standard error, line by line, which index each was given.
 */
import { readFileSync } from 'node:fs'
import { utf8 } from '#core/bytes/bytes.js'
import { type DatabaseConfig, openDatabase } from '#host/database.js'
import { announceReady } from '#host/process.js'
import { loadSigningKeyFile } from '#host/signing-key-file.js'
import { httpWitness } from '#transparency/service/witness-client.js'
import { openLog } from '#transparency/storage/open.js'

interface Config {
  readonly database: DatabaseConfig
  readonly origin: string
  readonly keyFile: string
  readonly witness: { readonly url: string; readonly vkey: string }
  readonly quorumPolicy: string
  readonly first: number
  readonly callers: number
}

const config = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Config
const database = await openDatabase(config.database)
const log = await openLog({
  database,
  origin: config.origin,
  signer: await loadSigningKeyFile(config.keyFile),
  witnesses: [httpWitness(config.witness)],
  quorumPolicy: config.quorumPolicy,
})

let next = config.first
async function callAgainAndAgain(): Promise<void> {
  for (;;) {
    const number = next++
    const { index } = await log.append(utf8(`entry ${number}`))
    // Synchronous on a pipe: what was acknowledged is out before anything else happens.
    process.stderr.write(`ack ${number} ${index}\n`)
  }
}
for (let i = 0; i < config.callers; i++) callAgainAndAgain().catch((error) => process.stderr.write(`${error}\n`))
announceReady({ size: log.size() }, async () => log.close())
