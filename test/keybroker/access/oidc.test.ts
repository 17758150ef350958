import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { readToken } from '#keybroker/access/token.js'
import { openAccess } from '#keybroker/service/access.js'
import { openIssuers } from '#keybroker/service/issuers.js'
import { isPublicAddress } from '#keybroker/service/public-address.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'
import { type Issuer, makeSigner, startIssuer } from '#test/fakes/issuer.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { startTime } from '../fixtures.js'
import { identity, list, twoTenants } from './fixtures.js'

const databases = databasesUnderTest()
const { open } = databases.at(-1)!
let issuer: Issuer
let world: Awaited<ReturnType<typeof twoTenants>>
let nowMs = 0
const claims = (more: Record<string, unknown> = {}) => ({
  iss: issuer.url,
  aud: 'claviger-broker',
  sub: 'machine-7',
  iat: startTime - 5,
  exp: startTime + 300,
  ...more,
})
const ask = async (bearer: string, owner = world.owner) => world.get(owner, 'leases', bearer)
const known = (more: object = {}) => ({
  kind: 'oidc' as const,
  issuer: issuer.url,
  audience: 'claviger-broker',
  subject: 'machine-7' as string | null,
  claims: [] as { name: string; value: string }[],
  ...more,
})

beforeAll(async () => {
  issuer = await startIssuer(startTime)
  const access = openAccess(
    openIssuers({ ca: issuer.ca, privateIssuers: [issuer.place], nowMs: () => nowMs }),
    () => (nowMs += 1000),
  )
  world = await twoTenants(await open(), issuer, access)
  const group = known({ subject: null, claims: [{ name: 'groups', value: 'auditors' }] })
  await world.say(world.owner, list([identity('m7', 'owner', known()), identity('group', 'auditor', group)]))
  await world.say(world.other, list([identity('m7', 'owner', known({ audience: 'another' }))]))
})
afterAll(() => issuer.close())
beforeEach(() => {
  world.chain.test.clock.now = startTime
  issuer.trouble = null
})

