import { sql } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { signApprovalDocument } from '#core/wire/approvals.js'
import { acceptApproval, cancelProposal, settle } from '#keybroker/approvals/settle.js'
import { HeadMemory } from '#keybroker/heads.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { approve, type Person, person, proposeChange, type SetOptions, setBody } from './approvals-world.js'
import { ask, change, gist, permitAll, type Registered, registered, sign, startTime, testNode } from './fixtures.js'

const databases = databasesUnderTest()
const [{ open }] = databases as [(typeof databases)[number]]

interface World extends Registered {
  readonly people: readonly [Person, Person, Person]
}

/** An owner with three approvers of three companies, two of whom have to agree. */
async function world(
  options: SetOptions & { readonly policy?: string; readonly at?: typeof open } = {},
): Promise<World> {
  const policy = options.policy ?? '@id("closed") permit (principal, action, resource) when { context.time < 0 };'
  const chain = await registered(await (options.at ?? open)(), { policy })
  const people = [await person('ada'), await person('bo'), await person('cy')] as const
  await change(chain, 'approvers', setBody(people, chain, options))
  return { ...chain, people: [...people] }
}

const opened = { name: 'test', language: 'cedar', text: permitAll } as const

async function outcomeOf(chain: Registered): Promise<string> {
  const asked = ask(chain, await testNode(chain))
  const code = await codeOfPromise(asked)
  return code === 'ok' ? gist(await asked) : code
}

const give = (chain: Registered, ...given: Parameters<typeof approve> extends [unknown, ...infer R] ? R : never) =>
  approve(chain, ...given).then((envelope) => acceptApproval(chain.test.broker, envelope))
const codeOfGiving = (chain: Registered, ...given: Parameters<typeof give> extends [unknown, ...infer R] ? R : never) =>
  codeOfPromise(give(chain, ...given))

describe.each(databases)('approvals on $name', ({ open: openHere }) => {
  test('a looser policy waits in the log until two groups agree, and a key leaves only then', async () => {
    const chain = await world({ at: openHere })
    expect(await outcomeOf(chain)).toContain('closed')
    const proposed = await proposeChange(chain, 'policy', opened)
    expect(await outcomeOf(chain)).toContain('closed')
    expect(await give(chain, proposed, chain.people[0])).toEqual({ inForce: false })
    expect(await outcomeOf(chain)).toContain('closed')
    expect(await give(chain, proposed, chain.people[1])).toEqual({ inForce: true })
    expect(await outcomeOf(chain)).toBe('granted')
    await chain.test.close()
  })

  test('no earlier than the lock, by anybody who looks after it', async () => {
    const chain = await world({ at: openHere, lockSeconds: 3600 })
    const proposed = await proposeChange(chain, 'policy', opened)
    await give(chain, proposed, chain.people[0])
    expect(await give(chain, proposed, chain.people[1])).toEqual({ inForce: false })
    chain.test.clock.now += 3599
    expect(await settle(chain.test.broker, chain.owner.id)).toEqual([])
    chain.test.clock.now += 1
    expect(await settle(chain.test.broker, chain.owner.id)).toEqual([proposed.digest])
    expect(await settle(chain.test.broker, chain.owner.id)).toEqual([])
    await chain.test.close()
  })
})

