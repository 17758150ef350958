import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { clientKey, openJwe } from '#test/fakes/kbs-client.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { adminToken, guestAttestation, request, type TestKbs, testKbs } from '../fixtures.js'
import { type ClientError, getWithToken, ReferenceClient, type Send } from './client.js'

const errors = 'https://github.com/confidential-containers/kbs/errors/'
/** The variants of the reference server's error type; a client knows no others. */
const variants =
  'AdminAuthInitialization AdminAuthAccess AttestationError HTTPFailed HTTPSFailed InvalidRequestPath JweError PluginManagerInitialization PluginNotFound PluginInternalError PolicyDeny ParsePolicyError PolicyEngineError RvpsError SerdeError StorageBackendInitialization TokenNotFound TokenVerifierError PrometheusError'.split(
    ' ',
  )
const admin = { authorization: `Bearer ${adminToken}` }
const path = 'default/key/one'
const resource = `/kbs/v0/resource/${path}`

function clientOf(kbs: TestKbs, options: Parameters<typeof guestAttestation>[2] = {}, key = clientKey('P-256')) {
  const send: Send = (method, to, init) => kbs.ask(method, to, init)
  return new ReferenceClient(send, (session, its) => guestAttestation(session, its, options), key)
}
const failed = async (work: Promise<unknown>) => (await work.catch((error: unknown) => error)) as ClientError

const databases = databasesUnderTest()

describe.each(databases)('a client of the protocol on $name', ({ open }) => {
  const start = async () => {
    const kbs = await testKbs(await open())
    await kbs.ask('POST', resource, { body: 'the secret', headers: admin })
    return kbs
  }

  test('attests when it is told to, once, and gets what it asks for', async () => {
    const kbs = await start()
    const client = clientOf(kbs)
    expect((await client.get(path)).toString()).toBe('the secret')
    expect((await client.get(path)).toString()).toBe('the secret')
    expect(client.handshakes).toBe(1)
    kbs.clock.now += 301
    expect((await client.get(path)).toString()).toBe('the secret')
    expect(client.handshakes).toBe(2)
  })

  test('stops at a denial and at what is not there, and tries three times where attestation fails', async () => {
    const kbs = await start()
    const client = clientOf(kbs)
    expect(await failed(client.get('default/key/two'))).toMatchObject({ kind: 'not-found' })
    kbs.policy.allow = false
    expect(await failed(client.get(path))).toMatchObject({
      kind: 'server',
      status: 403,
      message: `${errors}PolicyDeny`,
    })
    expect(client.handshakes).toBe(1)
    const false_ = clientOf(kbs, { measurement: 'cd'.repeat(48) })
    expect(await failed(false_.get(path))).toMatchObject({ message: `${errors}AttestationError` })
    expect(await failed(clientOf(kbs).handshake('sample'))).toMatchObject({ message: `${errors}AttestationError` })
  })

  test('gets it with a passport and the key that the passport names, and nothing but ciphertext with another', async () => {
    const kbs = await start()
    for (const kind of ['P-256', 'P-521', 'RSA'] as const) {
      const client = clientOf(kbs, {}, clientKey(kind))
      const token = await client.handshake()
      expect((await getWithToken(kbs.ask, path, token, client.key)).toString()).toBe('the secret')
      await expect(getWithToken(kbs.ask, path, token, clientKey(kind))).rejects.toThrow()
    }
  })

  test('cannot answer one session with another’s nonce, evidence or cookie, nor any of them twice', async () => {
    const kbs = await start()
    const open_ = async () => {
      const answer = await kbs.ask('POST', '/kbs/v0/auth', { body: request() })
      const { nonce } = (await answer.json()) as { nonce: string }
      return { nonce, cookie: answer.headers.get('set-cookie')!.split(';')[0]! }
    }
    const attest = (cookie: string, body: string) => kbs.ask('POST', '/kbs/v0/attest', { body, headers: { cookie } })
    const key = clientKey('P-256')
    const [a, b] = [await open_(), await open_()]
    const forA = await guestAttestation(a, key)
    expect((await attest(b.cookie, forA)).status).toBe(401)
    // B's nonce is spent by that, and A's is not.
    expect((await attest(b.cookie, await guestAttestation(b, key))).status).toBe(401)
    expect((await attest(a.cookie, forA)).status).toBe(200)
    expect((await attest(a.cookie, forA)).status).toBe(401)
    // Evidence of A under the nonce of C, said to be C's.
    const c = await open_()
    const mixed = forA.replaceAll(JSON.stringify(a.nonce), JSON.stringify(c.nonce))
    expect((await attest(c.cookie, mixed)).status).toBe(401)
    // The key of another in a session that is open.
    const d = await open_()
    const theirs = await guestAttestation(d, key, { sentJwk: clientKey('P-256').jwk })
    expect((await attest(d.cookie, theirs)).status).toBe(401)
    // Too late.
    const e = await open_()
    const late = await guestAttestation(e, key)
    kbs.clock.now += 300
    expect((await attest(e.cookie, late)).status).toBe(401)
    expect((await kbs.ask('GET', resource, { headers: { cookie: e.cookie } })).status).toBe(401)
  })
})

