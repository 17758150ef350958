import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Steps } from '#client/steps.js'
import { kbsBundleSteps, readKbsBundle } from '#client/verify-kbs-bundle.js'
import type { Ed25519Jwk, P256Jwk, SignatureJwk } from '#core/crypto/jwk.js'
import { jwkToSpki, thumbprint } from '#core/crypto/jwk.js'
import type { Json } from '#core/encoding/json.js'
import { parseEntry } from '#core/wire/entries.js'
import { verifyAdminJwt } from '#keybroker/kbs/admin-token.js'
import { verifyPassport, verifyVerifiers } from '#keybroker/kbs/passport.js'
import { bundleAt } from '#keybroker/queries.js'
import { kbsEvidenceStore } from '#keybroker/store/kbs-store.js'
import { clientKey } from '#test/fakes/kbs-client.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { registered } from '../../fixtures.js'
import { errorOf, pathOf, route } from '../fixtures.js'
import { getWithToken } from './client.js'

const part = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

interface Pair {
  readonly jwk: SignatureJwk
  readonly privateKey: KeyObject
}
function ed25519(): Pair & { readonly jwk: Ed25519Jwk } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { jwk: { kty: 'OKP', crv: 'Ed25519', x: publicKey.export({ format: 'jwk' }).x! }, privateKey }
}
function p256(): Pair & { readonly jwk: P256Jwk } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y } = publicKey.export({ format: 'jwk' })
  return { jwk: { kty: 'EC', crv: 'P-256', x: x!, y: y! }, privateKey }
}