describe('what does not count', () => {
  test('an approval that was counted, sent again; and after the change is in force', async () => {
    const chain = await world()
    const proposed = await proposeChange(chain, 'policy', opened)
    const first = await approve(chain, proposed, chain.people[0])
    await acceptApproval(chain.test.broker, first)
    expect(await codeOfPromise(acceptApproval(chain.test.broker, first))).toBe('approval/used')
    await give(chain, proposed, chain.people[1])
    expect(await codeOfPromise(acceptApproval(chain.test.broker, first))).toBe('approval/used')
    expect(await codeOfGiving(chain, proposed, chain.people[2])).toBe('approvals/over')
    await chain.test.close()
  })

  test('each part that is of something else', async () => {
    const chain = await world()
    const proposed = await proposeChange(chain, 'policy', opened)
    const [ada] = chain.people
    const random = toHex(randomBytes(32))
    const other = 'A'.repeat(43)
    const now = chain.test.clock.now
    const cases = [
      ['approval/digest', { old: random }],
      ['approvals/unknown', { new: random }],
      ['broker/unknown-tenant', { tenant: other }],
      ['approval/broker', { broker: other }],
      ['approval/action', { action: 'revocation' }],
      ['approval/action', { model: `${chain.owner.id}/other` }],
      ['approval/approvers', { approvers: random }],
      ['approval/state-index', { stateIndex: proposed.entry - 1 }],
      ['approval/expired', { expiresAt: now }],
      ['approval/expired', { signedAt: now + 61 }],
    ] as const
    for (const [code, changed] of cases) expect(await codeOfGiving(chain, proposed, ada, changed)).toBe(code)
    expect(await codeOfGiving(chain, proposed, await person('mallory'))).toBe('approval/signer')
    await chain.test.close()
  })

  test('one of another tenant that has the same digest: the tenant is signed', async () => {
    const chain = await world()
    const proposed = await proposeChange(chain, 'policy', opened)
    const envelope = await approve(chain, proposed, chain.people[0], { tenant: chain.owner.id })
    const stolen = JSON.parse(atob(envelope.payload)) as object
    const swapped = { ...envelope, payload: btoa(new TextDecoder().decode(canonicalJson({ ...stolen, reason: 'x' }))) }
    expect(await codeOfPromise(acceptApproval(chain.test.broker, swapped))).toBe('crypto/signature')
    await chain.test.close()
  })

  test('the same person twice, and a second one of the same controlling group', async () => {
    const chain = await registered(await open(), { policy: permitAll })
    const people = [
      await person('ada', 'Acme GmbH', 'Acme Group'),
      await person('bo', 'Acme Ltd', ' acme  GROUP '),
      await person('cy'),
    ] as const
    await change(chain, 'approvers', setBody(people, chain))
    const proposed = await proposeChange(chain, 'policy', { ...opened, text: permitAll.replace('all', 'other') })
    await give(chain, proposed, people[0])
    expect(await codeOfGiving(chain, proposed, people[0], { reason: 'again' })).toBe('approval/person')
    expect(await codeOfGiving(chain, proposed, people[1])).toBe('approval/group')
    expect(await give(chain, proposed, people[2])).toEqual({ inForce: true })
    await chain.test.close()
  })

  test('approvals that expired before the change could take effect, and a proposal whose time is over', async () => {
    const chain = await world({ lockSeconds: 3600, expirySeconds: 7200 })
    const proposed = await proposeChange(chain, 'policy', opened)
    await give(chain, proposed, chain.people[0], { expiresAt: chain.test.clock.now + 60 })
    await give(chain, proposed, chain.people[1])
    chain.test.clock.now += 3600
    expect(await settle(chain.test.broker, chain.owner.id)).toEqual([])
    chain.test.clock.now += 3600
    expect(await codeOfGiving(chain, proposed, chain.people[2])).toBe('approvals/over')
    await chain.test.close()
  })

  test('an approver whose time is over, or who is not authorised for it', async () => {
    const chain = await registered(await open(), { policy: permitAll })
    const people = [await person('ada'), await person('bo'), await person('cy'), await person('di')]
    const body = setBody(people, chain)
    const [ada, bo, ...rest] = body.approvers
    const approvers = [
      { ...ada!, actions: ['approvers' as const] },
      { ...bo!, expiresAt: chain.test.clock.now + 10 },
      ...rest,
    ]
    await change(chain, 'approvers', { ...body, approvers })
    const proposed = await proposeChange(chain, 'policy', { ...opened, text: permitAll.replace('all', 'other') })
    expect(await codeOfGiving(chain, proposed, people[0]!)).toBe('approval/signer')
    chain.test.clock.now += 10
    expect(await codeOfGiving(chain, proposed, people[1]!)).toBe('approval/signer')
    await chain.test.close()
  })
})

