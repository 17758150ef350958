import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { kbsResources } from '#keybroker/store/kbs-store.js'
import { clientKey, clientReportData, openJwe } from '#test/fakes/kbs-client.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { registered } from '../fixtures.js'
import { errorOf, pathOf, request, route } from './fixtures.js'

const { open } = anyDatabase()

/** A guest with the protocol's sample evidence: what anybody can write. */
async function sampleGuest(kbs: ReturnType<typeof route>, change: { nonce?: string; initData?: unknown } = {}) {
  const key = clientKey('P-256')
  const opened = await kbs.ask('POST', '/kbs/v0/auth', { body: request('0.4.0', 'sample') })
  if (opened.status !== 200) return { key, answer: opened, get: null }
  const cookie = opened.headers.get('set-cookie')!.split(';')[0]!
  const { nonce } = (await opened.json()) as { nonce: string }
  const report = clientReportData(change.nonce ?? nonce, key.jwk).subarray(0, 48)
  const body = JSON.stringify({
    'init-data': change.initData ?? null,
    'runtime-data': { nonce, 'tee-pubkey': key.jwk },
    'tee-evidence': {
      primary_evidence: { svn: '1', report_data: Buffer.from(report).toString('base64') },
      additional_evidence: '',
    },
  })
  const answer = await kbs.ask('POST', '/kbs/v0/attest', { body, headers: { cookie } })
  return { key, answer, get: (path: string) => kbs.ask('GET', path, { headers: { cookie } }) }
}

test('sample evidence is taken in development where it was allowed, is NOT HARDWARE, and gets no model', async () => {
  const chain = await registered(await open(), { registration: { delivery: ['v1', 'kbs'] as const } })
  const allowed = { kbsClass: 'development', dangerousAllowSample: true } as const
  for (const more of [{}, { kbsClass: 'development' }, { dangerousAllowSample: true }] as const)
    expect(
      await errorOf((await sampleGuest(route(chain, ['simulated'], undefined, undefined, more))).answer),
    ).toMatchObject({
      code: 'kbs/tee',
    })
  const kbs = route(chain, ['simulated'], undefined, undefined, allowed)
  const { broker, database } = chain.test
  const path = { repository: 'default', type: 'key', tag: 'one', text: 'default/key/one' }
  await kbsResources(database, broker.kek, broker.clock).store(path, utf8('the secret'))
  const { key, answer, get } = await sampleGuest(kbs)
  const { token } = (await answer.json()) as { token: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
  expect(claims.claviger_hardware).toBe('NOT HARDWARE')
  expect(claims.submods.cpu0['ear.status']).toBe('contraindicated')
  expect(openJwe(key, await (await get!(`/kbs/v0/resource/${path.text}`)).text()).toString()).toBe('the secret')
  expect(await errorOf(await get!(pathOf(chain)))).toMatchObject({ code: 'kbs/policy-deny', status: 403 })
  // A service that does not take it does not take its token's resources either.
  const strict = route(chain, ['affirming', 'warning'])
  const elsewhere = await strict.ask('GET', `/kbs/v0/resource/${path.text}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  expect(elsewhere.status).toBe(403)
  for (const change of [
    { nonce: createHash('sha256').update('another').digest('base64') },
    { initData: { format: 'toml', body: 'algorithm = "sha256"' } },
  ])
    expect((await sampleGuest(kbs, change)).answer.status).toBe(401)
  await chain.test.close()
})