describe('a bearer token of an issuer that the owner named', () => {
  test('is who it says: by its subject, or by a claim', async () => {
    expect((await ask(await issuer.token(claims()))).status).toBe(200)
    expect((await ask(await issuer.token(claims({ aud: ['x', 'claviger-broker'] }), { typ: 'at+jwt' }))).status).toBe(
      200,
    )
    const inGroup = await issuer.token(claims({ sub: 'anna', groups: ['staff', 'auditors'] }))
    expect((await world.get(world.owner, 'access', inGroup)).body).toMatchObject({ id: 'group', role: 'auditor' })
  })

  test('for another audience, subject, issuer or group is nobody’s', async () => {
    for (const more of [{ aud: 'another' }, { sub: 'machine-70' }, { sub: undefined }, { iss: 'https://id.example' }])
      expect(await ask(await issuer.token(claims(more)))).toMatchObject({ status: 404, code: 'broker/unknown-tenant' })
    for (const groups of ['auditors2', ['staff'], null, { auditors: true }])
      expect((await ask(await issuer.token(claims({ sub: 'anna', groups })))).status).toBe(404)
  })

  test('does not count for another tenant, which listed another audience', async () => {
    const token = await issuer.token(claims())
    const nobody = await world.get({ id: 'A'.repeat(43) }, 'leases', token)
    expect(await ask(token, world.other)).toEqual(nobody)
    expect(nobody.code).toBe('broker/unknown-tenant')
  })

  test('counts in its time, with a minute to either side', async () => {
    const at = world.chain.test.clock
    const token = await issuer.token(claims({ nbf: startTime - 5 }))
    at.now = startTime + 359
    expect((await ask(token)).status).toBe(200)
    at.now = startTime + 360
    expect(await ask(token)).toMatchObject({ status: 401, code: 'access/token-time' })
    at.now = startTime - 65
    expect((await ask(token)).code).toBe('access/expired') // the list's own time, which has no minute
    at.now = startTime - 66
    expect((await ask(token)).code).toBe('access/token-time')
    at.now = startTime
    for (const more of [{ nbf: startTime + 61 }, { iat: startTime + 61 }, { exp: undefined }, { iat: undefined }])
      expect((await ask(await issuer.token(claims(more)))).code).toBe('access/token-time')
    expect((await ask(await issuer.token(claims({ exp: startTime + 90_000 })))).code).toBe('access/token-time')
    expect((await ask(await issuer.token(claims({ exp: startTime + 0.5 })))).code).toBe('access/token-time')
  })

  test('under no algorithm, a shared secret, another key or another type is none', async () => {
    const part = (value: object) => toBase64Url(utf8(JSON.stringify(value)))
    const kid = issuer.keys.at(-1)!.kid
    const unsigned = `${part({ alg: 'none', typ: 'JWT' })}.${part(claims())}.`
    expect(await ask(unsigned)).toMatchObject({ status: 401, code: 'access/token-algorithm' })
    // The public key as a shared secret.
    const head = `${part({ alg: 'HS256', kid, typ: 'JWT' })}.${part(claims())}`
    const secret = JSON.stringify(issuer.keys.at(-1)!.jwk)
    const hmac = createHmac('sha256', secret).update(head).digest('base64url')
    expect((await ask(`${head}.${hmac}`)).code).toBe('access/token-algorithm')
    // Another key under the name of the true one, and one that the token brings along.
    const signer = await makeSigner(kid)
    expect((await ask(await issuer.token(claims(), { signer }))).status).toBe(404)
    const [, body, signature] = (await issuer.token(claims(), { signer })).split('.')
    for (const more of [
      { jwk: signer.jwk },
      { jku: 'https://x.example' },
      { x5c: [] },
      { crit: ['exp'] },
      { b64: false },
    ])
      expect((await ask(`${part({ alg: 'ES256', kid, ...more })}.${body}.${signature}`)).code).toBe('access/token-form')
    // The right key under the name of another algorithm.
    const [, own, signed] = (await issuer.token(claims())).split('.')
    for (const alg of ['ES384', 'RS256', 'EdDSA'])
      expect((await ask(`${part({ alg, kid, typ: 'JWT' })}.${own}.${signed}`)).status).toBe(404)
    for (const typ of ['logout+jwt', 'secevent+jwt', 'dpop+jwt', 'JWE', ''])
      expect((await ask(await issuer.token(claims(), { typ }))).code).toBe('access/token-form')
    const [a, , c] = (await issuer.token(claims())).split('.')
    expect((await ask(`${a}.${part(claims({ sub: 'machine-8' }))}.${c}`)).status).toBe(404)
  })

  test('that is no token is told so without a word on any tenant', async () => {
    const at = startTime
    const part = (text: string) => toBase64Url(utf8(text))
    for (const text of [
      'x',
      'a.b',
      'a.b.c.d',
      '..',
      `${part('[]')}.${part('{}')}.`,
      `${part('{"alg":"ES256","alg":"none"}')}.x.y`,
    ])
      expect(codeOf(() => readToken(text, at))).toMatch(/^access\/token-(form|algorithm)$/)
    expect(codeOf(() => readToken(`${'a'.repeat(9000)}.b.c`, at))).toBe('access/token-form')
  })
})

