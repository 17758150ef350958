import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { type DatabaseConfig, openDatabase } from '#host/database.js'
import { type Service, spawnService } from '#host/process.js'
import { createSigningKeyFile } from '#host/signing-key-file.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { origin } from '#test/transparency/fixtures.js'
import { httpWitness } from '#transparency/service/witness-client.js'
import { createLog, openLog } from '#transparency/storage/open.js'
import { addLog, createWitness } from '#transparency/witness/store/state.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Ready {
  readonly url: string
  readonly vkey: string
}

async function startWitness(state: string, logVkey: string, listen = '127.0.0.1:0'): Promise<Service & { at: Ready }> {
  const args = ['--state', state, '--listen', listen, '--log', logVkey]
  const service = await spawnService('transparency/witness/service/main.js', { args, onLogLine: () => undefined })
  cleanups.push(() => service.kill())
  return Object.assign(service, { at: service.ready as unknown as Ready })
}

/** Acknowledged entries by their number, and a promise for the moment when there are so many. */
function acknowledgements() {
  const acks = new Map<number, number>()
  let wanted: { count: number; resolve: () => void } | undefined
  return {
    acks,
    onLogLine(line: string) {
      const found = /^ack (\d+) (\d+)$/.exec(line)
      if (found) acks.set(Number(found[1]), Number(found[2]))
      if (wanted !== undefined && acks.size >= wanted.count) wanted.resolve()
    },
    reach: (count: number) =>
      new Promise<void>((resolve) => {
        wanted = { count, resolve }
        if (acks.size >= count) resolve()
      }),
  }
}

describe.each(databasesUnderTest())('a writer that is killed, on $name', (under) => {
  test('loses nothing that it acknowledged, leaves no gap, and goes on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-log-'))
    cleanups.push(() => rmSync(folder, { recursive: true }))
    const keyFile = join(folder, 'log.key')
    const signer = await createSigningKeyFile(keyFile)
    const config: DatabaseConfig =
      under.openWithUrl === undefined ? { folder: join(folder, 'database') } : { url: (await under.openWithUrl()).url }
    const database = await openDatabase(config)
    const logVkey = await createLog({ database, origin, signer })
    await database.close()
    expect(logVkey).toBe(encodeVkey(makeNoteSigner(origin, 'log', signer).verifier))

    const state = join(folder, 'witness')
    const witnessVkey = await createWitness(state, 'witness.example/w')
    await addLog(state, origin)
    let witness = await startWitness(state, logVkey)
    const { url } = witness.at
    const quorumPolicy = `witness w ${witnessVkey}\nquorum w\n`

    const { acks, onLogLine, reach } = acknowledgements()
    let first = 0
    // Each start of PGlite takes seconds.
    const rounds = under.name === 'pglite' ? 2 : 3
    for (let round = 1; round <= rounds; round++) {
      const file = join(folder, `writer-${round}.json`)
      const options = { origin, keyFile, witness: { url, vkey: witnessVkey }, quorumPolicy, first, callers: 40 }
      writeFileSync(file, JSON.stringify({ database: config, ...options }))
      const writer = await spawnService('test/processes/log-writer.js', { args: [file], onLogLine })
      await reach(acks.size + 150)
      if (round === 2) {
        await witness.kill()
        witness = await startWitness(state, logVkey, new URL(url).host)
      }
      await writer.kill()
      first += 100_000
    }

    const again = await openDatabase(config)
    cleanups.push(() => again.close())
    const log = await openLog({
      database: again,
      origin,
      signer,
      witnesses: [httpWitness({ url, vkey: witnessVkey })],
      quorumPolicy,
    })
    cleanups.push(() => log.close())
    expect(acks.size).toBeGreaterThanOrEqual(rounds * 150)
    expect(new Set(acks.values()).size).toBe(acks.size)
    expect(Math.max(...acks.values())).toBeLessThan(log.size())
    const leaves = await Promise.all(Array.from({ length: log.size() }, async (_, i) => fromUtf8(await log.entry(i))))
    expect(new Set(leaves).size).toBe(log.size())
    for (const [number, index] of acks) expect(leaves[index]).toBe(`entry ${number}`)
    const trust = { logVkeys: [logVkey], policy: quorumPolicy }
    for (const [number, index] of [...acks].filter((_, i) => i % 50 === 0)) {
      const leaf = utf8(`entry ${number}`)
      expect(await verifyTlogProof(await log.proof(index), leaf, trust)).toMatchObject({ index })
      expect((await log.append(leaf)).index).toBe(index)
    }
    expect((await log.append(utf8('one more'))).index).toBe(leaves.length)
  })
})
