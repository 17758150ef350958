import { beforeEach, describe, expect, test } from 'vitest'
import type { Bundle } from '#core/wire/bundle.js'
import { acceptApproval, settle } from '#keybroker/approvals/settle.js'
import { bundleAt } from '#keybroker/queries.js'
import { judgeRelease } from '#policies/release/judge.js'
import { verifyReplay } from '#policies/release/replay.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { approve, type Person, person, proposeChange, setBody } from './approvals-world.js'
import { ask, change, gist, permitAll, type Registered, registered, startTime, testNode } from './fixtures.js'

const databases = databasesUnderTest()
let open = databases[0]!.open

const never = '@id("hours") @breakglass forbid (principal, action, resource) when { context.time > 5 };'
const firm = '@id("debugging") forbid (principal, action, resource) when { context.evidence.debug };'
const own = '@id("incident") permit (principal, action, resource);'

interface World extends Registered {
  readonly people: readonly Person[]
}

async function world(policy = `${permitAll}\n${never}\n${firm}`, people?: readonly Person[]): Promise<World> {
  const chain = await registered(await open(), { policy })
  const all = people ?? [await person('ada'), await person('bo'), await person('cy')]
  await change(chain, 'approvers', setBody(all, chain, { actions: ['approvers', 'policy', 'break-glass'] }))
  return { ...chain, people: all }
}

async function outcomeOf(chain: Registered, lease?: string): Promise<string> {
  const asked = ask(chain, await testNode(chain), lease === undefined ? {} : { lease })
  const code = await codeOfPromise(asked)
  return code === 'ok' ? gist(await asked) : code
}

const glass = (seconds: number, text = own) => ({ language: 'cedar', text, seconds, reason: 'ticket 4711' }) as const

/** Two agree that the glass is broken; it is on return. */
async function breakIt(chain: World, seconds = 3600, text = own) {
  const proposed = await proposeChange(chain, 'break-glass', glass(seconds, text))
  for (const by of chain.people.slice(0, 2)) await acceptApproval(chain.test.broker, await approve(chain, proposed, by))
  const { envelope, digest } = proposed
  const sequence = (JSON.parse(atob(envelope.payload)) as { sequence: number }).sequence
  chain.owner.heads.set(`break-glass ${chain.owner.model}`, { sequence, digest, envelope })
}