describe('an issuer', () => {
  test('that rolls its keys over is asked once for a key that is not known, and not again for a minute', async () => {
    nowMs += 120_000
    await ask(await issuer.token(claims()))
    const before = issuer.requests.length
    await issuer.addKey('second')
    nowMs += 61_000
    expect((await ask(await issuer.token(claims()))).status).toBe(200)
    expect(issuer.requests.length).toBe(before + 2)
    const signer = await makeSigner('third')
    for (let i = 0; i < 5; i++) expect((await ask(await issuer.token(claims(), { signer }))).status).toBe(404)
    expect(issuer.requests.length).toBe(before + 2)
    // The key before still counts while it is shown, and no longer.
    const [first] = issuer.keys.splice(0, 1)
    nowMs += 11 * 60_000
    expect((await ask(await issuer.token(claims(), { signer: first! }))).status).toBe(404)
  })

  test('whose keys cannot be had lets nobody in', async () => {
    const { keysOf } = openIssuers({ ca: issuer.ca, privateIssuers: [issuer.place], nowMs: () => nowMs })
    const answers = {
      status: { status: 500, body: '' },
      elsewhere: { status: 302, body: '' },
      text: { status: 200, body: 'keys' },
      other: { status: 200, body: JSON.stringify({ issuer: 'https://other.example', jwks_uri: `${issuer.url}/keys` }) },
      plain: { status: 200, body: JSON.stringify({ issuer: issuer.url, jwks_uri: 'http://localhost/keys' }) },
      inside: { status: 200, body: JSON.stringify({ issuer: issuer.url, jwks_uri: 'https://169.254.169.254/keys' }) },
      file: { status: 200, body: JSON.stringify({ issuer: issuer.url, jwks_uri: 'file:///etc/passwd' }) },
      large: { status: 200, body: `{"issuer":"${'x'.repeat(300_000)}"}` },
    }
    for (const { status, body } of Object.values(answers)) {
      nowMs += 60_000
      issuer.trouble = (_, response) => {
        response.writeHead(status, { location: `${issuer.url}/keys` }).end(body)
        return true
      }
      expect(await codeOfPromise(keysOf(issuer.url, false))).toBe('access/issuer')
    }
    const asked = issuer.requests.length
    expect(await codeOfPromise(keysOf(issuer.url, false))).toBe('access/issuer')
    expect(issuer.requests.length).toBe(asked)
    nowMs += 60_000
    issuer.trouble = null
    expect(await codeOfPromise(keysOf(issuer.url, false))).toBe('ok')
  })

  test('that is away for a while: known keys count for an hour, then nobody is let in', async () => {
    const token = await issuer.token(claims())
    nowMs += 3_600_000
    expect((await ask(token)).status).toBe(200)
    issuer.trouble = (_, response) => {
      response.destroy()
      return true
    }
    nowMs += 1_800_000
    expect((await ask(token)).status).toBe(200)
    nowMs += 1_900_000
    expect(await ask(token)).toMatchObject({ status: 503, code: 'access/issuer' })
  })

  test('without a certificate that is vouched for, or at an address inside, is not asked', async () => {
    expect(await codeOfPromise(openIssuers({ privateIssuers: [issuer.place] }).keysOf(issuer.url, false))).toBe(
      'access/issuer',
    )
    const asked = issuer.requests.length
    expect(await codeOfPromise(openIssuers({ ca: issuer.ca }).keysOf(issuer.url, false))).toBe('access/issuer')
    for (const host of [
      '127.0.0.1',
      '[::1]',
      '10.1.2.3',
      '169.254.169.254',
      '[::ffff:127.0.0.1]',
      '[fd00::1]',
      '2130706433',
    ])
      expect(await codeOfPromise(openIssuers({ ca: issuer.ca }).keysOf(`https://${host}`, false))).toBe('access/issuer')
    expect(issuer.requests.length).toBe(asked)
  })

  test('has a public address', () => {
    for (const one of ['8.8.8.8', '1.1.1.1', '2606:4700::1111', '172.32.0.1', '::ffff:8.8.8.8'])
      expect([one, isPublicAddress(one)]).toEqual([one, true])
    const inside = [
      '0.0.0.0',
      '10.0.0.1',
      '100.64.0.1',
      '127.0.0.1',
      '169.254.169.254',
      '172.16.0.1',
      '192.168.1.1',
      '224.0.0.1',
    ]
    const inside6 = [
      '::',
      '::1',
      'fe80::1',
      'fc00::1',
      '::ffff:10.0.0.1',
      '64:ff9b::a00:1',
      '2002:a00:1::',
      '2001:db8::1',
      'ff02::1',
    ]
    for (const one of [...inside, ...inside6, 'localhost', ''])
      expect([one, isPublicAddress(one)]).toEqual([one, false])
  })
})

// PGlite is one for a file: opened again it is empty, so these come last.
describe.each(databases)('on $name', ({ open: openHere }) => {
  test('a token is known by the list that its owner signed last, at one owner and at no other', async () => {
    const access = openAccess(openIssuers({ ca: issuer.ca, privateIssuers: [issuer.place] }))
    const { owner, other, say, get } = await twoTenants(await openHere(), issuer, access)
    const token = await issuer.token(claims())
    expect(await get(owner, 'leases', token)).toMatchObject({ status: 404, code: 'broker/unknown-tenant' })
    await say(owner, list([identity('m7', 'owner', known())]))
    expect((await get(owner, 'access', token)).body).toMatchObject({ id: 'm7', role: 'owner' })
    expect(await get(other, 'access', token)).toMatchObject({ status: 404, code: 'broker/unknown-tenant' })
    await say(owner, list([identity('m8', 'owner', known({ subject: 'machine-8' }))]))
    expect(await get(owner, 'access', token)).toMatchObject({ status: 404, code: 'broker/unknown-tenant' })
  })
})
