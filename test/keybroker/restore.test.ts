import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openDatabase } from '#host/database.js'
import { HeadMemory } from '#keybroker/heads.js'
import { verifyNotBehind } from '#keybroker/rollback.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { outside } from '#test/fakes/outside.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { ask, change, gist, granted, type Registered, registered, testNode } from './fixtures.js'

const binaries = outside('postgres')
const postgres = databasesUnderTest().find((one) => one.name === 'postgres')
const isOwn = binaries !== undefined && process.env.CLAVIGER_TEST_DATABASE_URL === undefined
const closed = { name: 'none', language: 'cedar', text: '@id("never") forbid (principal, action, resource);' } as const

const folders: string[] = []
afterEach(() => {
  for (const one of folders.splice(0)) rmSync(one, { recursive: true })
})

/** As docs/services.md has it. */
function dump(url: string): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-dump-'))
  folders.push(folder)
  const file = join(folder, 'claviger.dump')
  const run = (name: string, ...args: string[]) => execFileSync(join(binaries!, name), args, { stdio: 'pipe' })
  run('pg_dump', '--format=custom', '--file', file, url)
  return () => void run('pg_restore', '--clean', '--if-exists', '--dbname', url, file)
}

/** A broker that starts over the database at this URL: nothing in memory, the log opened anew. */
async function started(chain: Registered, url: string) {
  const database = await openDatabase({ url })
  const log = await chain.test.testLog.open(database)
  const broker = { ...chain.test.broker, store: brokerStore(database), log, heads: new HeadMemory() }
  await verifyNotBehind(broker, log)
  const close = async () => {
    await log.close()
    await database.close()
  }
  return { chain: { ...chain, test: { ...chain.test, database, log, broker } } as Registered, close }
}

test.skipIf(!isOwn)('a backup of now is taken up where it was left', async () => {
  const { database, url } = await postgres!.openWithUrl!()
  const chain = await registered(database)
  const node = await testNode(chain)
  const requestId = 'ab'.repeat(16)
  granted(await ask(chain, node, { requestId }))
  const restore = dump(url)
  await chain.test.close()
  restore()
  const again = await started(chain, url)
  granted(await ask(again.chain, node, { requestId }))
  await again.close()
})

test.skipIf(!isOwn)('an older backup, log and all, is not started from: witnesses have seen more', async () => {
  const { database, url } = await postgres!.openWithUrl!()
  const chain = await registered(database)
  const node = await testNode(chain)
  const restore = dump(url)
  await change(chain, 'policy', closed)
  expect(gist(await ask(chain, node))).toContain('never')
  await chain.test.close()
  restore()
  expect(await codeOfPromise(started(chain, url))).toBe('log/rollback')
})

test.skipIf(!isOwn)('an older backup that is restored under a running broker ends its releases', async () => {
  const { database, url } = await postgres!.openWithUrl!()
  const chain = await registered(database)
  const node = await testNode(chain)
  const restore = dump(url)
  await change(chain, 'policy', closed)
  expect(gist(await ask(chain, node))).toContain('never')
  restore()
  // The owner's refusal is gone. What this broker has seen is not.
  expect(await codeOfPromise(ask(chain, node))).toBe('broker/record')
  // One that has seen nothing is told by the log, before a key leaves.
  const broker = { ...chain.test.broker, heads: new HeadMemory() }
  expect(await codeOfPromise(ask({ ...chain, test: { ...chain.test, broker } }, node))).toBe('log/rollback')
  await chain.test.log.close() // nobody can audit it: its log went back too
})
