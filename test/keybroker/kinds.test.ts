import { describe, expect, test } from 'vitest'
import { teeText } from '#client/card.js'
import { judged } from '#client/steps.js'
import { bundleSteps, verifyBundle } from '#client/verify-bundle.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { fromBase64, toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { verifyTlogProof } from '#core/tlog/verify.js'
import { type ReleaseAnswer, type ReleaseRequest, releaseAnswerShape } from '#core/wire/release.js'
import { weakenings } from '#core/wire/runtime-config.js'
import type { Trust } from '#core/wire/trust-file.js'
import { beat } from '#keybroker/beat.js'
import { bundleAt } from '#keybroker/queries.js'
import { policyFor } from '#test/client/fixtures.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { type FakeMachine, fakeGpu, fakeMachines, machineKinds } from '#test/fakes/machines.js'
import { testReferenceValues, testTime } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { mintEvidence } from '#test/fakes/snp.js'
import {
  ask,
  change,
  gist,
  granted,
  openKey,
  permitAll,
  type Registered,
  type RegistrationOptions,
  request,
  type TestNode,
  testNode,
} from './fixtures.js'
import { type Chain, chainFor as chainOn } from './served.js'

const { open } = anyDatabase()

const chainFor = async (machine: FakeMachine, options: RegistrationOptions = {}): Promise<Chain> =>
  chainOn(await open(), machine, options)

function readersTrust({ test, owner }: Registered, machine: FakeMachine, values = machine.values): Trust {
  return {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: testTime,
    expiresAt: testTime + 1000,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker', key: test.broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [{ alias: 'verifier', key: test.verifier.publicKey }],
    logs: [test.testLog.vkey],
    witnessPolicy: test.testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [{ title: 'the runtime of the test', values }],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [...machine.simulatedRoots, ...fakeGpu.simulatedRoots],
  }
}

const asFile = (value: unknown) => parseJson(canonicalJson(value)) as Json
const leaseOf = (answer: ReleaseAnswer) => (JSON.parse(atob(answer.lease.payload)) as { id: string }).id

/** The document with which a node answers for itself. */
function nodeDocument({ owner }: Registered, asked: ReleaseRequest, answer: ReleaseAnswer): Json {
  const { leaf, openings, decision, proof, lease, beat, ear } = answer
  const { binding, evidence, keyset, config, host } = asked
  return asFile({
    type: 'claviger/node/v1',
    keyset,
    config,
    trust: owner.heads.get('trust')!.envelope,
    release: { binding, evidence },
    ...{ ear, leaf, openings, decision, proof, lease, beat, host },
    fresh: null,
    budgetLeft: budgetOf(100),
    weakenings: weakenings(config),
  })
}

async function post(chain: Chain, node: TestNode, lease?: string) {
  const asked = await request(chain, node, lease === undefined ? {} : { lease })
  const answer = await chain.call('POST', lease === undefined ? '/v1/releases' : '/v1/renewals', asked)
  if (answer.status !== 200) throw new Error(JSON.stringify(answer))
  return { asked, answer: releaseAnswerShape(answer.body, '') }
}

async function codeOfBundle(chain: Chain, machine: FakeMachine, entry: number): Promise<string> {
  const bundle = await bundleAt(chain.test.broker, entry, chain.owner.id)
  const verdict = await judged(bundleSteps, (steps) =>
    verifyBundle(asFile(bundle), readersTrust(chain, machine), steps),
  )
  return verdict.ok ? 'ok' : `${verdict.failure.code} ${verdict.failure.message}`
}

async function nodeVerdict(chain: Chain, document: Json, trust: Trust) {
  const input = { trust, policy: policyFor(chain.owner.model), nonce: null, at: testTime }
  return judged(nodeSteps, (steps) => verifyNode(document, input, steps))
}

