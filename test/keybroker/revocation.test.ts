/** What an owner takes back, by each thing that a node and its lease are named by. */
import { describe, expect, test } from 'vitest'
import { toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { thumbprint } from '#core/crypto/jwk.js'
import type { LeasesAnswer } from '#core/wire/owner-query.js'
import { isRevokedForm, type RevokedKind, revokedKinds } from '#core/wire/revoked.js'
import { payloadDigest } from '#core/wire/statements.js'
import { beat } from '#keybroker/beat.js'
import { leases } from '#keybroker/queries.js'
import { type Revocable, revocationRefusals } from '#policies/release/revocation.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { fakeGpu, fakeMachines, machineKinds } from '#test/fakes/machines.js'
import { anyDatabase, databasesUnderTest } from '#test/fakes/postgres.js'
import { ask, change, gist, granted, type Registered, registered, type TestNode, testNode } from './fixtures.js'
import { chainFor } from './served.js'

const leaseOf = (answer: { lease: { payload: string } }) =>
  (JSON.parse(atob(answer.lease.payload)) as { id: string }).id
const live = async ({ test: made, owner }: Registered) => (await leases(made.broker, owner.id)).leases
const beatOf = (chain: Registered, lease: string) =>
  codeOfPromise(beat(chain.test.broker, { lease, nonce: toBase64Url(randomBytes(32)) }))

/** Taken back, the lease is over, its renewal and every new release are denied with the code, and nothing runs. */
async function takesBack(chain: Registered, node: TestNode, kind: RevokedKind, value: string, code: string) {
  const lease = leaseOf(granted(await ask(chain, node)))
  expect((await live(chain)).map((one) => one.id)).toContain(lease)
  await change(chain, 'revocation', { revoked: [{ kind, value }], reason: 'taken back' })
  expect(await beatOf(chain, lease)).toBe('broker/lease-over')
  expect(gist(await ask(chain, node)).split(' ')).toContain(code)
  expect(gist(await ask(chain, node, { lease })).split(' ')).toContain(code)
  expect((await live(chain)).map((one) => one.id)).not.toContain(lease)
}

describe.each(databasesUnderTest())('an owner on $name takes back', ({ open }) => {
  test('a host by the key or the digest of its statement, an operator by its name however it is typed, a model', async () => {
    const chain = await registered(await open(), {
      registration: { lease: { seconds: 300, budget: { requests: 10, inputBytes: 10, workUnits: 10 }, nodes: 100 } },
    })
    const node = await testNode(chain, { host: { country: 'DE' } })
    const { statement, key } = node.host!
    await takesBack(chain, node, 'host', thumbprint(key), 'judge/revoked-host')
    await givesBack(chain)
    await takesBack(chain, node, 'host', payloadDigest(statement), 'judge/revoked-host')
    await givesBack(chain)
    await takesBack(chain, node, 'operator', 'EXAMPLE\u00a0 gmbh ', 'judge/revoked-operator')
    await givesBack(chain)
    await takesBack(chain, node, 'model', chain.owner.model, 'judge/revoked-model')
    await chain.test.close()
  })

  test('a host or an operator: who names none is refused, at release, renewal and beat', async () => {
    const chain = await registered(await open())
    const silent = await testNode(chain)
    const other = await testNode(chain, { host: { country: 'FR' } })
    const lease = leaseOf(granted(await ask(chain, silent)))
    const kept = leaseOf(granted(await ask(chain, other)))
    await change(chain, 'revocation', { revoked: [{ kind: 'host', value: 'A'.repeat(43) }], reason: 'sold' })
    expect(await beatOf(chain, lease)).toBe('broker/lease-over')
    expect(gist(await ask(chain, silent))).toBe('judge/hidden-host')
    expect(gist(await ask(chain, silent, { lease }))).toBe('judge/hidden-host')
    expect(gist(await ask(chain, other, { lease: kept }))).toBe('granted')
    await change(chain, 'revocation', { revoked: [{ kind: 'operator', value: 'Example AG' }], reason: 'sold' })
    expect(gist(await ask(chain, silent))).toBe('judge/hidden-operator')
    expect(await beatOf(chain, kept)).toBe('ok')
    await chain.test.close()
  })

  test('nothing that has not the form of its kind, and no model of another statement', async () => {
    const chain = await registered(await open())
    const say = (kind: RevokedKind, value: string) =>
      codeOfPromise(change(chain, 'revocation', { revoked: [{ kind, value }], reason: 'typed' }))
    for (const kind of revokedKinds) if (kind !== 'operator') expect(await say(kind, 'what?')).toBe('revoked/value')
    expect(await say('operator', ' ')).toBe('revoked/value')
    expect(await say('model', `${chain.owner.id}/other`)).toBe('revoked/model')
    await chain.test.close()
  })
})

/** What was taken back is given back. */
async function givesBack(chain: Registered) {
  await change(chain, 'revocation', { revoked: [], reason: 'given back' })
}

const { open } = anyDatabase()

describe('by what evidence says', () => {
  test('a driver and a VBIOS of a GPU, and the GPU', async () => {
    const { tdx } = fakeMachines
    const chain = await chainFor(await open(), tdx, { values: { ...tdx.values, ...fakeGpu.values } })
    const node = await testNode(chain, { platform: { attest: tdx.attest, devices: fakeGpu.devices } })
    granted(await ask(chain, node))
    const [{ machine }] = (await live(chain)) as [LeasesAnswer['leases'][number]]
    expect([machine.devices.length, machine.drivers.length, machine.vbioses.length]).toEqual([1, 1, 1])
    await change(chain, 'revocation', { revoked: [{ kind: 'device', value: machine.devices[0]! }], reason: 'stolen' })
    await givesBack(chain)
    for (const [kind, value] of [
      ['driver', machine.drivers[0]!],
      ['vbios', machine.vbioses[0]!],
    ] as const) {
      expect(isRevokedForm(kind, value)).toBe(true)
      await takesBack(chain, node, kind, value, `judge/revoked-${kind}`)
      await givesBack(chain)
    }
    await change(chain, 'revocation', { revoked: [{ kind: 'driver', value: '1.2.3' }], reason: 'another one' })
    expect(gist(await ask(chain, node))).toBe('granted')
    await chain.test.close()
  })

  test.each(machineKinds)(
    'an advisory: %s is denied under those that stand, and under those that it does not tell of',
    async (kind) => {
      const chain = await chainFor(await open(), fakeMachines[kind])
      const node = await testNode(chain, { platform: fakeMachines[kind] })
      granted(await ask(chain, node))
      const [{ machine }] = (await live(chain)) as [LeasesAnswer['leases'][number]]
      for (const value of machine.advisories) {
        expect(isRevokedForm('advisory', value)).toBe(true)
        await takesBack(chain, node, 'advisory', value, 'judge/revoked-advisory')
        await givesBack(chain)
      }
      const under = async (value: string) => {
        await change(chain, 'revocation', { revoked: [{ kind: 'advisory', value }], reason: 'a hole' })
        return gist(await ask(chain, node))
      }
      const amd = kind.endsWith('snp')
      expect(await under('INTEL-SA-99999')).toBe(kind === 'nitro' ? 'judge/hidden-advisory' : 'granted')
      expect(await under('AMD-SB-9999')).toBe(amd || kind === 'nitro' ? 'judge/hidden-advisory' : 'granted')
      await chain.test.close()
    },
  )
})

describe('the rule', () => {
  const node: Revocable = {
    model: `${'A'.repeat(43)}/m`,
    measurements: ['ab'.repeat(48)],
    platformId: '5a'.repeat(64),
    devices: [],
    drivers: [],
    vbioses: [],
    advisories: ['INTEL-SA-00615'],
    advisoriesTold: ['INTEL-SA-', 'AMD-SB-3015'],
    declared: { issuer: 'k'.repeat(43), statementDigest: '00'.repeat(32), operator: null },
    keysetDigest: '11'.repeat(32),
    version: 3,
    leaseId: '22'.repeat(16),
  }
  const under = (kind: RevokedKind, value: string, changed: Partial<Revocable> = {}) =>
    revocationRefusals({ value: { revoked: [{ kind, value }], reason: 'r' } }, { ...node, ...changed }).map(
      (one) => one.policyId,
    )

  test('knows a code for every kind, and none for what is not taken back', () => {
    const values: Readonly<Record<RevokedKind, string>> = {
      model: node.model,
      measurement: node.measurements[0]!,
      platform: node.platformId!,
      device: 'dd'.repeat(8),
      driver: '535.86.09',
      vbios: '96.00.30.00.01',
      advisory: 'INTEL-SA-00615',
      host: node.declared!.issuer,
      operator: 'Example GmbH',
      keyset: node.keysetDigest,
      version: '3',
      lease: node.leaseId!,
    }
    const declared = { ...node.declared!, operator: { legalName: 'example GMBH', country: 'DE' } }
    const has = { devices: [values.device], drivers: [values.driver], vbioses: [values.vbios], declared }
    for (const kind of revokedKinds) {
      expect(isRevokedForm(kind, values[kind]), kind).toBe(true)
      expect(under(kind, values[kind], has)).toEqual([`judge/revoked-${kind}`])
    }
    expect(revocationRefusals(null, node)).toEqual([])
  })

  test('an advisory that no vendor’s evidence could name denies everybody', () => {
    expect(under('advisory', 'CVE-2024-1')).toEqual(['judge/hidden-advisory'])
    expect(under('advisory', 'AMD-SB-3015')).toEqual([])
    expect(under('advisory', 'AMD-SB-30150')).toEqual(['judge/hidden-advisory'])
    expect(under('advisory', 'INTEL-SA-00615', { advisoriesTold: [] })).toEqual(['judge/revoked-advisory'])
  })

  test('a node without devices uses none: their drivers are nothing that it could hide', () => {
    expect(under('driver', '535.86.09')).toEqual([])
    expect(under('device', 'dd'.repeat(8))).toEqual([])
  })
})