describe.each(databases.slice(0, 1))('the protocol’s forms', ({ open }) => {
  test('of the JWE: members, their spelling and the order of its header', async () => {
    const kbs = await testKbs(await open())
    await kbs.ask('POST', resource, { body: 'the secret', headers: admin })
    for (const kind of ['P-256', 'P-521', 'RSA'] as const) {
      const client = clientOf(kbs, {}, clientKey(kind))
      await client.handshake()
      const answer = await kbs.ask('GET', resource, { headers: { cookie: client.cookie! } })
      expect(answer.headers.get('content-type')).toBe('application/json')
      const text = await answer.text()
      const jwe = JSON.parse(text) as Record<string, string>
      expect(Object.keys(jwe)).toEqual(['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'])
      const header = Buffer.from(jwe.protected!, 'base64url').toString()
      const coordinate = kind === 'P-256' ? 43 : 88
      expect(header).toMatch(
        kind === 'RSA'
          ? /^\{"alg":"RSA-OAEP-256","enc":"A256GCM"\}$/
          : new RegExp(
              `^\\{"alg":"ECDH-ES\\+A256KW","enc":"A256GCM","epk":\\{"crv":"${kind}","kty":"EC","x":"[\\w-]{${coordinate}}","y":"[\\w-]{${coordinate}}"\\}\\}$`,
            ),
      )
      expect(openJwe(client.key, text).toString()).toBe('the secret')
      expect(Buffer.from(jwe.iv!, 'base64url')).toHaveLength(12)
      expect(Buffer.from(jwe.tag!, 'base64url')).toHaveLength(16)
    }
  })

  test('of errors: every one is a variant that clients know, with a detail, whatever was asked', async () => {
    const kbs = await testKbs(await open())
    const { cookie } = await (async () => {
      const client = clientOf(kbs)
      await client.handshake()
      return client
    })()
    const large = new Uint8Array(2 * 1024 * 1024 + 1)
    const asked: readonly [string, string, string | Uint8Array | undefined, Record<string, string>, number, string][] =
      [
        ['GET', '/kbs/v0/auth', undefined, {}, 404, 'PluginNotFound'],
        ['PUT', '/kbs/v0/attest', '{}', {}, 404, 'PluginNotFound'],
        ['GET', '/kbs/v0/nebula-ca/credential?name=x', undefined, { cookie: cookie! }, 404, 'PluginNotFound'],
        ['GET', '/kbs/v0/external/name/a/b', undefined, { cookie: cookie! }, 404, 'PluginNotFound'],
        ['POST', '/kbs/v0/pkcs11/wrap', 'x', admin, 404, 'PluginNotFound'],
        ['GET', '/kbs/v0/', undefined, {}, 404, 'PluginNotFound'],
        ['GET', '/kbs/v0/resource/a/b', undefined, { cookie: cookie! }, 404, 'InvalidRequestPath'],
        ['GET', '/kbs/v0/resource/a/.x/c', undefined, { cookie: cookie! }, 404, 'InvalidRequestPath'],
        ['GET', '/kbs/v0/resource/a/%2e%2e/c/d', undefined, { cookie: cookie! }, 404, ''],
        ['GET', resource, undefined, {}, 401, 'TokenNotFound'],
        ['GET', resource, undefined, { authorization: 'Bearer a.b.c' }, 401, 'TokenVerifierError'],
        ['GET', resource, undefined, { cookie: cookie! }, 404, 'PluginInternalError'],
        ['POST', '/kbs/v0/attest', '{}', {}, 401, 'AttestationError'],
        ['POST', '/kbs/v0/attest', large, {}, 413, 'HTTPFailed'],
        ['POST', '/kbs/v0/auth', '{', {}, 400, 'SerdeError'],
        ['POST', resource, 'x', {}, 401, 'AdminAuthAccess'],
        ['DELETE', resource, undefined, {}, 401, 'AdminAuthAccess'],
        ['GET', '/kbs/v0/resource-policy', undefined, {}, 401, 'AdminAuthAccess'],
        ['GET', '/kbs/v0/reference-value/x', undefined, {}, 401, 'AdminAuthAccess'],
        ['POST', '/kbs/v0/resource-policy', '{"policy":"","policy":""}', admin, 422, 'ParsePolicyError'],
        ['POST', '/kbs/v0/resource-policy', '{"policy":"a+/="}', admin, 422, 'ParsePolicyError'],
        [
          'POST',
          '/kbs/v0/attestation-policy',
          '{"policy":"YQ","type":"rego","policy_id":"default_cpu"}',
          admin,
          422,
          'ParsePolicyError',
        ],
      ]
    for (const [method, to, body, headers, status, variant] of asked) {
      const init =
        body instanceof Uint8Array
          ? { body, headers: { ...headers, 'content-length': String(body.length) } }
          : body === undefined
            ? { headers }
            : { body, headers }
      const answer = await kbs.ask(method, to, init)
      const what = `${method} ${to}`
      expect(answer.status, what).toBe(status)
      const said = (await answer.json()) as { type: string; detail: string }
      expect(
        said.type.startsWith(errors) && variants.includes(said.type.slice(errors.length)),
        `${what} ${said.type}`,
      ).toBe(true)
      if (variant !== '') expect(said.type, what).toBe(`${errors}${variant}`)
      expect(said.detail.length, what).toBeGreaterThan(0)
    }
  })

  test('of what administrators are answered', async () => {
    const kbs = await testKbs(await open())
    for (const [method, to, body] of [
      ['POST', resource, 'x'],
      ['DELETE', resource, undefined],
    ] as const) {
      const answer = await kbs.ask(method, to, body === undefined ? { headers: admin } : { body, headers: admin })
      expect([answer.status, await answer.text(), answer.headers.get('content-type')]).toEqual([200, '', 'text/xml'])
    }
    const ids = await kbs.ask('GET', '/kbs/v0/resource-policy', { headers: admin })
    expect([ids.status, await ids.json()]).toEqual([200, ['resource-policy']])
    const value = await kbs.ask('GET', '/kbs/v0/reference-value/snp_launch_measurement', { headers: admin })
    expect([value.status, await value.json()]).toEqual([200, null])
  })

  test('a query beside a resource changes nothing, and names no other', async () => {
    const kbs = await testKbs(await open())
    await kbs.ask('POST', resource, { body: 'the secret', headers: admin })
    const client = clientOf(kbs)
    await client.handshake()
    const headers = { cookie: client.cookie! }
    const answer = await kbs.ask('GET', `${resource}?version=2&tag=two`, { headers })
    expect(openJwe(client.key, await answer.text()).toString()).toBe('the secret')
  })
})

test('the client imports nothing of ours', () => {
  for (const file of ['./client.ts', '../../../fakes/kbs-client.ts']) {
    const text = readFileSync(new URL(file, import.meta.url), 'utf8')
    const imports = [...text.matchAll(/from '([^']+)'/g)].map((found) => found[1]!)
    expect(imports.length).toBeGreaterThan(0)
    expect(imports.filter((one) => !one.startsWith('node:') && !one.endsWith('/kbs-client.js'))).toEqual([])
  }
})