describe.each(machineKinds)('a node on a simulated machine of kind %s', (kind) => {
  const machine = fakeMachines[kind]

  test('gets a key over HTTP, renews, is verified by a client, and its decisions are made again offline', async () => {
    const policy = `@id("this-kind") permit (principal, action, resource) when { context.evidence.kind == "${kind}" };`
    const chain = await chainFor(machine, { policy })
    const { broker, testLog } = chain.test
    const node = await testNode(chain, { platform: machine })
    const { asked, answer } = await post(chain, node)
    expect(await openKey(chain.owner, node, answer)).toEqual(chain.owner.dek)
    const { index } = await verifyTlogProof(answer.proof, fromBase64(answer.leaf), testLog.trust)
    const renewed = await post(chain, node, leaseOf(answer))
    expect(leaseOf(renewed.answer)).toBe(leaseOf(answer))
    await beat(broker, { lease: leaseOf(answer), nonce: toBase64Url(randomBytes(32)) })
    expect(await codeOfBundle(chain, machine, index)).toBe('ok')
    expect(await codeOfBundle(chain, machine, index + 1)).toBe('ok')
    const verdict = await nodeVerdict(chain, nodeDocument(chain, asked, answer), readersTrust(chain, machine))
    if (!verdict.ok) throw verdict.failure
    expect(verdict.value).toMatchObject({ platform: 'simulated', result: { kind } })
    const name = teeText(verdict.value.document.release.evidence, verdict.value.platform)
    expect(name).toBe(`SIMULATED ${machine.title} (NOT HARDWARE)`)
    // A reader who accepts runtimes of some other kind alone does not accept this one.
    const other = fakeMachines[kind === 'nitro' ? 'cca' : 'nitro']
    const refused = await nodeVerdict(
      chain,
      nodeDocument(chain, asked, answer),
      readersTrust(chain, machine, other.values),
    )
    expect(refused.ok ? 'ok' : refused.failure.code).toBe('client/evidence')
    await chain.test.close()
  })

  test('is named by its machine, its software and its keys, whatever the owner takes back', async () => {
    const chain = await chainFor(machine)
    const node = await testNode(chain, { platform: machine })
    const lease = leaseOf(granted(await ask(chain, node)))
    const facts = await factsOf(chain)
    expect(facts.kind).toBe(kind)
    expect(facts.platformId ?? null).toBe(machine.platformId)
    const registers = [facts.measurement, ...(machine.register === null ? [] : [machine.register])]
    expect(facts.measurements).toEqual(expect.arrayContaining(registers))
    for (const value of registers) {
      await change(chain, 'revocation', { revoked: [{ kind: 'measurement', value }], reason: 'lost' })
      expect(gist(await ask(chain, node))).toBe('judge/revoked-measurement')
      expect(await codeOfPromise(beat(chain.test.broker, { lease, nonce: toBase64Url(randomBytes(32)) }))).toBe(
        'broker/lease-over',
      )
    }
    const value = machine.platformId ?? 'ff'.repeat(16)
    await change(chain, 'revocation', { revoked: [{ kind: 'platform', value }], reason: 'lost' })
    // Who does not say which machine it runs on may run on the one that was taken back.
    expect(gist(await ask(chain, node))).toBe(
      machine.platformId === null ? 'judge/hidden-platform' : 'judge/revoked-platform',
    )
    await change(chain, 'revocation', { revoked: [{ kind: 'platform', value: 'ee'.repeat(16) }], reason: 'other' })
    expect(gist(await ask(chain, node))).toBe(machine.platformId === null ? 'judge/hidden-platform' : 'granted')
    await chain.test.close()
  })

  test('gets nothing with a guest under debug, in production, or for an owner who accepts other kinds', async () => {
    const chain = await chainFor(machine)
    const node = await testNode(chain, { platform: { attest: machine.debug } })
    expect(gist(await ask(chain, node)).split(' ')).toContain('attest/debug')
    const others = machineKinds.filter((one) => one !== kind)
    const values = Object.assign({}, ...others.map((one) => ({ [one]: fakeMachines[one].values[one] })))
    await change(chain, 'reference-values', { values })
    const plain = await testNode(chain, { platform: machine })
    expect(gist(await ask(chain, plain)).split(' ')[0]).toBe('attest/reference-values')
    await chain.test.close()
    const production = await chainFor(machine, { class: 'production' })
    const outcome = await ask(production, await testNode(production, { platform: machine }))
    expect([outcome.kind, gist(outcome)]).toEqual(['refused', expect.stringMatching(/\/unknown-(?:root|key)$/)])
    await production.test.close()
  })
})

