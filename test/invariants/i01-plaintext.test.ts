/**
 * I1: no plaintext weights outside the attested runtime's memory, and neither weights nor key anywhere after unload.
 *
 * Further attacks: test/runtime/engine/memory.test.ts (both kinds of weights, inspector, inherited descriptors, orphans),
 * test/runtime/engine/unseal.test.ts (buffers overwritten), test/convert/sealer.test.ts (a killed seal),
 * test/keybroker/kek (keys at rest).
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
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

const cleanups: (() => unknown)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
})

/** Whether a process of that user may read the memory of another: `read`, or the error's code. */
function readAs(uid: number, pid: number): string {
  const script = `const fs=require('fs');try{const l=fs.readFileSync('/proc/${pid}/maps','utf8').split('\\n')[0];
    const fd=fs.openSync('/proc/${pid}/mem','r');
    console.log(fs.readSync(fd,Buffer.alloc(16),0,16,parseInt(l,16))===16?'read':'short')}catch(e){console.log(e.code)}`
  return spawnSync(process.execPath, ['-e', script], { uid, gid: uid, encoding: 'utf8', env: {} }).stdout.trim()
}

/** Database clusters of other tests come and go here. */
const sharedMemory = () => readdirSync('/dev/shm').filter((name) => !name.startsWith('PostgreSQL.'))
const memoryFiles = (pid: number) => namelessFilesOf(pid).filter((one) => / \/(memfd:|dev\/shm\/)/.test(one))

let prepared: Awaited<ReturnType<typeof prepareChain>>
let atHome: ChainProcess
beforeAll(async () => {
  prepared = await prepareChain({ leaseSeconds: 24 })
  cleanups.push(() => rm(prepared.folder, { recursive: true, force: true }))
  atHome = await spawnChain(prepared.folder, prepared.options)
  cleanups.push(() => atHome.service.kill())
})

describe('a chain as it starts by itself', () => {
  test('no ordinary user opens the memory of the engine, no core file is written, no weakening is shown', async (context) => {
    const { client } = await clientOf(atHome.at)
    const { document } = await client.node()
    expect(document.weakenings).not.toContain('engine memory can be inspected')
    expect(document.config.dangerousAllowInspection).toBe(false)
    expect(readFileSync(`/proc/${atHome.at.enginePid}/limits`, 'utf8')).toMatch(/^Max core file size +0 +0 /m)
    const uid = process.getuid?.() === 0 ? 65_534 : process.getuid!()
    const control = spawnSync(process.execPath, ['-e', 'console.log(process.getuid())'], { uid, encoding: 'utf8' })
    if (control.stdout.trim() !== String(uid)) context.skip('no process of an ordinary user can be started here')
    expect(readAs(uid, atHome.at.enginePid)).toMatch(/^E(ACCES|PERM)$/)
  })
})

describe('a chain whose memory may be inspected', () => {
  let chain: ChainProcess
  let shmBefore: readonly string[]
  beforeAll(async () => {
    // The owner sealed and registered in the first life of the process, whose memory held the plain model: at home.
    await atHome.service.stop()
    shmBefore = sharedMemory()
    chain = await spawnChain(prepared.folder, { ...prepared.options, dangerousAllowInspection: true })
    cleanups.push(() => chain.service.kill())
  })

  test('shows the weights in the engine while loaded; nothing of weights or key anywhere once the lease is revoked', async () => {
    const owner = await openOwner(prepared.options.folder, chain.at.brokerUrl)
    const weights: Needles = { weights: prepared.canary }
    const dek: Needles = { dek: await owner.dek() }
    const parent = chain.service.pid
    const family = familyOf(parent)
    expect(family).toEqual(expect.arrayContaining([parent, chain.at.enginePid, chain.at.witnessPid]))

    const { client } = await clientOf(chain.at)
    const { document } = await client.node()
    expect(document.weakenings).toContain('engine memory can be inspected')
    expect(document.config.dangerousAllowInspection).toBe(true)
    const prompt = 0.123_456_79
    expect((await client.request(inferRequest(prepared.width, prompt))).status).toBe(200)

    // The control: what must be there is found, in the engine and in no other process.
    expect(scanMemory([chain.at.enginePid], weights)).not.toEqual([])
    expect(
      scanMemory(
        family.filter((pid) => pid !== chain.at.enginePid),
        weights,
      ),
    ).toEqual([])
    expect(scanMemory(family, dek)).toEqual([])
    expect(scanMemory([process.pid], dek)).not.toEqual([])

    const said = await owner.say('revocation', {
      model: owner.model,
      revoked: [{ kind: 'version', value: '1' }],
      reason: 'licence ended',
    })
    expect(said.status).toBe(200)
    expect(await chain.line('node ended')).toContain('broker/denied')
    await until(() => !isAlive(chain.at.enginePid))
    expect(isAlive(chain.at.enginePid)).toBe(false)

    const left = familyOf(parent)
    expect(left).toEqual(expect.arrayContaining([parent, chain.at.witnessPid]))
    const all: Needles = {
      ...weights,
      ...dek,
      prompt: new Uint8Array(Float32Array.from({ length: 16 }, () => prompt).buffer),
    }
    expect(scanMemory(left, { ...weights, ...dek })).toEqual([])
    // TMPDIR of the chain is in this folder too; the plain model beside it is the owner's.
    const written = readdirSync(prepared.folder).filter((name) => name !== 'model')
    expect(
      scanFiles(
        written.map((name) => `${prepared.folder}/${name}`),
        all,
      ),
    ).toEqual([])
    expect(sharedMemory().filter((name) => !shmBefore.includes(name))).toEqual([])
    expect(left.flatMap(memoryFiles)).toEqual([])
  }, 120_000)
})
