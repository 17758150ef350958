import { randomInt } from 'node:crypto'
import { fromBase64 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { parseEntry } from '#core/wire/entries.js'
import type { Lease } from '#core/wire/lease.js'
import { apiVersion, type ReleaseAnswer } from '#core/wire/release.js'
import type { Database } from '#host/database.js'
import { acceptFinal } from '#keybroker/final.js'
import { HeadMemory } from '#keybroker/heads.js'
import { leases } from '#keybroker/queries.js'
import { release } from '#keybroker/release.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { usageOf } from '#keybroker/usage-query.js'
import { budgetOf } from '#test/fakes/broker-double.js'
import { change, countOf, gist, type Registered, registered, request, type TestNode, testNode } from './fixtures.js'

/** What three brokers over one database did in one round of acts that came all at once. */
export interface Round {
  /** entries behind the revocation that grant the lease that it takes back */
  readonly afterRevocation: number
  /** decisions between whose state index and whose own there is a change of the owner's */
  readonly overtaken: number
  readonly nodes: number
  readonly allowedNodes: number
  /** the most that nodes may do or have done, by the leases that they hold */
  readonly usable: number
  readonly counted: number
  readonly allowance: number
  /** how each act came out, for a look */
  readonly outcomes: readonly string[]
}

interface Holder {
  readonly node: TestNode
  id: string
  /** used when the newest lease was asked for, and what that lease gives from there on */
  told: number
  gives: number
}

const leaseOf = (answer: ReleaseAnswer) =>
  JSON.parse(new TextDecoder().decode(fromBase64(answer.lease.payload))) as Lease
/** Acts that lose a race are told to come again: by their codes, and nothing else. */
const races = new Set(['broker/changing', 'broker/lease-closed', 'broker/lease-over', 'database/conflict'])

/** A round: leases are granted; then renewals, releases, retries, last words and a revocation come at once, each a little late. */
export async function interleave(database: Database, acts: number, spreadMs: number): Promise<Round> {
  const [allowedNodes, allowance] = [4, 40]
  const terms = { lease: { seconds: 300, budget: budgetOf(6), nodes: allowedNodes } }
  const chain = await registered(database, {
    registration: { ...terms, allowance: { inferences: allowance, expiresAt: null } },
  })
  const replicas = Array.from({ length: 3 }, () => ({
    ...chain,
    test: { ...chain.test, broker: { ...chain.test.broker, heads: new HeadMemory() } },
  }))
  const any = () => replicas[randomInt(3)]!
  const holders: Holder[] = []
  const outcomes: string[] = []
  /** inferences that nodes did which said so in their last words */
  let spoken = 0

  const attempt = async (what: string, act: () => Promise<string>) => {
    try {
      outcomes.push(`${what} ${await act()}`)
    } catch (error) {
      if (!isFailure(error) || !races.has(error.code)) throw error
      outcomes.push(`${what} ${error.code}`)
    }
  }
  const grant = async () => {
    const at = any()
    const node = await testNode(at)
    const outcome = await release(at.test.broker, await request(at, node))
    if (outcome.kind === 'granted') {
      const { id, budget } = leaseOf(outcome.answer)
      holders.push({ node, id, told: 0, gives: budget.requests })
    }
    return gist(outcome)
  }
  const renew = async (holder: Holder, used: number, twice: boolean) => {
    const options = { lease: holder.id, inferences: used, requestId: hex() }
    const sent = await Promise.all(
      Array.from({ length: twice ? 2 : 1 }, async () => {
        const at = any()
        return [at, await request(at, holder.node, options)] as const
      }),
    )
    const done = await Promise.allSettled(sent.map(([at, one]) => release(at.test.broker, one)))
    const texts = done.map((one) => {
      if (one.status === 'rejected') {
        if (isFailure(one.reason) && races.has(one.reason.code)) return one.reason.code
        throw one.reason
      }
      if (one.value.kind === 'granted') {
        holder.told = used
        holder.gives = leaseOf(one.value.answer).budget.requests
      }
      return gist(one.value)
    })
    return texts.join(' and ')
  }
  const final = async (holder: Holder) => {
    const { broker } = any().test
    const used = holder.told
    const counter = await countOf(holder.node, broker.signer.id, holder.id, used, null)
    const { returned } = await acceptFinal(broker, { version: apiVersion, keyset: holder.node.keyset, counter })
    holders.splice(holders.indexOf(holder), 1)
    spoken += used
    return `returned ${returned}`
  }

  for (let i = 0; i < 3; i++) await grant()
  const victim = holders[0]!
  const others = holders.slice(1)
  let revokedAt = Number.MAX_SAFE_INTEGER
  const revoke = async () => {
    const revoked = [{ kind: 'lease', value: victim.id }] as const
    const [accepted] = await change(any(), 'revocation', { revoked: [...revoked], reason: 'lost' })
    revokedAt = accepted!.entry
    return 'accepted'
  }
  const used = new Map<Holder, number>(holders.map((one) => [one, 0]))
  const plan: (() => Promise<void>)[] = [async () => void outcomes.push(`revoke ${await revoke()}`)] // what an owner takes back never has to come again
  const ending = others[1]!
  for (let i = 1; i < acts; i++) {
    const kind = i % 5
    if (kind === 0) plan.push(() => attempt('release', grant))
    else if (kind === 1 && i === 1) plan.push(() => attempt('final', () => final(ending)))
    else {
      // One node renews one after the other: its next count is told when the renewal before was answered.
      const holder = kind % 2 === 0 ? victim : others[0]!
      plan.push(async () => {
        const told = used.get(holder)! + 1
        if (told > holder.told + holder.gives) return
        used.set(holder, told)
        await attempt('renew', () => renew(holder, told, kind === 3))
      })
    }
  }
  const late = () => new Promise((resolve) => setTimeout(resolve, randomInt(spreadMs)))
  const chains = new Map<number, Promise<void>>()
  await Promise.all(
    plan.map(async (act, i) => {
      await late()
      const lane = i % 5 === 2 || i % 5 === 4 ? 1 : i % 5 === 1 || i % 5 === 3 ? 2 : 3 + i
      const before = chains.get(lane) ?? Promise.resolve()
      const mine = before.then(act)
      chains.set(lane, mine)
      await mine
    }),
  )
  const round = {
    ...(await readLog(chain, victim.id, revokedAt)),
    nodes: (await leases(chain.test.broker, chain.owner.id)).leases.length,
    allowedNodes,
    usable: holders.reduce((sum, { told, gives }) => sum + told + gives, spoken),
    counted: (await usageOf(chain.test.broker, chain.owner.id)).usage[0]!.counted,
    allowance,
    outcomes,
  }
  await chain.test.close()
  return round
}

const hex = () => Array.from({ length: 32 }, () => randomInt(16).toString(16)).join('')

async function readLog({ test }: Registered, lease: string, revokedAt: number) {
  let [afterRevocation, overtaken, lastState] = [0, 0, -1]
  for (let index = 0; ; index++) {
    const entry = await brokerStore(test.database).read((reader) => reader.loadEntryAt(index))
    if (entry === null) return { afterRevocation, overtaken }
    const parsed = parseEntry(entry.leaf)
    if (parsed.kind === 'state') lastState = index
    else if ('state_index' in parsed && parsed.state_index !== lastState) overtaken++
    if ('lease_id' in parsed && parsed.kind !== 'usage' && parsed.lease_id === lease && index > revokedAt)
      afterRevocation++
  }
}