describe('what is tighter needs the owner alone', () => {
  test('a revocation, and not its undoing', async () => {
    const chain = await world({ policy: permitAll })
    const revoked = [{ kind: 'version', value: '1' } as const]
    expect(await change(chain, 'revocation', { revoked, reason: 'lost' })).not.toMatchObject([{ pending: true }])
    expect(await outcomeOf(chain)).toContain('judge/revoked-version')
    const undone = await proposeChange(chain, 'revocation', { revoked: [], reason: 'found' })
    expect(await outcomeOf(chain)).toContain('judge/revoked-version')
    await give(chain, undone, chain.people[0])
    await give(chain, undone, chain.people[2])
    expect(await outcomeOf(chain)).toBe('granted')
    await chain.test.close()
  })

  test('another forbid, fewer reference values, fewer nodes; what is pending for what they replaced is over', async () => {
    const chain = await world({ policy: permitAll })
    const looser = await proposeChange(chain, 'policy', { ...opened, text: permitAll.replace('all', 'other') })
    const text = `${permitAll} @id("no") forbid (principal, action, resource);`
    await change(chain, 'policy', { ...opened, text })
    expect(await outcomeOf(chain)).toContain('no')
    expect(await codeOfGiving(chain, looser, chain.people[0])).toBe('approvals/over')
    const values = testReferenceValues()
    const more = { ...values, snp: { ...values.snp!, requireAliasCheck: true } }
    await change(chain, 'reference-values', { values: more })
    const before = chain.owner.heads.get(`reference-values ${chain.owner.model}`)
    await proposeChange(chain, 'reference-values', { values })
    expect(chain.owner.heads.get(`reference-values ${chain.owner.model}`)).toBe(before)
    await chain.test.close()
  })
})

describe('a change of the approvers', () => {
  test('needs the old set, whatever the new one says', async () => {
    const chain = await world({ policy: permitAll })
    const mine = await person('eve')
    const body = setBody([mine], chain, { threshold: 1 })
    const proposed = await proposeChange(chain, 'approvers', body)
    expect(await codeOfGiving(chain, proposed, mine)).toBe('approval/signer')
    await give(chain, proposed, chain.people[0])
    expect(await give(chain, proposed, chain.people[1])).toEqual({ inForce: true })
    chain.owner.heads.set('approvers', { sequence: 2, digest: proposed.digest, envelope: proposed.envelope })
    const policy = await proposeChange(chain, 'policy', { ...opened, text: permitAll.replace('all', 'other') })
    expect(await codeOfGiving(chain, policy, chain.people[0])).toBe('approval/signer')
    expect(await give(chain, policy, mine)).toEqual({ inForce: true })
    expect(await outcomeOf(chain)).toBe('granted')
    await chain.test.close()
  })

  test('a set that could never agree, or does not protect itself, is none', async () => {
    const chain = await registered(await open())
    const people = [await person('ada'), await person('bo', 'X', 'ada Ltd')]
    const attempt = (body: Parameters<typeof sign<'approvers'>>[2]) =>
      codeOfPromise(sign(chain.owner, 'approvers', body, { keepHead: true }).then((one) => changeWith(chain, one)))
    expect(await attempt(setBody(people, chain))).toBe('approvers/threshold')
    expect(await attempt(setBody([people[0]!, people[0]!], chain))).toBe('approvers/repeated')
    expect(await attempt(setBody(people, chain, { threshold: 1, actions: ['policy'] }))).toBe('approvers/unprotected')
    expect(await attempt(setBody(people, chain, { threshold: 1, actions: ['kek', 'approvers'] }))).toBe('approvals/kek')
    await chain.test.close()
  })
})

