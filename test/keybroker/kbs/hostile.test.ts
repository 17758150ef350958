import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { fromBase64Url, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { signJws } from '#core/jws.js'
import type { KbsTokenClaims } from '#core/wire/kbs-token.js'
import { readStanding } from '#keybroker/standing.js'
import { judgeKbs } from '#policies/release/kbs.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { change, type Registered, registered, registrationBody } from '../fixtures.js'
import { auth, errorOf, guest, pathOf, request, route } from './fixtures.js'

// What a client of this route, or whoever writes to the broker's database, tries; each answer by the check that gives it.
const { open } = anyDatabase()
const both = { registration: { delivery: ['v1', 'kbs'] as const } }

/** What is decided about a model key, and why, whoever asked for it and whatever came before. */
async function judge(chain: Registered, changes: { version?: number; broker?: string } = {}): Promise<string> {
  const { broker } = chain.test
  const { statements } = await broker.store.read((reader) => readStanding(reader, broker, chain.owner.model))
  const reportData = randomBytes(64)
  const evidence = await chain.platform.attest(reportData)
  const asked = { model: chain.owner.model, version: 1, broker: broker.signer.id, keyDigest: 'ab'.repeat(32) }
  const input = { ...asked, statements, evidence, reportData, at: broker.clock(), ...changes }
  const verdict = await judgeKbs(input, broker).catch((error: { code: string }) => error)
  if ('code' in verdict) return verdict.code
  return verdict.allow ? 'allow' : verdict.decision.reasons.map((one) => one.policyId).join(' ')
}

test('a model key is judged for its route, its version and this broker, also where nothing before asked', async () => {
  const chain = await registered(await open(), both)
  expect(await judge(chain)).toBe('allow')
  expect(await judge(chain, { version: 2 })).toBe('judge/version')
  expect(await judge(chain, { broker: 'A'.repeat(43) })).toBe('judge/broker-not-trusted')
  await change(chain, 'registration', registrationBody(chain.owner, { delivery: ['v1'] }))
  expect(await judge(chain)).toBe('judge/delivery')
  await change(chain, 'registration', registrationBody(chain.owner, { ...both.registration, versionFloor: 2 }))
  expect(await judge(chain)).toBe('judge/version')
  await chain.test.close()
})

test('a policy that changes between the judgement and its entry is judged anew (I5)', async () => {
  const chain = await registered(await open(), both)
  const { get } = await guest(chain)
  const closed = '@id("closed") forbid (principal, action, resource);'
  let isDone = false
  const once = async () => {
    if (isDone) return
    isDone = true
    await change(chain, 'policy', { name: 'test', language: 'cedar', text: closed })
  }
  // The first transaction after the verdict is the one that stores it.
  const { store } = chain.test.broker
  const late = { ...chain.test.broker, store: before(store, once) }
  const kbs = route({ ...chain, test: { ...chain.test, broker: late } })
  const { get: lateGet } = await guest(chain, kbs)
  expect((await get(pathOf(chain))).status).toBe(200)
  expect((await lateGet(pathOf(chain))).status).toBe(403)
  expect(isDone).toBe(true)
  await chain.test.close()
})

/** The store, with something done before each transaction. */
function before<S extends Registered['test']['broker']['store']>(store: S, work: () => Promise<void>): S {
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (name !== 'transaction') return value
      return async (...given: unknown[]) => {
        await work()
        return Reflect.apply(value as () => unknown, target, given)
      }
    },
  })
}

test('a tenant whose class was flipped in the database gets nothing by this route', async () => {
  const chain = await registered(await open(), both)
  const { get } = await guest(chain)
  expect((await get(pathOf(chain))).status).toBe(200)
  await chain.test.database.db.execute(sql`drop trigger tenants_class_is_fixed on keybroker.tenants`)
  await chain.test.database.db.execute(sql`update keybroker.tenants set class = 'production'`)
  expect((await get(pathOf(chain))).status).not.toBe(200)
  await chain.test.close()
})

test('a token in the name of another broker, or for one, is none, though the key is ours', async () => {
  const chain = await registered(await open(), both)
  const { kbs, token } = await guest(chain)
  const claims = JSON.parse(Buffer.from(fromBase64Url(token.split('.')[1]!)).toString()) as KbsTokenClaims
  const status = async (changes: Partial<KbsTokenClaims>) => {
    const made = await signJws(chain.test.broker.signer, utf8(JSON.stringify({ ...claims, ...changes })))
    const answer = await kbs.ask('GET', pathOf(chain), { headers: { authorization: `Bearer ${made}` } })
    return answer.status === 200 ? 'ok' : (await errorOf(answer)).code
  }
  expect(await status({})).toBe('ok')
  for (const name of ['iss', 'aud'] as const) expect(await status({ [name]: 'A'.repeat(43) })).toBe('kbs/token')
  await chain.test.close()
})

test('sessions that wait take no more than their room, and those that are over give it back', async () => {
  const chain = await registered(await open(), both)
  const kbs = route(chain)
  const { cookie } = await auth(kbs)
  expect(cookie).toContain('kbs-session-id=')
  const now = chain.test.broker.clock()
  await chain.test.database.db.execute(
    sql`insert into keybroker.sessions (id_digest, tee, nonce, state, expires_at)
      select decode(lpad(to_hex(n), 64, '0'), 'hex'), 'snp', n::text, 'challenged', ${now + 200}
      from generate_series(1, 100000) n`,
  )
  const full = await kbs.ask('POST', '/kbs/v0/auth', { body: request() })
  expect(await errorOf(full)).toMatchObject({ code: 'kbs/sessions-full', status: 429 })
  chain.test.clock.now += 201
  expect((await kbs.ask('POST', '/kbs/v0/auth', { body: request() })).status).toBe(200)
  await chain.test.close()
})
