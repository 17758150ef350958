import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { acceptApproval } from '#keybroker/approvals/settle.js'
import { acceptStatement } from '#keybroker/changes.js'
import { createKekFile, openKekFile } from '#keybroker/kek/file.js'
import { type KekRing, kekRing } from '#keybroker/kek/ring.js'
import { qualify } from '#keybroker/qualify.js'
import { type RotationOptions, rotateKeks } from '#keybroker/service/rotate.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { approve, person, proposeChange, setBody } from './approvals-world.js'
import { ask, change, gist, type Registered, registered, request, sign, testNode } from './fixtures.js'
import { errorOf, guest, pathOf } from './kbs/fixtures.js'

/* Under which key-encryption keys an owner's model keys may be kept (TRUST 12): each refusal by the way that raises it. */

const { open } = anyDatabase()
const nobodys = toBase64Url(randomBytes(16))
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-approved-keks-'))
})
afterAll(() => rm(folder, { recursive: true }))

const outcomeOf = async (chain: Registered) => gist(await ask(chain, await testNode(chain)))
const rotation = ({ test: { broker, database } }: Registered, kek: KekRing, dryRun = false): RotationOptions => {
  const { clock, callerSecret } = broker
  return { database, kek, clock, callerSecret, dryRun }
}

describe('an owner who names key-encryption keys', () => {
  test('gets nothing out of a key that is kept under another: on no route, and a node is told so beforehand', async () => {
    const chain = await registered(await open(), { registration: { delivery: ['v1', 'kbs'] } })
    const { broker } = chain.test
    await change(chain, 'kek', { keys: [broker.kek.keyId] })
    expect(await outcomeOf(chain)).toBe('granted')
    await change(chain, 'kek', { keys: [nobodys] })
    expect(await codeOfPromise(outcomeOf(chain))).toBe('broker/kek')
    const question = await request(chain, await testNode(chain), { binding: { purpose: 'claviger.qualify.v1' } })
    expect(await codeOfPromise(qualify(broker, question, 'host'))).toBe('broker/kek')
    const { get } = await guest(chain)
    const answer = await get(pathOf(chain))
    expect(answer.status).toBe(503)
    expect((await errorOf(answer)).code).toBe('broker/kek')
    await change(chain, 'kek', { keys: [nobodys, broker.kek.keyId] })
    expect(await outcomeOf(chain)).toBe('granted')
    await chain.test.close()
  })

  test('keeps a broker from rotating to a key that is not among them, and lets it once it is', async () => {
    const lease = { seconds: 300, budget: budgetOf(100), nodes: 9 }
    const chain = await registered(await open(), { registration: { lease } })
    const { broker } = chain.test
    const old = broker.kek as KekRing
    await createKekFile(join(folder, 'next'))
    const next = await openKekFile(join(folder, 'next'))
    const ring = await kekRing(next, [old])
    await change(chain, 'kek', { keys: [old.keyId] })
    for (const dryRun of [true, false])
      expect(await codeOfPromise(rotateKeks(rotation(chain, ring, dryRun)))).toBe('kek/not-approved')
    expect(await outcomeOf(chain)).toBe('granted')
    await change(chain, 'kek', { keys: [old.keyId, next.keyId] })
    expect(await rotateKeks(rotation(chain, ring))).toMatchObject({ rewrapped: 1, finished: true })
    const rotated = { ...chain, test: { ...chain.test, broker: { ...broker, kek: ring } } }
    expect(await outcomeOf(rotated)).toBe('granted')
    await change(chain, 'kek', { keys: [old.keyId] })
    expect(await codeOfPromise(outcomeOf(rotated))).toBe('broker/kek')
    await chain.test.close()
  })

  test('is not asked for by a broker whose owners name none', async () => {
    const chain = await registered(await open())
    await createKekFile(join(folder, 'free'))
    const ring = await kekRing(await openKekFile(join(folder, 'free')), [chain.test.broker.kek as KekRing])
    expect(await rotateKeks(rotation(chain, ring))).toMatchObject({ rewrapped: 1, finished: true })
    await chain.test.close()
  })
})

describe('who has to agree to another key', () => {
  test('nobody can be named for that before some key is named', async () => {
    const chain = await registered(await open())
    const people = [await person('ada'), await person('bo')] as const
    const set = () =>
      sign(chain.owner, 'approvers', setBody(people, chain, { actions: ['kek', 'approvers'] }), { keepHead: true })
    const attempt = async () => codeOfPromise(acceptStatement(chain.test.broker, 'approvers', await set()))
    expect(await attempt()).toBe('approvals/kek')
    await change(chain, 'kek', { keys: [chain.test.broker.kek.keyId] })
    expect(await attempt()).toBe('ok')
    await chain.test.close()
  })

  test('one more key waits for those who are named, and one key fewer does not', async () => {
    const chain = await registered(await open())
    const { broker } = chain.test
    const own = broker.kek.keyId
    const people = [await person('ada'), await person('bo')] as const
    await change(chain, 'kek', { keys: [nobodys, own] })
    await change(chain, 'approvers', setBody(people, chain, { actions: ['kek', 'approvers'] }))
    const [fewer] = await change(chain, 'kek', { keys: [nobodys] })
    expect(fewer?.pending).toBe(undefined)
    expect(await codeOfPromise(outcomeOf(chain))).toBe('broker/kek')
    const proposed = await proposeChange(chain, 'kek', { keys: [nobodys, own] })
    expect(await codeOfPromise(outcomeOf(chain))).toBe('broker/kek')
    const [ada, bo] = people
    expect(await acceptApproval(broker, await approve(chain, proposed, ada))).toEqual({ inForce: false })
    expect(await codeOfPromise(outcomeOf(chain))).toBe('broker/kek')
    expect(await acceptApproval(broker, await approve(chain, proposed, bo))).toEqual({ inForce: true })
    expect(await outcomeOf(chain)).toBe('granted')
    await chain.test.close()
  })
})
