/**
 * I1: no plaintext weights outside the attested runtime's memory, and neither weights nor key anywhere after unload.
 *
 * Here: the whole chain as `npm start` opens it, in its first life, where the owner's own steps run beside the services. Each
 * process by itself: i01-apart.test.ts. As an ordinary user: i01-closed.test.ts. Further attacks:
 * test/runtime/engine/memory.test.ts (both kinds of weights, inspector, inherited descriptors, orphans),
 * test/runtime/engine/unseal.test.ts (buffers overwritten), test/convert/sealer.test.ts (a killed seal),
 * test/keybroker/kek (keys at rest).
 */
import { readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { chainPlaces } from '#cli/chain.js'
import { servicePlaces } from '#cli/service-state.js'
import { ownerKeyFiles } from '#convert/keys/owner-keys.js'
import { inferRequest } from '#test/e2e/fixtures.js'
import { type Needles, namelessFilesOf, scanFiles, scanMemory } from '#test/fakes/scan.js'
import {
  type ChainProcess,
  clientOf,
  familyOf,
  isAlive,
  openOwner,
  prepareChain,
  spawnChain,
  until,
} from '#test/invariants/fixtures.js'
import { brokerSecrets, namesOf, ownerSecrets, talkOf } from '#test/invariants/needles.js'

const cleanups: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

/** Database clusters of other tests come and go here. */
const sharedMemory = () => readdirSync('/dev/shm').filter((name) => !name.startsWith('PostgreSQL.'))
const memoryFiles = (pid: number) => namelessFilesOf(pid).filter((one) => / \/(memfd:|dev\/shm\/)/.test(one))

let prepared: Awaited<ReturnType<typeof prepareChain>>
let chain: ChainProcess
let shmBefore: readonly string[]
beforeAll(async () => {
  shmBefore = sharedMemory()
  prepared = await prepareChain({ leaseSeconds: 24, dangerousAllowInspection: true })
  cleanups.push(() => rm(prepared.folder, { recursive: true, force: true }))
  // Keys, seal and registration happen now, by the owner's commands in processes of their own.
  chain = await spawnChain(prepared.folder, prepared.options)
  cleanups.push(() => chain.service.kill())
})

/** The folder of the chain, and what the test itself put beside it: the plain model, and the options. */
const written = () => readdirSync(prepared.folder).filter((name) => name !== 'model')

test('in its first life: weights in the engine alone, keys of the broker in its process alone, all else nowhere; once the lease is revoked, no weights anywhere', async () => {
  const { folder } = prepared.options
  const at = chainPlaces(folder)
  const secrets = await ownerSecrets(at.keys, at.sealed)
  const broker = await brokerSecrets(at.services)
  const weights: Needles = { weights: prepared.canary }
  const parent = chain.service.pid
  const { enginePid, witnessPid } = chain.at
  const family = familyOf(parent)
  // No process of the owner lives any more: what it held went with it.
  expect([...family].sort()).toEqual([parent, enginePid, witnessPid].sort())

  const { client } = await clientOf(chain.at)
  const { document } = await client.node()
  expect(document.weakenings).toContain('engine memory can be inspected')
  expect(document.config.dangerousAllowInspection).toBe(true)
  const row = Float32Array.from({ length: prepared.width }, (_, i) => Math.fround(Math.sin(i * 1.7) * 0.37))
  const request = inferRequest(prepared.width, row)
  const answer = await client.request(request)
  expect(answer.status).toBe(200)
  const talk = talkOf(row, request.body, answer.body)

  // The controls: what must be there is found, and each needle is one that a scan finds where this process holds it.
  const all: Needles = { ...weights, ...secrets.model, ...secrets.owner, ...broker }
  expect(namesOf(scanMemory([process.pid], { ...all, ...talk }))).toEqual(
    expect.arrayContaining(Object.keys({ ...all, ...talk }).map((name) => `${name} raw`)),
  )
  expect(namesOf(scanMemory([enginePid], all))).toEqual(['weights raw'])
  // Broker and node's parent are one process here. Its own keys are there, raw; of the owner's nothing ever was.
  expect(namesOf(scanMemory([parent], all))).toEqual([
    'caller secret raw',
    'hybrid wrapping key raw',
    'kek raw',
    'wrapping key raw',
  ])
  expect(scanMemory([parent], { kek: broker.kek! }).map(({ count }) => count)).toEqual([1])
  expect(scanMemory([witnessPid], { ...all, ...talk })).toEqual([])

  const owner = await openOwner(folder, chain.at.brokerUrl)
  const said = await owner.say('revocation', {
    model: owner.model,
    revoked: [{ kind: 'version', value: '1' }],
    reason: 'licence ended',
  })
  expect(said.status).toBe(200)
  expect(await chain.line('node ended')).toContain('broker/denied')
  await until(() => !isAlive(enginePid))
  expect(isAlive(enginePid)).toBe(false)

  const left = familyOf(parent)
  expect(left).toEqual(expect.arrayContaining([parent, witnessPid]))
  expect(scanMemory(left, { ...weights, ...secrets.model, ...secrets.owner })).toEqual([])
  expect(sharedMemory().filter((name) => !shmBefore.includes(name))).toEqual([])
  expect(left.flatMap(memoryFiles)).toEqual([])

  // Everything that was written: the database, the log, temporary files (TMPDIR is in this folder), deleted ones that are open.
  const places = written().map((name) => `${prepared.folder}/${name}`)
  const deleted = left.flatMap((pid) => namelessFilesOf(pid).map((one) => `/proc/${pid}/fd/${one.split(' ')[0]}`))
  const found = scanFiles([...places, ...deleted], { ...all, ...talk })
  const keyFile = (needle: string, path: string) => ({ needle, where: path, count: 1 })
  const own = servicePlaces(at.services).broker
  expect([...found].sort((a, b) => a.where.localeCompare(b.where))).toEqual(
    [
      // Each key stands in its own file, of mode 0600, and nowhere else. PEM breaks the signing key's base64 into lines.
      keyFile('recovery identity raw', `${at.keys}/${ownerKeyFiles.recoveryIdentity}`),
      keyFile('store identity raw', `${at.keys}/${ownerKeyFiles.storeIdentity}`),
      keyFile('caller secret raw', `${own}/caller-secret.key`),
      keyFile('kek raw', `${own}/kek.key`),
      keyFile('wrapping key raw', `${own}/wrapping.key`),
      keyFile('hybrid wrapping key raw', `${own}/wrapping-hybrid.key`),
    ].sort((a, b) => a.where.localeCompare(b.where)),
  )
}, 120_000)
