import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { listen } from '#host/listen.js'
import type { ModelKeyRoute } from '#keybroker/kbs/ports.js'
import { kbsHeaderSizeMax } from '#keybroker/service/kbs-routes.js'
import { clientKey, openJwe } from '#test/fakes/kbs-client.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import {
  adminToken,
  attested,
  auth,
  errorOf,
  guestAttestation,
  initData,
  request,
  type TestKbs,
  testKbs,
} from './fixtures.js'

const adminHeaders = { authorization: `Bearer ${adminToken}` }
const resource = '/kbs/v0/resource/default/key/one'
const put = (kbs: TestKbs, path = resource, body = 'the secret') =>
  kbs.ask('POST', path, { body, headers: adminHeaders })
const prefix = 'https://github.com/confidential-containers/kbs/errors/'

const databases = databasesUnderTest()

describe.each(databases)('the KBS routes on $name', ({ name, open }) => {
  const start = async (models: ModelKeyRoute | null = null) => testKbs(await open(), models)

  test.each(['P-256', 'P-521', 'RSA'] as const)(
    'serve a resource to an attested guest with a key of %s',
    async (kind) => {
      const kbs = await start()
      expect((await put(kbs)).status).toBe(200)
      const { key, cookie, answer } = await attested(kbs, clientKey(kind))
      expect(answer.status).toBe(200)
      const { token } = (await answer.json()) as { token: string }
      for (const headers of [{ cookie }, { authorization: `Bearer ${token}` }]) {
        const got = await kbs.ask('GET', resource, { headers: headers as Record<string, string> })
        expect(got.status).toBe(200)
        expect(openJwe(key, await got.text()).toString()).toBe('the secret')
      }
      expect(kbs.seen.records).toEqual([
        { path: 'default/key/one', allow: true },
        { path: 'default/key/one', allow: true },
      ])
    },
  )

  test('use a nonce once: of many that answer one challenge exactly one is verified', async () => {
    const kbs = await start()
    const opened = await auth(kbs)
    const body = await guestAttestation(opened, clientKey('P-256'))
    const headers = { cookie: opened.cookie }
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => kbs.ask('POST', '/kbs/v0/attest', { body, headers })),
    )
    expect(answers.map((one) => one.status).toSorted()).toEqual([200, 401, 401, 401, 401, 401])
    expect(kbs.seen.verifications).toBe(1)
    // After success, too.
    const again = await kbs.ask('POST', '/kbs/v0/attest', { body, headers })
    expect(await errorOf(again)).toMatchObject({ code: 'kbs/session', type: `${prefix}AttestationError`, status: 401 })
  })

  test('spend a nonce on a message that cannot be read, and on one whose evidence fails', async () => {
    const kbs = await start()
    for (const first of ['{', 'wrong key'] as const) {
      const opened = await auth(kbs)
      const key = clientKey('P-256')
      const headers = { cookie: opened.cookie }
      const good = await guestAttestation(opened, key)
      const bad =
        first === '{' ? first : await guestAttestation(opened, key, { bound: { jwk: clientKey('P-256').jwk } })
      expect((await kbs.ask('POST', '/kbs/v0/attest', { body: bad, headers })).status).not.toBe(200)
      const second = await kbs.ask('POST', '/kbs/v0/attest', { body: good, headers })
      expect(await errorOf(second)).toMatchObject({ code: 'kbs/session' })
    }
  })

  test('forget sessions that expired', async () => {
    const kbs = await start()
    const opened = await auth(kbs)
    const body = await guestAttestation(opened, clientKey('P-256'))
    kbs.clock.now += 301
    const late = await kbs.ask('POST', '/kbs/v0/attest', { body, headers: { cookie: opened.cookie } })
    expect(await errorOf(late)).toMatchObject({ code: 'kbs/session' })
    expect(kbs.seen.verifications).toBe(0)
  })

  test('deny with 403, so that a client stops, and record the denial', async () => {
    const kbs = await start()
    await put(kbs)
    const { cookie } = await attested(kbs)
    kbs.policy.allow = false
    const denied = await kbs.ask('GET', resource, { headers: { cookie } })
    expect(denied.status).toBe(403)
    expect(await errorOf(denied)).toMatchObject({ type: `${prefix}PolicyDeny`, detail: 'policy denies: test-forbid' })
    expect(kbs.seen.records).toEqual([{ path: 'default/key/one', allow: false }])
    const absent = await kbs.ask('GET', '/kbs/v0/resource/default/key/absent', { headers: { cookie } })
    expect(absent.status).toBe(403)
    kbs.policy.allow = true
    const allowed = await kbs.ask('GET', '/kbs/v0/resource/default/key/absent', { headers: { cookie } })
    expect(await errorOf(allowed)).toMatchObject({ code: 'kbs/resource-absent', status: 404 })
  })

  test('keep resources sealed: no row opens under another path, and none holds the plain bytes', async () => {
    const database = await open()
    const kbs = await testKbs(database)
    await put(kbs)
    await put(kbs, '/kbs/v0/resource/default/key/two', 'another secret')
    const client = database.dialect
    expect(client).toBe(name)
    const { sql } = await import('drizzle-orm')
    const { rowsOf } = await import('#host/database.js')
    const rows = await rowsOf(database.db, sql`select path, sealed from keybroker.resources order by path`)
    for (const row of rows) expect(Buffer.from(row.sealed as Uint8Array).includes('secret')).toBe(false)
    await database.db.execute(sql`update keybroker.resources set path = 'x' where path = 'default/key/one'`)
    await database.db.execute(
      sql`update keybroker.resources set path = 'default/key/one' where path = 'default/key/two'`,
    )
    const { resources } = kbs.ports
    const path = { repository: 'default', type: 'key', tag: 'one', text: 'default/key/one' }
    await expect(resources.load(path)).rejects.toMatchObject({ code: 'kek/unwrap' })
  })
})