/** What the last decision was made of. */
async function factsOf(chain: Chain) {
  let facts: Record<string, unknown> = {}
  for (let index = 0; ; index++) {
    try {
      const bundle = await bundleAt(chain.test.broker, index, chain.owner.id)
      if (bundle.type !== 'claviger/bundle/v1') continue
      facts = (bundle.decision as unknown as { facts: { evidence: Record<string, unknown> } }).facts.evidence
    } catch {
      return facts as {
        kind: string
        platformId?: string
        measurement: string
        measurements: string[]
        devices: string[]
      }
    }
  }
}

describe('evidence that is not what its envelope says', () => {
  test('of one kind in the envelope of another is refused by its form, before anything is verified', async () => {
    const chain = await chainFor(fakeMachines.tdx, {
      values: Object.assign({}, ...machineKinds.map((one) => fakeMachines[one].values)),
    })
    const node = await testNode(chain, { platform: fakeMachines.tdx })
    for (const sent of machineKinds) {
      for (const kind of [...machineKinds, 'gpu', 'composite', 'tpm', '__proto__', 'constructor']) {
        if (kind === sent) continue
        const asked = await request(chain, await testNode(chain, { platform: fakeMachines[sent] }))
        const body = { ...asked, evidence: { ...asked.evidence, kind } }
        const answer = await chain.call('POST', '/v1/releases', body)
        expect([sent, kind, answer.status]).not.toEqual([sent, kind, 200])
        expect(answer.code, `${sent} as ${kind}`).toMatch(/^(?:shape|sgx|dcap|tdx)\//)
      }
    }
    const gpu = await request(chain, node)
    const [device] = await fakeGpu.devices(gpu.binding)
    expect(await chain.call('POST', '/v1/releases', { ...gpu, evidence: device })).toMatchObject({ status: 400 })
    await chain.test.close()
  })

  test('a verifier that is given devices alone satisfies nobody', async () => {
    const chain = await chainFor(fakeMachines.tdx, { values: { ...fakeMachines.tdx.values, ...fakeGpu.values } })
    const node = await testNode(chain, { platform: fakeMachines.tdx })
    const asked = await request(chain, node)
    const devices = await fakeGpu.devices(asked.binding)
    const outcome = await ask(chain, node, {
      nonce: asked.binding.nonce,
      change: (one) => ({ ...one, evidence: devices[0] as never }),
    })
    expect(outcome.kind).toBe('refused')
    await chain.test.close()
  })

  test('a node that renews on another kind than it was released on is judged as what it is now', async () => {
    const { tdx, nitro } = fakeMachines
    const chain = await chainFor(tdx)
    const node = await testNode(chain, { platform: tdx })
    const lease = leaseOf(granted(await ask(chain, node)))
    const moved = { ...node, platform: nitro }
    expect(gist(await ask(chain, moved, { lease }))).toBe('nitro/unknown-root')
    expect(gist(await ask(chain, node, { lease }))).toBe('granted')
    await chain.test.close()
  })

  test('evidence exchanged for that of another kind after the challenge was bound', async () => {
    const { tdx } = fakeMachines
    const chain = await chainFor(tdx)
    const node = await testNode(chain, { platform: tdx })
    const stale = await tdx.attest(new Uint8Array(64).fill(1))
    expect(gist(await ask(chain, node, { change: (one) => ({ ...one, evidence: stale }) }))).toBe('judge/report-data')
    const other = await request(chain, await testNode(chain, { platform: fakeMachines.cca }))
    expect(gist(await ask(chain, node, { change: (one) => ({ ...one, evidence: other.evidence }) }))).toMatch(/^cca\//)
    await chain.test.close()
  })
})

describe('a machine that hides which one it is', () => {
  const snp = { signingKeys: ['VLEK' as const], chipIds: undefined }
  const hidden = {
    ...fakeMachines.snp,
    attest: (reportData: Uint8Array) => mintEvidence({ cspId: 'cloud', report: { reportData } }),
    values: testReferenceValues(snp),
  }

  test('gets a key while no machine is named, and none under a list of chips or while a machine is revoked', async () => {
    const chain = await chainFor(hidden)
    const node = await testNode(chain, { platform: hidden })
    const lease = leaseOf(granted(await ask(chain, node)))
    expect(await factsOf(chain)).not.toHaveProperty('platformId')
    const values = testReferenceValues({ ...snp, chipIds: ['5a'.repeat(64)] })
    await change(chain, 'reference-values', { values })
    expect(gist(await ask(chain, node)).split(' ')[0]).toBe('attest/chip-id')
    await change(chain, 'reference-values', { values: hidden.values })
    const policy = '@id("one") permit (principal, action, resource) when { context.evidence.platformId == "5a" };'
    await change(chain, 'policy', { name: 'one', language: 'cedar', text: policy })
    expect(gist(await ask(chain, node))).not.toBe('granted')
    await change(chain, 'policy', { name: 'any', language: 'cedar', text: permitAll })
    expect(gist(await ask(chain, node, { lease }))).toBe('granted')
    const revoked = [{ kind: 'platform', value: '5a'.repeat(64) }] as const
    await change(chain, 'revocation', { revoked, reason: 'lost' })
    expect(gist(await ask(chain, node))).toBe('judge/hidden-platform')
    const beaten = beat(chain.test.broker, { lease, nonce: toBase64Url(randomBytes(32)) })
    expect(await codeOfPromise(beaten)).toBe('broker/lease-over')
    await chain.test.close()
  })

  test('is counted by what it runs: keys that a node chooses give it no more requests', async () => {
    const chain = await chainFor(hidden)
    const counted: string[] = []
    const broker = { ...chain.test.broker, admit: async (_: string, machine: string) => counted.push(machine) > 0 }
    const there = { ...chain, test: { ...chain.test, broker } }
    for (const platform of [hidden, hidden]) granted(await ask(there, await testNode(there, { platform })))
    expect(counted).toEqual(Array(2).fill(`hidden ${'ab'.repeat(48)}`))
    await chain.test.close()
  })
})

describe('a machine with devices', () => {
  test('gets a key; its devices are in the facts, and can be taken back', async () => {
    const { tdx } = fakeMachines
    const chain = await chainFor(tdx, { values: { ...tdx.values, ...fakeGpu.values } })
    const node = await testNode(chain, { platform: { attest: tdx.attest, devices: fakeGpu.devices } })
    const { asked, answer } = await post(chain, node)
    expect(await openKey(chain.owner, node, answer)).toEqual(chain.owner.dek)
    const { kind, devices } = await factsOf(chain)
    expect([kind, devices.length]).toEqual(['tdx', 1])
    const trust = readersTrust(chain, tdx, { ...tdx.values, ...fakeGpu.values })
    const verdict = await nodeVerdict(chain, nodeDocument(chain, asked, answer), trust)
    if (!verdict.ok) throw verdict.failure
    expect(verdict.value.result.subject?.devices).toEqual(devices)
    expect(teeText(asked.evidence, 'hardware')).toBe('Intel TDX with 1 NVIDIA device')
    const alone = await testNode(chain, { platform: tdx })
    expect(gist(await ask(chain, alone)).split(' ')[0]).toBe('attest/devices')
    await change(chain, 'revocation', { revoked: [{ kind: 'device', value: devices[0]! }], reason: 'stolen' })
    expect(gist(await ask(chain, node))).toBe('judge/revoked-device')
    const beaten = beat(chain.test.broker, { lease: leaseOf(answer), nonce: toBase64Url(randomBytes(32)) })
    expect(await codeOfPromise(beaten)).toBe('broker/lease-over')
    await chain.test.close()
  })

  test('gets nothing with the answer of a device that belongs to another node', async () => {
    const { tdx } = fakeMachines
    const chain = await chainFor(tdx, { values: { ...tdx.values, ...fakeGpu.values } })
    const platform = { attest: tdx.attest, devices: fakeGpu.devices }
    const other = await request(chain, await testNode(chain, { platform }))
    if (other.evidence.kind !== 'composite') throw new Error('no devices')
    const swapped = other.evidence.devices
    const node = await testNode(chain, { platform: { attest: tdx.attest, devices: async () => swapped } })
    expect(gist(await ask(chain, node)).split(' ')).toContain('attest/devices/report-data')
    await chain.test.close()
  })
})