const changeWith = (chain: Registered, envelope: Awaited<ReturnType<typeof sign>>) =>
  import('#keybroker/changes.js').then(({ acceptStatement }) =>
    acceptStatement(chain.test.broker, 'approvers', envelope),
  )

describe('calling it off', () => {
  test('by an approver, for ever', async () => {
    const chain = await world()
    const proposed = await proposeChange(chain, 'policy', opened)
    const cancellation = (by: Person, changed = {}) =>
      signApprovalDocument(
        'cancellation',
        {
          type: 'claviger/cancellation/v1',
          broker: chain.test.broker.signer.id,
          tenant: chain.owner.id,
          proposal: proposed.digest,
          reason: 'not reviewed',
          at: startTime,
          ...changed,
        },
        by.key,
      )
    const { broker } = chain.test
    expect(await codeOfPromise(cancelProposal(broker, await cancellation(await person('mallory'))))).toBe('dsse/signer')
    const elsewhere = await cancellation(chain.people[2], { broker: 'A'.repeat(43) })
    expect(await codeOfPromise(cancelProposal(broker, elsewhere))).toBe('approval/broker')
    await give(chain, proposed, chain.people[0])
    await cancelProposal(broker, await cancellation(chain.people[2]))
    expect(await codeOfGiving(chain, proposed, chain.people[1])).toBe('approvals/cancelled')
    expect(await codeOfPromise(changeAgain(chain, proposed.envelope))).toBe('approvals/cancelled')
    expect(await outcomeOf(chain)).toContain('closed')
    // Somebody who takes it back in the database has an entry of the log against them.
    await chain.test.database.db.execute(
      sql`update keybroker.proposals set cancelled_entry = null, cancellation = null`,
    )
    expect(await codeOfGiving(chain, proposed, chain.people[1])).toBe('broker/record')
    expect(await outcomeOf(chain)).toBe('broker/record')
    await chain.test.close()
  })
})

const changeAgain = (chain: Registered, envelope: Awaited<ReturnType<typeof sign>>) =>
  import('#keybroker/changes.js').then(({ acceptStatement }) => acceptStatement(chain.test.broker, 'policy', envelope))

describe('the database is not an authority (I18)', () => {
  test('a policy that its owner signed and nobody agreed to, put in place by somebody who writes to the database', async () => {
    const chain = await world()
    const proposed = await proposeChange(chain, 'policy', opened)
    await give(chain, proposed, chain.people[0])
    const { db } = chain.test.database
    const bytes = Buffer.from(canonicalJson(proposed.envelope))
    await db.execute(sql`alter table keybroker.statements disable trigger all`)
    // The proposal's entry counts for the statement, as if it had taken effect.
    await db.execute(sql`insert into keybroker.statements
      select tenant, kind, model, 2, ${proposed.digest}, digest, ${bytes},
        (select entry from keybroker.proposals limit 1), recorded_at, accepted
      from keybroker.statements where kind = 'policy'`)
    await db.execute(sql`delete from keybroker.approvals`)
    await db.execute(sql`delete from keybroker.proposals`)
    const restarted = { ...chain, test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } } }
    expect(await outcomeOf(restarted)).toBe('judge/statement-false')
    // Nor with the word of the broker left out, nor with that of another statement and an approval more.
    await db.execute(sql`update keybroker.statements set accepted = null where kind = 'policy'`)
    expect(await outcomeOf(restarted)).toBe('judge/statement-false')
    await chain.test.close()
  })

  test('approvers that somebody took away', async () => {
    const chain = await world()
    const { db } = chain.test.database
    await db.execute(sql`delete from keybroker.statements where kind = 'approvers'`)
    const restarted = { ...chain, test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } } }
    expect(await outcomeOf(restarted)).toBe('broker/record')
    await db.execute(
      sql`delete from keybroker.entries where id not in (select entry from keybroker.statements) and is_state`,
    )
    expect(await outcomeOf(restarted)).toBe('broker/record')
    await chain.test.close()
  })
})