// What follows needs no second database.
describe.each(databases.slice(0, 1))('the KBS routes', ({ open }) => {
  const start = async (models: ModelKeyRoute | null = null) => testKbs(await open(), models)

  test.each(['0.1.1', '0.2.0', '0.4.1', '0.4', '00.4.0', '0.4.0 '])('refuse version %j', async (version) => {
    const kbs = await start()
    const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: request(version) })
    expect(answer.status).toBe(401)
    expect(await errorOf(answer)).toMatchObject({
      code: 'kbs/version',
      type: `${prefix}AttestationError`,
      detail: expect.stringMatching(/^RCAR handshake Auth failed: /),
    })
  })

  test.each([
    ['an object', '{}', 200],
    ['a text', '""', 200],
    ['null', 'null', 200],
    ['nothing', undefined, 400],
  ])('take extra-params that are %s with %s: %d', async (_name, value, status) => {
    const kbs = await start()
    const extra = value === undefined ? '' : `,"extra-params":${value}`
    const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: `{"version":"0.4.0","tee":"snp"${extra}}` })
    expect(answer.status).toBe(status)
    if (status === 200) expect(await answer.json()).toMatchObject({ 'extra-params': '' })
  })

  test.each([
    ['an unknown TEE', request('0.4.0', 'abacus'), 'kbs/tee', 401],
    ['a TEE that is not verified here', request('0.4.0', 'cca'), 'kbs/tee', 401],
    ['the sample TEE', request('0.4.0', 'sample'), 'kbs/tee', 401],
    ['a member twice', '{"version":"0.4.0","tee":"snp","tee":"snp","extra-params":{}}', 'kbs/message', 400],
    ['an unknown member', '{"version":"0.4.0","tee":"snp","extra-params":{},"more":1}', 'kbs/message', 400],
    ['no JSON', 'x', 'kbs/message', 400],
  ])('refuse %s', async (_name, body, code, status) => {
    const kbs = await start()
    const answer = await kbs.ask('POST', '/kbs/v0/auth', { body })
    expect(answer.status).toBe(status)
    expect(await errorOf(answer)).toMatchObject({ code })
  })

  test('give out a session as the protocol has it', async () => {
    const kbs = await start()
    const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: request() })
    const { nonce } = (await answer.json()) as { nonce: string }
    expect(nonce).toMatch(/^[A-Za-z0-9+/]{43}=$/)
    expect(answer.headers.get('set-cookie')).toMatch(
      /^kbs-session-id=[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}; Path=\/kbs\/v0; Expires=\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT; HttpOnly; SameSite=Strict$/,
    )
  })

  test('issue a token that clients can read and that says what it is', async () => {
    const kbs = await start()
    const { key, nonce, answer } = await attested(kbs)
    expect(answer.headers.get('set-cookie')).toContain('kbs-session-id=')
    const { token } = (await answer.json()) as { token: string }
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
    expect(claims.exp - kbs.clock.now).toBe(300)
    expect(claims.claviger_hardware).toBe('NOT HARDWARE')
    const submod = claims.submods.cpu0
    // A reader who knows the profile alone refuses what is NOT HARDWARE (I6).
    expect(submod['ear.status']).toBe('contraindicated')
    expect(submod['ear.trustworthiness-vector'].hardware).toBe(97)
    const evidence = submod['ear.veraison.annotated-evidence']
    expect(evidence.runtime_data_claims).toEqual({ 'additional-evidence': '', nonce, 'tee-pubkey': key.jwk })
    expect(evidence.snp.measurement).toHaveLength(96)
  })

  test.each([
    ['another key than the evidence binds', { bound: { jwk: clientKey('P-256').jwk } }],
    ['another nonce than the evidence binds', { bound: { nonce: 'b3RoZXI=' } }],
    ['device evidence that the evidence does not bind', { additional: '{}', bound: { additional: '' } }],
    ['another measurement', { measurement: 'cd'.repeat(48) }],
    ['init-data that the guest was not started with', { initData: { format: 'toml', body: initData } }],
  ])('refuse %s', async (name, options) => {
    const kbs = await start()
    const code = name.startsWith('init-data') ? 'kbs/init-data' : 'kbs/attestation'
    const { answer, cookie } = await attested(kbs, undefined, options)
    expect(answer.status).toBe(401)
    expect(await errorOf(answer)).toMatchObject({ type: `${prefix}AttestationError`, code })
    expect((await kbs.ask('GET', resource, { headers: { cookie } })).status).toBe(401)
  })

  test.each([
    ['evidence of devices', { additional: '{"nvidia":{}}' }, 'kbs/evidence'],
    ['devices as pairs', { additional: '[["nvidia",["gpu",{}]]]' }, 'kbs/evidence'],
    ['init-data in another format', { initData: { format: 'json', body: '{}' } }, 'kbs/init-data'],
    [
      'init-data whose digest does not fit',
      { initData: { format: 'toml', body: 'algorithm = "sha384"' } },
      'kbs/init-data',
    ],
    ['RSA1_5', { sentJwk: { ...clientKey('RSA').jwk, alg: 'RSA1_5' } }, 'kbs/tee-key'],
  ])('refuse %s without verifying anything', async (_name, options, code) => {
    const kbs = await start()
    const { answer } = await attested(kbs, undefined, options)
    expect(await errorOf(answer)).toMatchObject({ code })
    expect(kbs.seen.verifications).toBe(0)
  })

  test('refuse a point that is not on its curve', async () => {
    const kbs = await start()
    const key = clientKey('P-256')
    const y = Buffer.from(key.jwk.y!, 'base64url')
    y[31]! ^= 1
    const off = { ...key.jwk, y: y.toString('base64url') }
    const { answer } = await attested(kbs, key, { sentJwk: off, bound: { jwk: off } })
    expect(await errorOf(answer)).toMatchObject({
      code: 'kbs/tee-key',
      detail: expect.stringContaining('not on P-256'),
    })
  })

  test('take what the protocol leaves open: absent init-data, empty devices, members of the key that are not hashed', async () => {
    const kbs = await start()
    expect((await attested(kbs, undefined, { omitInitData: true })).answer.status).toBe(200)
    expect((await attested(kbs, undefined, { additional: '{}' })).answer.status).toBe(200)
    const key = clientKey('P-256')
    const extra = await attested(kbs, key, { sentJwk: { ...key.jwk, kid: 'one' }, bound: { jwk: key.jwk } })
    expect(extra.answer.status).toBe(200)
    const hashed = await attested(kbs, key, {
      sentJwk: { ...key.jwk, kid: 'one' },
      bound: { jwk: { ...key.jwk, kid: 'one' } },
    })
    expect(hashed.answer.status).toBe(401)
  })

  test('compare init-data with what the guest was started with', async () => {
    const kbs = await start()
    const hostData = toHex(sha256(utf8(initData)))
    const given = { initData: { format: 'toml', body: initData }, hostData }
    const { answer } = await attested(kbs, undefined, given)
    expect(answer.status).toBe(200)
    const { token } = (await answer.json()) as { token: string }
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())
    const evidence = claims.submods.cpu0['ear.veraison.annotated-evidence']
    expect(evidence.init_data).toBe(createHash('sha256').update(initData).digest('hex'))
  })

  test.each([
    '/kbs/v0/resource/a/b',
    '/kbs/v0/resource/a/b/c/d',
    '/kbs/v0/resource/a/../c',
    '/kbs/v0/resource/a/.x/c',
    '/kbs/v0/resource/a/%2e%2e/c',
    '/kbs/v0/resource/a/%2Fb/c',
    '/kbs/v0/resource/a//c',
  ])('refuse the path %s', async (path) => {
    const kbs = await start()
    const { cookie } = await attested(kbs)
    const answer = await kbs.ask('GET', path, { headers: { cookie } })
    expect(answer.status).toBe(404)
    expect((await errorOf(answer)).type).toMatch(/InvalidRequestPath|PluginNotFound/)
    expect(kbs.seen.records).toEqual([])
  })

  test.each([
    ['nothing', {}, 'kbs/token-absent'],
    ['a session that is not attested', { cookie: 'auth' }, 'kbs/token-absent'],
    ['no token', { authorization: 'Bearer a.b.c' }, 'kbs/token'],
    ['the token of another broker', { authorization: 'other' }, 'kbs/token'],
    ['a token that expired', { authorization: 'late' }, 'kbs/token'],
    ['two sessions', { cookie: 'two' }, 'kbs/token-absent'],
  ])('answer 401 to %s', async (_name, headers, code) => {
    const kbs = await start()
    const sent: Record<string, string> = { ...headers }
    if (sent.cookie === 'auth') sent.cookie = (await auth(kbs)).cookie
    if (sent.cookie === 'two') sent.cookie = `${(await attested(kbs)).cookie}; kbs-session-id=${'0'.repeat(32)}`
    if (sent.authorization === 'other' || sent.authorization === 'late') {
      const from = sent.authorization === 'late' ? kbs : await start()
      const { token } = (await (await attested(from)).answer.json()) as { token: string }
      if (sent.authorization === 'late') kbs.clock.now += 300
      sent.authorization = `Bearer ${token}`
    }
    const answer = await kbs.ask('GET', resource, { headers: sent })
    expect(answer.status).toBe(401)
    expect(await errorOf(answer)).toMatchObject({ code })
  })

  test('let nobody but an administrator write, and nobody into an owner’s space', async () => {
    const kbs = await start()
    for (const headers of [{}, { authorization: 'Bearer x' }, { authorization: `Bearer ${adminToken}x` }]) {
      for (const method of ['POST', 'DELETE']) {
        const answer = await kbs.ask(method, resource, { body: 'x', headers: headers as Record<string, string> })
        expect(await errorOf(answer)).toMatchObject({ code: 'kbs/admin', type: `${prefix}AdminAuthAccess` })
      }
    }
    const owned = `/kbs/v0/resource/${'A'.repeat(43)}/whisper/1`
    expect((await put(kbs, owned)).status).toBe(403)
    expect((await put(kbs, resource, '')).status).toBe(413)
    await put(kbs)
    expect((await kbs.ask('DELETE', resource, { headers: adminHeaders })).status).toBe(200)
    const { cookie } = await attested(kbs)
    expect((await kbs.ask('GET', resource, { headers: { cookie } })).status).toBe(404)
  })

  test('refuse policies and reference values that would not be heeded', async () => {
    const kbs = await start()
    for (const [path, code] of [
      ['/kbs/v0/resource-policy', 'kbs/policy-language'],
      ['/kbs/v0/attestation-policy', 'kbs/policy-language'],
      ['/kbs/v0/reference-value', 'kbs/reference-values'],
    ] as const) {
      expect(await errorOf(await kbs.ask('POST', path, { body: '{}' }))).toMatchObject({ code: 'kbs/admin' })
      const answer = await kbs.ask('POST', path, { body: '{}', headers: adminHeaders })
      expect(await errorOf(answer)).toMatchObject({ code, status: 422 })
    }
    const ids = await kbs.ask('GET', '/kbs/v0/resource-policy', { headers: adminHeaders })
    expect(await ids.json()).toEqual(['resource-policy'])
    expect(await errorOf(await kbs.ask('PUT', '/kbs/v0/auth', { body: '' }))).toMatchObject({ code: 'kbs/plugin' })
  })

  const modelPath = `/kbs/v0/resource/${'A'.repeat(43)}/whisper/1`
  const dek = Buffer.alloc(32, 7)
  const models = (delivery: readonly string[] | null) => {
    const released: string[] = []
    const route: ModelKeyRoute = {
      loadDelivery: async () => delivery,
      release: async ({ model, version }) => {
        released.push(`${model} ${version}`)
        return new Uint8Array(dek)
      },
    }
    return { route, released }
  }

  test.each([
    ['is not delivered here', null, ['v1', 'kbs']],
    ['is not registered', 'route', null],
    ['is registered without routes for KBS', 'route', ['v1']],
  ] as const)('serve no model key that %s, whatever policy says', async (_name, route, delivery) => {
    const given = models(delivery)
    const kbs = await start(route === null ? null : given.route)
    const { cookie } = await attested(kbs)
    const answer = await kbs.ask('GET', modelPath, { headers: { cookie } })
    expect(answer.status).toBe(403)
    expect(given.released).toEqual([])
  })

  test('serve a model key whose owner lists this route', async () => {
    const given = models(['v1', 'kbs'])
    const kbs = await start(given.route)
    const { cookie, key } = await attested(kbs)
    const answer = await kbs.ask('GET', modelPath, { headers: { cookie } })
    expect(openJwe(key, await answer.text()).equals(dek)).toBe(true)
    expect(given.released).toEqual([`${'A'.repeat(43)}/whisper 1`])
    const other = await kbs.ask('GET', modelPath.replace(/1$/, 'latest'), { headers: { cookie } })
    expect(other.status).toBe(403)
  })

  test('take a token of 200 KiB in a request’s head as far as reading it', async () => {
    const kbs = await start()
    const listening = await listen(kbs.app, { host: '127.0.0.1', port: 0, maxHeaderSize: kbsHeaderSizeMax })
    const headers = { authorization: `Bearer ${'a'.repeat(200 * 1024)}` }
    const answer = await fetch(`${listening.url}${resource}`, { headers })
    expect(await answer.json()).toMatchObject({ code: 'kbs/token' })
    await listening.close()
  })

  test('answer bounds of the transport in the protocol’s own form', async () => {
    const kbs = await start()
    const body = new Uint8Array(3 * 1024 * 1024)
    const answer = await kbs.ask('POST', '/kbs/v0/auth', { body, headers: { 'content-length': String(body.length) } })
    expect(answer.status).toBe(413)
    expect(await errorOf(answer)).toMatchObject({ type: `${prefix}HTTPFailed`, detail: expect.any(String) })
  })
})