describe.each(databases)('breaking the glass, on $name', ({ open: openHere }) => {
  beforeEach(() => {
    open = openHere
  })

  test('two employers waive what is annotated, for as long as they said; its lease ends with it and is not renewed', async () => {
    const chain = await world()
    expect(await outcomeOf(chain)).toContain('hours')
    await breakIt(chain)
    const node = await testNode(chain)
    const outcome = await ask(chain, node)
    if (outcome.kind !== 'granted') throw new Error('denied')
    const lease = JSON.parse(atob(outcome.answer.lease.payload)) as { id: string; expiresAt: number }
    expect(lease.expiresAt).toBe(chain.test.clock.now + 3600)
    expect(JSON.stringify(outcome.answer.decision)).toContain('claviger/break-glass')
    // Whoever has its bundle makes the decision again (I7), and not without those who agreed.
    const [decided] = await chain.test.broker.store.read((reader) => reader.listDecisions(chain.owner.id, null, 1))
    const bundle = (await bundleAt(chain.test.broker, decided!.index!, chain.owner.id)) as Bundle
    const { request, statements, at } = bundle
    const { audience, nonce } = request.binding
    const again = (given: typeof statements) =>
      judgeRelease({ request, statements: given, broker: audience, nonce, at }, chain.test.broker)
    const verdict = await again(statements)
    expect(verdict.stage === 'decided' && verifyReplay(bundle.decision, verdict).allow).toBe(true)
    const accepted = statements.approved!.accepted.map((one) => ({ ...one, approvals: one.approvals.slice(1) }))
    const fewer = { ...statements, approved: { ...statements.approved!, accepted } }
    expect(await codeOfPromise(again(fewer))).toBe('judge/statement-false')
    expect(await codeOfPromise(again({ ...statements, approved: undefined }))).toBe('judge/statement-false')
    const renewal = await ask(chain, node, { lease: lease.id })
    expect(gist(renewal)).toContain('hours')
    chain.test.clock.now += 3600
    expect(await outcomeOf(chain)).toContain('hours')
    await chain.test.close()
  })

  test('a lease of then is not renewed either when the policy would allow it again', async () => {
    const chain = await world(
      `${permitAll}\n@id("hours") @breakglass forbid (principal, action, resource) when { context.time < ${startTime + 600} };`,
    )
    await breakIt(chain)
    const node = await testNode(chain)
    const outcome = await ask(chain, node)
    if (outcome.kind !== 'granted') throw new Error('denied')
    const lease = JSON.parse(atob(outcome.answer.lease.payload)) as { id: string }
    chain.test.clock.now += 900
    expect(gist(await ask(chain, node, { lease: lease.id }))).toContain('broker/lease-break-glass')
    await chain.test.close()
  })

  test('neither a rule that is not annotated, nor a refusal of code, nor what its own policy does not permit', async () => {
    const chain = await world(
      `${permitAll}\n${never}\n@id("firm") forbid (principal, action, resource) when { context.time > 6 };`,
    )
    await breakIt(chain)
    expect(await outcomeOf(chain)).toContain('firm')
    await chain.test.close()

    const other = await world()
    await breakIt(other, 3600, '@id("nobody") permit (principal, action, resource) when { context.time < 5 };')
    expect(await outcomeOf(other)).toContain('hours')
    await other.test.close()

    const revoked = await world()
    await breakIt(revoked)
    await change(revoked, 'revocation', { revoked: [{ kind: 'version', value: '1' }], reason: 'lost' })
    expect(await outcomeOf(revoked)).toContain('judge/revoked-version')
    await revoked.test.close()
  })

  test('one employer, or the owner alone, does not', async () => {
    const people = [await person('ada', 'Acme', 'Group A'), await person('bo', 'ACME', 'Group B'), await person('cy')]
    const chain = await world(undefined, people)
    const proposed = await proposeChange(chain, 'break-glass', glass(600))
    await acceptApproval(chain.test.broker, await approve(chain, proposed, people[0]!))
    const second = await approve(chain, proposed, people[1]!)
    expect(await codeOfPromise(acceptApproval(chain.test.broker, second))).toBe('approval/employer')
    expect(await outcomeOf(chain)).toContain('hours')
    await chain.test.close()
    const alone = await registered(await open())
    expect(await codeOfPromise(change(alone, 'break-glass', glass(600)))).toBe('break-glass/approvers')
    const [ada] = people
    const one = setBody([ada!], alone, { threshold: 1, actions: ['approvers', 'break-glass'] })
    expect(await codeOfPromise(change(alone, 'approvers', one))).toBe('approvers/threshold')
    await alone.test.close()
  })

  test('for more than four hours, or without a reason, nobody is even asked', async () => {
    const chain = await world()
    for (const body of [glass(4 * 3600 + 1), { ...glass(600), reason: ' ' }, { ...glass(600), reason: undefined }])
      expect(await codeOfPromise(proposeChange(chain, 'break-glass', body as never))).toBe('judge/statement-false')
    await chain.test.close()
  })

  test('it is ended by the owner alone, not chained, and three times a month at most', async () => {
    const chain = await world()
    await breakIt(chain)
    expect(await outcomeOf(chain)).toBe('granted')
    chain.test.clock.now += 60
    await change(chain, 'break-glass', glass(0))
    expect(await outcomeOf(chain)).toContain('hours')
    const soon = proposeChange(chain, 'break-glass', glass(600))
    expect(await codeOfPromise(soon)).toBe('break-glass/chained')
    for (let i = 0; i < 2; i++) {
      chain.test.clock.now += 2 * 86_400
      await breakIt(chain, 600)
    }
    chain.test.clock.now += 2 * 86_400
    expect(await codeOfPromise(proposeChange(chain, 'break-glass', glass(600)))).toBe('break-glass/month')
    expect(await settle(chain.test.broker, chain.owner.id)).toEqual([])
    await chain.test.close()
  })
})