/** A JWT as other tools make it: `header` and `claims` as text or value. */
function jwt(key: KeyObject, header: unknown, claims: unknown): string {
  const signed = `${part(header)}.${part(claims)}`
  const isEc = key.asymmetricKeyType === 'ec'
  const how = isEc ? ({ key, dsaEncoding: 'ieee-p1363' } as const) : key
  const hash = key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  return `${signed}.${sign(hash, Buffer.from(signed), how).toString('base64url')}`
}
/** The oldest trick: the public key's bytes as the secret of a MAC. */
function hmacJwt(secret: Uint8Array | string, claims: unknown): string {
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

const now = 1_800_000_000
const broker = thumbprint(ed25519().jwk)

describe('an administrator’s JWT', () => {
  const admin = ed25519()
  const header = { alg: 'EdDSA', typ: 'JWT' }
  const claims = { role: 'kbs-admin', aud: broker, iat: now - 10, exp: now + 600, iss: 'somebody' }
  const verify = (token: string, keys = [admin.jwk]) => verifyAdminJwt(token, keys, broker, now)
  const refused = { code: 'kbs/admin' }

  test.each([
    ['as it is', header, claims],
    ['without a type, with the name of a key', { alg: 'EdDSA', kid: 'admin-1' }, claims],
    ['for several', header, { ...claims, aud: ['other', broker] }],
    ['of a clock that is a minute ahead', header, { ...claims, iat: now + 60, nbf: now + 60 }],
    ['that ended less than a minute ago', header, { ...claims, exp: now - 59 }],
  ])('is taken %s', async (_name, head, body) => {
    await verify(jwt(admin.privateKey, head, body))
  })

  test.each([
    ['of another key', () => jwt(ed25519().privateKey, header, claims)],
    ['with no algorithm', () => `${part({ alg: 'none' })}.${part(claims)}.`],
    ['with no algorithm, and a signature', () => jwt(admin.privateKey, { alg: 'none' }, claims)],
    ['with a MAC under the public key', () => hmacJwt(Buffer.from(admin.jwk.x, 'base64url'), claims)],
    ['with a MAC under the public key’s DER', () => hmacJwt(jwkToSpki(admin.jwk), claims)],
    ['with ECDSA', () => jwt(p256().privateKey, { alg: 'ES256' }, claims)],
    ['that says ECDSA of an EdDSA signature', () => jwt(admin.privateKey, { alg: 'ES256' }, claims)],
    [
      'that brings its own key',
      () => {
        const other = ed25519()
        return jwt(other.privateKey, { ...header, jwk: other.jwk }, claims)
      },
    ],
    ['with critical extensions', () => jwt(admin.privateKey, { ...header, crit: ['x'], x: 1 }, claims)],
    ['with an algorithm twice', () => jwt(admin.privateKey, '{"alg":"EdDSA","alg":"none"}', claims)],
    ['with a role twice', () => jwt(admin.privateKey, header, `{"role":"x",${JSON.stringify(claims).slice(1)}`)],
    ['of no role', () => jwt(admin.privateKey, header, { ...claims, role: undefined })],
    ['of another role', () => jwt(admin.privateKey, header, { ...claims, role: 'kbs-admin2' })],
    ['for nobody', () => jwt(admin.privateKey, header, { ...claims, aud: undefined })],
    ['for another broker', () => jwt(admin.privateKey, header, { ...claims, aud: thumbprint(ed25519().jwk) })],
    ['that never ends', () => jwt(admin.privateKey, header, { ...claims, exp: undefined })],
    ['that ended a minute ago', () => jwt(admin.privateKey, header, { ...claims, exp: now - 60 })],
    ['that lasts two days', () => jwt(admin.privateKey, header, { ...claims, exp: now + 172_800 })],
    ['of later', () => jwt(admin.privateKey, header, { ...claims, iat: now + 61 })],
    ['not yet valid', () => jwt(admin.privateKey, header, { ...claims, nbf: now + 61 })],
    ['whose end is a text', () => jwt(admin.privateKey, header, { ...claims, exp: String(now + 60) })],
    ['that is a list', () => jwt(admin.privateKey, header, [claims])],
    ['of ten thousand characters', () => jwt(admin.privateKey, header, { ...claims, x: 'x'.repeat(10_000) })],
  ])('is refused %s', async (_name, token) => {
    await expect(verify(token())).rejects.toMatchObject(refused)
  })

  test('is refused where nobody’s key was named, and when one bit of it is another', async () => {
    const token = jwt(admin.privateKey, header, claims)
    await expect(verify(token, [])).rejects.toMatchObject(refused)
    for (const at of [2, token.indexOf('.') + 5, token.length - 10]) {
      const other = token[at] === 'A' ? 'B' : 'A'
      await expect(verify(token.slice(0, at) + other + token.slice(at + 1))).rejects.toMatchObject(refused)
    }
  })
})

const guestKey = clientKey('P-256')
const profile = 'tag:github.com,2024:confidential-containers/Trustee'
const cpu = (status = 'affirming', more: object = {}) => ({
  'ear.status': status,
  'ear.veraison.annotated-evidence': {
    init_data: 'ab'.repeat(32),
    runtime_data_claims: { nonce: 'x', 'tee-pubkey': guestKey.jwk },
    snp: { measurement: 'cd'.repeat(48), chip_id: 'ef'.repeat(64), reported_tcb_snp: 20 },
    ...more,
  },
})
const passportOf = (at: number, more: object = {}) => ({
  eat_profile: profile,
  iss: 'CoCo-Attestation-Service',
  iat: at,
  exp: at + 300,
  submods: { cpu0: cpu() },
  ...more,
})

describe('a token of another verifier', () => {
  const verifier = p256()
  const other = ed25519()
  const header = { typ: 'JWT', alg: 'ES256', jwk: { ...verifier.jwk, alg: 'ES256' } }
  const verify = (token: string) => verifyPassport(token, [verifier.jwk, other.jwk], broker, now)
  const claims = passportOf(now)
  const without = { runtime_data_claims: { nonce: 'x' } }

  test.each([
    ['with its key in the header', header, claims],
    ['with the name of its key', { typ: 'JWT', alg: 'ES256', kid: 'k1' }, claims],
    ['for this broker', header, { ...claims, aud: broker }],
    ['of a clock a minute ahead', header, passportOf(now + 60)],
    ['that ended less than a minute ago', header, passportOf(now - 359)],
    [
      'with the key as cnf',
      header,
      { ...claims, cnf: { jwk: guestKey.jwk }, submods: { cpu0: cpu('affirming', without) } },
    ],
  ])('is taken %s', async (_name, head, body) => {
    const token = await verify(jwt(verifier.privateKey, head, body))
    expect(token).toMatchObject({
      kind: 'passport',
      verifier: thumbprint(verifier.jwk),
      teeKey: guestKey.jwk,
      tier: 'affirming',
      evidence: { tee: 'snp', platform: 'vouched', measurement: 'cd'.repeat(48), tcb: { snp: 20 } },
    })
  })

  test.each([
    ['of a key that nobody named', () => jwt(p256().privateKey, { alg: 'ES256' }, claims)],
    [
      'that brings the key it was signed with',
      () => {
        const own = p256()
        return jwt(own.privateKey, { alg: 'ES256', jwk: { ...own.jwk, alg: 'ES256' } }, claims)
      },
    ],
    ['with no algorithm', () => `${part({ alg: 'none' })}.${part(claims)}.`],
    ['with a MAC under the verifier’s public key', () => hmacJwt(jwkToSpki(verifier.jwk), claims)],
    ['with RSA', () => jwt(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, { alg: 'RS256' }, claims)],
    ['that says EdDSA of an ECDSA signature', () => jwt(verifier.privateKey, { alg: 'EdDSA' }, claims)],
    ['with a member twice', () => jwt(verifier.privateKey, header, `{"iat":1,${JSON.stringify(claims).slice(1)}`)],
    [
      'without the key of its guest',
      () => jwt(verifier.privateKey, header, passportOf(now, { submods: { cpu0: cpu('affirming', without) } })),
    ],
    ['with two keys', () => jwt(verifier.privateKey, header, { ...claims, cnf: { jwk: clientKey('P-256').jwk } })],
    [
      'with a key for RSA1_5',
      () => jwt(verifier.privateKey, header, { ...claims, 'tee-pubkey': { ...clientKey('RSA').jwk, alg: 'RSA1_5' } }),
    ],
    [
      'of another profile',
      () => jwt(verifier.privateKey, header, { ...claims, eat_profile: 'tag:ietf.org,2026:rats/ear#03' }),
    ],
    ['for another broker', () => jwt(verifier.privateKey, header, { ...claims, aud: thumbprint(ed25519().jwk) })],
    ['of later', () => jwt(verifier.privateKey, header, passportOf(now + 61))],
    ['that ended a minute ago', () => jwt(verifier.privateKey, header, passportOf(now - 360))],
    ['that lasts a day', () => jwt(verifier.privateKey, header, { ...claims, exp: now + 86_400 })],
    ['that never ends', () => jwt(verifier.privateKey, header, { ...claims, exp: undefined })],
    ['without a machine', () => jwt(verifier.privateKey, header, { ...claims, submods: { gpu0: cpu() } })],
    [
      'of two kinds at once',
      () => jwt(verifier.privateKey, header, passportOf(now, { submods: { cpu0: cpu('affirming', { tdx: {} }) } })),
    ],
    [
      'with a status that nobody knows',
      () => jwt(verifier.privateKey, header, passportOf(now, { submods: { cpu0: cpu('fine') } })),
    ],
    ['larger than a head', () => jwt(verifier.privateKey, header, { ...claims, x: 'x'.repeat(250_000) })],
  ])('is refused %s', async (_name, token) => {
    await expect(verify(token())).rejects.toMatchObject({ code: 'kbs/token' })
  })

  test('is as good as the worst of its parts, and the sample is simulated', async () => {
    const of = (submods: object, more: object = {}) =>
      verify(jwt(verifier.privateKey, header, passportOf(now, { submods, ...more })))
    expect(await of({ cpu0: cpu(), gpu0: cpu('contraindicated') })).toMatchObject({ tier: 'contraindicated' })
    expect(await of({ cpu0: cpu('warning'), gpu0: cpu() })).toMatchObject({ tier: 'warning' })
    expect(await of({ cpu0: cpu(), gpu0: cpu('none') })).toMatchObject({ tier: 'none' })
    expect(await of({ cpu0: cpu() }, { claviger_hardware: 'NOT HARDWARE' })).toMatchObject({
      evidence: { platform: 'simulated' },
    })
    // What it says of itself is not hardware to us.
    expect(await of({ cpu0: cpu() }, { claviger_hardware: 'hardware' })).toMatchObject({
      evidence: { platform: 'vouched' },
    })
    const sample = {
      'ear.status': 'affirming',
      'ear.veraison.annotated-evidence': { runtime_data_claims: { 'tee-pubkey': guestKey.jwk }, sample: {} },
    }
    expect(await of({ cpu0: sample })).toMatchObject({ evidence: { platform: 'simulated' } })
  })

  test('is of verifiers that were named, each once and not too many', () => {
    verifyVerifiers([verifier.jwk, other.jwk])
    expect(() => verifyVerifiers([verifier.jwk, { ...verifier.jwk }])).toThrow(/twice/)
    expect(() => verifyVerifiers(Array.from({ length: 9 }, () => p256().jwk))).toThrow(/at most 8/)
  })
})

describe.each(databasesUnderTest())('tokens at the route, on $name', ({ open }) => {
  test('an administrator’s JWT uploads, and a passport gets what a policy names its verifier for, but no model', async () => {
    const chain = await registered(await open(), { registration: { delivery: ['v1', 'kbs'] as const } })
    const { signer, clock } = chain.test.broker
    const [admin, verifier] = [ed25519(), p256()]
    const kbs = route(chain, [], undefined, undefined, { adminKeys: [admin.jwk], verifiers: [verifier.jwk] })
    const at = clock()
    const claims = { role: 'kbs-admin', aud: signer.id, exp: at + 600 }
    const headers = { authorization: `Bearer ${jwt(admin.privateKey, { alg: 'EdDSA' }, claims)}` }
    const resource = '/kbs/v0/resource/default/key/one'
    expect((await kbs.ask('POST', resource, { body: 'the secret', headers })).status).toBe(200)
    const forged = { authorization: `Bearer ${jwt(ed25519().privateKey, { alg: 'EdDSA' }, claims)}` }
    expect(await errorOf(await kbs.ask('POST', resource, { body: 'x', headers: forged }))).toMatchObject({
      code: 'kbs/admin',
    })

    const upload = async (head: string) => {
      const policy = Buffer.from(`@id("passports") permit (${head}, action, resource);`).toString('base64url')
      const body = JSON.stringify({ policy, type: 'cedar' })
      expect((await kbs.ask('POST', '/kbs/v0/resource-policy', { body, headers })).status).toBe(200)
    }
    const token = jwt(verifier.privateKey, { alg: 'ES256' }, passportOf(at))
    const get = (path: string, bearer = token) =>
      kbs.ask('GET', path, { headers: { authorization: `Bearer ${bearer}` } })
    expect((await get(resource)).status).toBe(403)
    await upload('principal')
    expect((await get(resource)).status).toBe(403)
    await upload(`principal == Claviger::Verifier::"${thumbprint(verifier.jwk)}"`)
    expect((await getWithToken(kbs.ask, 'default/key/one', token, guestKey)).toString()).toBe('the secret')
    // What was decided by, for who reads the log: whose word it was, and that it was not this broker's.
    const { broker } = chain.test
    for (let index = 0; ; index++) {
      const stored = await broker.store.read((reader) => reader.loadEntryAt(index))
      if (stored === null) break
      const entry = parseEntry(stored.leaf)
      if (entry.kind !== 'kbs') continue
      expect(entry.platform).toBe('simulated')
      const steps = new Steps(kbsBundleSteps)
      const file = JSON.parse(JSON.stringify(await bundleAt(broker, index, null))) as Json
      const { bundle, model } = await readKbsBundle(file, steps)
      expect(model).toBeNull()
      expect(bundle.token).toMatchObject({ type: 'claviger/passport/v1', verifier: thumbprint(verifier.jwk) })
      const spliced = { ...(file as object), token: { ...bundle.token, verifier: signer.id } }
      await expect(readKbsBundle(spliced as Json, new Steps(kbsBundleSteps))).rejects.toMatchObject({ name: 'Failure' })
    }
    // The same token at a broker where nobody named the verifier is none.
    const stranger = route(chain, ['affirming'])
    expect(
      await errorOf(await stranger.ask('GET', resource, { headers: { authorization: `Bearer ${token}` } })),
    ).toMatchObject({ code: 'kbs/token', status: 401 })
    // In the name of this broker, but signed by the verifier.
    const named = jwt(verifier.privateKey, { alg: 'EdDSA', typ: 'JWT', kid: signer.id }, passportOf(at))
    expect((await get(resource, named)).status).toBe(401)
    // A model key never: not even with the id of a token of ours, whose evidence is kept here.
    const model = await get(pathOf(chain))
    expect(await errorOf(model)).toMatchObject({ code: 'kbs/policy-deny' })
    const jti = randomBytes(16).toString('base64url')
    const evidence = await chain.platform.attest(new Uint8Array(64))
    await kbsEvidenceStore(chain.test.database).store(jti, evidence, at, at + 300)
    expect((await get(pathOf(chain), jwt(verifier.privateKey, { alg: 'ES256' }, passportOf(at, { jti })))).status).toBe(
      403,
    )
    await chain.test.close()
  })
})
