import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkBundle, judgeBundle } from '#client/any-bundle.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { canonicalJson } from '#core/encoding/json.js'
import { type Acceptance, signApprovalDocument } from '#core/wire/approvals.js'
import type { ProposalBundle, StateBundle } from '#core/wire/bundle.js'
import type { Trust } from '#core/wire/trust-file.js'
import { acceptApproval, cancelProposal } from '#keybroker/approvals/settle.js'
import { bundleAt } from '#keybroker/queries.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { approve, type Person, person, proposeChange, setBody } from '#test/keybroker/approvals-world.js'
import { change, permitAll, type Registered, registered, startTime } from '#test/keybroker/fixtures.js'
import { asJson } from './fixtures.js'

const { open } = anyDatabase()

let chain: Registered
let trust: Trust
let people: readonly [Person, Person, Person]
const states: Record<string, StateBundle> = {}
const proposals: Record<string, ProposalBundle> = {}

const body = (text: string) => ({ name: 'test', language: 'cedar', text }) as const

/** A policy that tightens, one that loosens and was approved, one that was called off by its owner and one by an approver. */
beforeAll(async () => {
  chain = await registered(await open(), { policy: permitAll })
  const { test: made, owner, platform } = chain
  const { broker, testLog, clock } = made
  people = [await person('ada'), await person('bo'), await person('cy')]
  trust = {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: startTime,
    expiresAt: startTime + 1000,
    owners: [{ alias: 'acme', key: owner.key.publicKey }],
    brokers: [{ alias: 'broker', key: broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [],
    logs: [testLog.vkey],
    witnessPolicy: testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [platform.rootDigest],
  }
  const size = async () => (await made.log.size()) - 1
  const state = async (name: string) => {
    states[name] = (await bundleAt(broker, await size(), null)) as StateBundle
  }
  await change(chain, 'approvers', setBody(people, chain))
  await state('approvers')
  await change(chain, 'policy', body(`${permitAll}\n@id("never") forbid (principal, action, resource);`))
  await state('tighter')
  const call = async (name: string, by: Person['key']) => {
    const proposed = await proposeChange(chain, 'policy', body(`${permitAll} // ${name}`))
    proposals[`${name} proposed`] = (await bundleAt(broker, proposed.entry, null)) as ProposalBundle
    const about = { broker: broker.signer.id, tenant: owner.id, proposal: proposed.digest, reason: 'no', at: clock.now }
    const value = { type: 'claviger/cancellation/v1', ...about } as const
    await cancelProposal(broker, await signApprovalDocument('cancellation', value, by))
    proposals[`${name} cancelled`] = (await bundleAt(broker, await size(), null)) as ProposalBundle
  }
  await call('owner', owner.key)
  await call('approver', people[2].key)
  const looser = await proposeChange(chain, 'policy', body(permitAll))
  for (const one of people.slice(0, 2)) await acceptApproval(broker, await approve(chain, looser, one))
  await state('looser')
}, 60_000)
afterAll(() => chain.test.close())

const codeOf = async (bundle: unknown, given = trust) => {
  const verdict = await judgeBundle(asJson(bundle), given)
  return verdict.ok ? 'ok' : verdict.failure.code
}
const open3 = async (bundle: unknown) => {
  const { steps } = await judgeBundle(asJson(bundle), trust)
  return steps.flatMap(({ id, status }) => (status === 'ok' ? [] : [`${id} ${status}`]))
}

/** The bundle with another word of its broker on how the change came to stand. */
async function saying(bundle: StateBundle, changed: Partial<Acceptance>, by = chain.test.broker.signer) {
  const { accepted } = bundle.approved!
  const before = JSON.parse(Buffer.from(accepted.acceptance.payload, 'base64').toString()) as Acceptance
  const acceptance = await signApprovalDocument('acceptance', { ...before, ...changed }, by)
  return { ...bundle, approved: { ...bundle.approved!, accepted: { ...accepted, acceptance } } }
}

describe('the bundle of a change of an owner with approvers', () => {
  test('verifies: the first set, what tightens, what was approved', async () => {
    for (const name of ['approvers', 'tighter', 'looser']) {
      expect(await codeOf(states[name]), name).toBe('ok')
      expect(await open3(states[name])).toEqual([])
    }
  })

  test('a broker that calls tightening, open or first what loosens is found out', async () => {
    const looser = states.looser!
    const none = { proposedAt: null, stateIndex: null }
    for (const basis of ['tightening', 'open', 'first', 'stood'] as const)
      expect(await codeOf(await saying(looser, { basis, ...none })), basis).toBe('approved/other')
    // And one that says approved of what nobody approved.
    const tighter = await saying(states.tighter!, { basis: 'approved', proposedAt: startTime, stateIndex: 1 })
    expect(await codeOf(tighter)).toBe('approval/threshold')
    expect(await codeOf(await saying(states.tighter!, { basis: 'open' }))).toBe('approved/other')
  })

  test('each part that is of something else', async () => {
    const looser = states.looser!
    const { accepted, sets } = looser.approved!
    const approved = (more: object) => ({ ...looser, approved: { sets, accepted, ...more } })
    const [first] = accepted.approvals
    expect(await codeOf(approved({ accepted: { ...accepted, approvals: [first] } }))).toBe('approval/threshold')
    expect(await codeOf(approved({ accepted: { ...accepted, approvals: [first, first] } }))).toBe('approval/person')
    expect(await codeOf(approved({ accepted: states.tighter!.approved!.accepted }))).toBe('approved/other')
    expect(await codeOf(await saying(looser, { statement: 'ab'.repeat(32) }))).toBe('approved/other')
    expect(await codeOf(await saying(looser, { approvers: 'ab'.repeat(32) }))).toBe('approved/missing')
    expect(await codeOf(await saying(states.tighter!, { approvers: 'ab'.repeat(32) }))).toBe('approved/missing')
    // A set that its owner did not sign, and a broker whom the reader does not name.
    const { key } = await generateSigningKey('Ed25519')
    expect(await codeOf(await saying(looser, {}, key))).toBe('dsse/signer')
    expect(await codeOf(looser, { ...trust, brokers: [{ alias: 'b', key: key.publicKey as Ed25519Jwk }] })).toBe(
      'dsse/signer',
    )
    const [set] = sets
    const payload = Buffer.from(canonicalJson({ ...JSON.parse(Buffer.from(set!.payload, 'base64').toString()) }))
    const forged = { ...set!, payload: Buffer.from(payload.toString().replace('"ada"', '"eve"')).toString('base64') }
    expect(await codeOf(approved({ sets: [forged] }))).toBe('crypto/signature')
  })
})

describe('the bundle of a proposal', () => {
  test('verifies, proposed and called off by its owner; whether an approver may is not in it', async () => {
    for (const name of ['owner proposed', 'owner cancelled', 'approver proposed']) {
      expect(await codeOf(proposals[name]), name).toBe('ok')
      expect(await open3(proposals[name])).toEqual([])
    }
    expect(await codeOf(proposals['approver cancelled'])).toBe('ok')
    expect(await open3(proposals['approver cancelled'])).toEqual(['proposal/cancelled not checked'])
    const alone = await checkBundle(asJson(proposals['owner cancelled']))
    expect(alone.steps.filter(({ status }) => status === 'not checked').map(({ id }) => id)).toEqual([
      'proposal/anchors',
      'proposal/proof',
    ])
  })

  test('each part that is of something else', async () => {
    const proposed = proposals['owner proposed']!
    const cancelled = proposals['owner cancelled']!
    const other = proposals['approver proposed']!
    expect(await codeOf({ ...proposed, act: 'cancelled' })).toBe('client/bundle-splice')
    expect(await codeOf({ ...proposed, cancellation: cancelled.cancellation })).toBe('client/bundle-splice')
    expect(await codeOf({ ...cancelled, cancellation: null })).toBe('client/bundle-splice')
    expect(await codeOf({ ...proposed, at: proposed.at + 1 })).toBe('client/bundle-splice')
    expect(await codeOf({ ...proposed, statement: other.statement })).toBe('commitment/mismatch')
    expect(await codeOf({ ...proposed, openings: other.openings })).toBe('commitment/mismatch')
    expect(await codeOf({ ...proposed, openings: { ...proposed.openings, model: null } })).toBe('client/bundle-splice')
    expect(await codeOf({ ...proposed, leaf: states.tighter!.leaf })).toBe('client/bundle-splice')
    expect(await codeOf({ ...proposed, proof: other.proof })).toMatch(/^tlog\//)
    expect(await codeOf({ ...proposed, change: 'revocation' })).toMatch(/^dsse\/type$/)
    expect(await codeOf(proposed, { ...trust, owners: [] })).toBe('client/owner-unknown')
    // A cancellation of another proposal, and one whose signature is not the owner's.
    const value = JSON.parse(Buffer.from(cancelled.cancellation!.payload, 'base64').toString()) as { proposal: string }
    const of = { ...value, proposal: 'ab'.repeat(32) } as never
    const elsewhere = await signApprovalDocument('cancellation', of, chain.owner.key)
    expect(await codeOf({ ...cancelled, cancellation: elsewhere })).toBe('client/bundle-splice')
    const [signature] = cancelled.cancellation!.signatures
    const sig =
      `A${signature!.sig.slice(1)}` === signature!.sig ? `B${signature!.sig.slice(1)}` : `A${signature!.sig.slice(1)}`
    const forged = { ...cancelled.cancellation!, signatures: [{ ...signature!, sig }] }
    expect(await codeOf({ ...cancelled, cancellation: forged })).toMatch(/^crypto\//)
  })
})
