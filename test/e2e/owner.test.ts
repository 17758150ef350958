import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as caller from '#cli/caller.js'
import { chainPlaces } from '#cli/chain.js'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import * as lease from '#cli/lease.js'
import type { OwnerArguments } from '#cli/owner.js'
import { runSet } from '#cli/policy/set.js'
import { runShow } from '#cli/policy/show.js'
import * as revocation from '#cli/revoke.js'
import * as tenant from '#cli/tenant.js'
import { loadTrust } from '#cli/trust-store.js'
import * as usage from '#cli/usage.js'
import { NodeClient } from '#client/node-client.js'
import { createOwnerKeys } from '#convert/keys/owner-keys.js'
import { libraryPolicy } from '#policies/library/read.js'
import { inferRequest, type TestChain, type TestIo, testChain, testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { isAlive, until } from '#test/invariants/fixtures.js'
import { oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
let args: OwnerArguments & { readonly json: true }
beforeAll(async () => {
  // Signs of life last as long as a short lease: what is revoked ends within seconds.
  one = await testChain({ leaseSeconds: 20 })
  const { keys, trust } = chainPlaces(one.options.folder)
  args = { broker: one.chain.stack.url, keys, trust, json: true }
}, 120_000)
afterAll(async () => one?.chain.close())

/** What a command printed as JSON, once it ended with 0. */
async function said(run: (io: TestIo) => Promise<number>) {
  const io = testIo()
  expect(await run(io), io.err()).toBe(0)
  return JSON.parse(io.out())
}

const callAt = async (url: string, credential: string | null) => {
  const { trust } = await loadTrust(args.trust, testIo().now())
  const policy = clientPolicy({ model: one.chain.model, dangerousAllowSimulated: true }, trust)
  const client = new NodeClient(nodeClientOptions(url, trust, policy, credential, testIo()))
  return (await client.request(inferRequest(one.width))).status
}

/** What a node of now is granted. */
async function oneMoreLease() {
  const node = await oneMoreNode(one)
  const { grant } = node.session
  await node.close()
  return grant
}

describe('an owner of a model that runs', () => {
  test('sees what the broker has, in words and as JSON', async () => {
    const shown = await said((io) => tenant.runShow(args, io))
    expect(shown).toMatchObject({ class: 'development', broker: { standing: 'UNATTESTED BROKER' } })
    expect(shown.models).toMatchObject([
      { version: 1, delivery: ['v1'], callers: 'any', revoked: [], leases: 1, policy: { name: 'eu-development' } },
    ])
    const io = testIo()
    expect(await tenant.runShow({ ...args, json: undefined } as OwnerArguments, io)).toBe(0)
    expect(io.out()).toContain('model    matmul v1')
    expect(io.out()).toContain('NOT HARDWARE')
    const { leases } = await said((out) => lease.runList({ ...args, model: 'matmul' }, out))
    expect(leases).toMatchObject([{ id: one.chain.node.session.grant.lease.id, version: 1 }])
    expect((await said((out) => lease.runList({ ...args, model: 'other' }, out))).leases).toEqual([])
    expect((await said((out) => lease.runList({ ...args, operator: 'Nobody AG' }, out))).leases).toEqual([])
    const [counted] = (await said((out) => usage.runUsage({ ...args, model: 'matmul' }, out))).usage
    expect(counted).toMatchObject({ version: 1, allowance: null, left: null, silent: 0 })
    expect(counted.counted).toBe(counted.outstanding + counted.used)
    expect(counted.leases).toMatchObject([{ id: leases[0].id, state: 'runs' }])
    const printed = testIo()
    expect(await usage.runUsage({ ...args, json: undefined } as OwnerArguments, printed)).toBe(0)
    expect(printed.out()).toMatch(/matmul v1: \d+ inferences counted of any number/)
  })

  test('sets another policy: a dry run changes nothing, the same again says nothing new', async () => {
    const set = (more: Partial<typeof args> & { dryRun?: boolean } = {}) =>
      said((io) => runSet('development', { ...args, model: 'acme/matmul', ...more }, io))
    expect(await set({ dryRun: true })).toMatchObject({ sequence: 2, isNew: true, dryRun: true, entry: null })
    const first = await set()
    expect(first).toMatchObject({ sequence: 2, isNew: true, dryRun: false })
    expect(first.entry).toBeGreaterThan(0)
    expect(await set()).toMatchObject({ sequence: 2, isNew: false, entry: null })
    const [model] = (await said((io) => tenant.runShow(args, io))).models
    expect(model.policy).toMatchObject({ name: 'development', sequence: 2, digest: expect.any(String) })
    const shown = await said((io) => runShow({ ...args, model: 'matmul' }, io))
    const { policy } = (await oneMoreLease()).lease
    expect(shown).toMatchObject({ name: policy.name, version: policy.sequence, digest: policy.digest, modelVersion: 1 })
    expect(shown.signedBy).toBe(shown.model.slice(0, 43))
    expect(shown.statement).toMatchObject({ sequence: 2, digest: expect.stringMatching(/^[0-9a-f]{64}$/) })
    const words = testIo()
    expect(await runShow({ ...args, model: 'matmul', json: undefined } as never, words)).toBe(0)
    expect(words.out()).toBe(libraryPolicy('development').text)
    expect(words.err()).toContain(
      `policy     development v2 of matmul (model v1)\ndigest     sha256 ${policy.digest}\n`,
    )
    const to = (model: string) => codeOfPromise(runSet('development', { ...args, model }, testIo()))
    expect(await to('other')).toBe('owner/model')
    expect(await to(`${'A'.repeat(43)}/matmul`)).toBe('owner/model')
    expect(await to('nobody/matmul')).toBe('usage/model')
  })

  test('lists callers, who alone are answered from then on, until they are taken off', async () => {
    const model = { ...args, model: 'matmul' }
    const out = join(one.folder, 'shop.credential')
    const add = (more: { close?: boolean; dryRun?: boolean; out?: string } = {}) =>
      said((io) => caller.runAdd('shop', { ...model, out, days: 30, ...more }, io))
    expect(await said((io) => caller.runList(model, io))).toEqual({ callers: 'any' })
    expect(await codeOfPromise(add())).toBe('caller/open')
    expect(await add({ close: true, dryRun: true })).toMatchObject({ dryRun: true, credential: null })
    expect(await stat(out).catch(() => null)).toBeNull()
    expect(await add({ close: true })).toMatchObject({ kind: 'registration', caller: 'shop', credential: out })
    expect((await stat(out)).mode & 0o777).toBe(0o600)
    expect(await codeOfPromise(add())).toBe('file/exists')
    expect(await codeOfPromise(add({ out: join(one.folder, 'shop-again.credential') }))).toBe('caller/exists')
    expect((await said((io) => caller.runList(model, io))).callers).toMatchObject([{ id: 'shop' }])

    const credential = (await readFile(out, 'utf8')).trim()
    const node = await oneMoreNode(one)
    try {
      expect(await callAt(node.url, credential)).toBe(200)
      expect(await callAt(node.url, null)).toBe(401)
      expect(await callAt(node.url, 'A'.repeat(43))).toBe(401)
      expect(await said((io) => caller.runRevoke('shop', model, io))).toMatchObject({ left: 0, dryRun: false })
      expect(await codeOfPromise(caller.runRevoke('shop', model, testIo()))).toBe('caller/unknown')
      const { index } = node.session.grant
      while (node.session.grant.index === index) await new Promise((resolve) => setTimeout(resolve, 100))
      expect(await callAt(node.url, credential)).toBe(401)
    } finally {
      await node.close()
    }
  })

  test('takes a lease back: the node unloads, and its engine is gone', async () => {
    const { node } = one.chain
    const { id } = node.session.grant.lease
    const revoke = (value: string, more: Partial<revocation.RevokeArguments> = {}) =>
      revocation.runRevoke(value, { ...args, kind: 'lease', reason: 'left the project', ...more }, testIo())
    expect(await codeOfPromise(revoke('0'.repeat(32)))).toBe('lease/unknown')
    expect(await codeOfPromise(revoke('x'))).toBe('lease/value')
    expect(await codeOfPromise(revoke('00'.repeat(48), { kind: 'measurement' }))).toBe('lease/model')
    expect(await revoke(id, { dryRun: true })).toBe(0)
    expect((await said((io) => lease.runList(args, io))).leases.map((each: { id: string }) => each.id)).toContain(id)
    expect(isAlive(node.enginePid)).toBe(true)
    // A machine that is taken back has had what it had: the owner reads which versions.
    const [{ machine }] = (await said((io) => lease.runList(args, io))).leases
    const chip = {
      ...args,
      kind: 'lease',
      chip: machine.platformId,
      allModels: true,
      dryRun: true,
      reason: 'sold',
    } as const
    const { lost } = await said((io) => revocation.runRevoke(undefined, chip, io))
    expect(lost).toMatchObject([{ platform: machine.platformId, version: 1, hidden: false }])
    const words = testIo()
    await revocation.runRevoke(undefined, { ...chip, json: undefined }, words)
    expect(words.out()).toMatch(/ {2}lost if chip [0-9a-f]{16}… is broken: matmul v1, last \d{4}-/)

    expect(await revoke(id)).toBe(0)
    expect((await said((io) => lease.runList(args, io))).leases.map((each: { id: string }) => each.id)).not.toContain(
      id,
    )
    const reason = await node.ended
    expect(reason.code).toMatch(/^(broker\/denied|lease\/.+)$/)
    await until(() => !isAlive(node.enginePid))
    expect(isAlive(node.enginePid)).toBe(false)
    await expect(fetch(new URL('/v2/health/ready', node.url))).rejects.toThrow()
    const [model] = (await said((io) => tenant.runShow(args, io))).models
    expect(model.revoked).toEqual([{ kind: 'lease', value: id }])
  })

  test('is told when the broker does not know it, or is not the one of its trust file', async () => {
    const keys = join(one.folder, 'stranger')
    await createOwnerKeys(keys, 'stranger')
    expect(await codeOfPromise(tenant.runShow({ ...args, keys }, testIo()))).toBe('owner/tenant')
    const other = await testChain({ leaseSeconds: 20 })
    try {
      const broker = other.chain.stack.url
      expect(await codeOfPromise(tenant.runShow({ ...args, broker }, testIo()))).toBe('owner/broker')
    } finally {
      await other.chain.close()
    }
  })
})
