import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { authorizeByToken } from '#attest/service/authorize.js'
import {
  announceKey,
  createKeyFolder,
  followKeySet,
  type KeySet,
  loadKeySet,
  retireKey,
  rollKeys,
} from '#attest/service/keys.js'
import { createAttestApp } from '#attest/service/routes.js'
import { utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { signatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import { verifyEar } from '#core/wire/ear.js'
import { type Keyset, keysetDigest, releaseKeyThumbprint } from '#core/wire/keyset.js'
import { createLog } from '#host/log.js'
import { testPlatform, testReferenceValues, testRootDigest, testTime } from '../../fakes/platform.js'
import { newNode } from './fixtures.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-attest-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const token = 'a-token-of-the-broker'
let keys: KeySet
let keyset: Keyset
let binding: Binding
let evidence: unknown
beforeAll(async () => {
  keys = await createKeyFolder(join(folder, 'service'), testTime)
  ;({ keyset, binding } = await newNode())
  evidence = await (await testPlatform()).attest(reportDataOf(binding))
})

function app(roots: readonly string[] = [testRootDigest]) {
  return createAttestApp({
    issuer: 'https://verifier.example',
    build: 'test',
    keys: async () => keys,
    anchors: async () => ({ simulatedRoots: roots }),
    authorize: authorizeByToken([sha256(utf8(token))]),
    now: () => testTime,
    log: createLog('attest', 'silent'),
  }).hono
}
const good = () => ({
  evidence,
  binding,
  keyset,
  referenceValues: JSON.parse(JSON.stringify(testReferenceValues())),
  tenantClass: 'development',
})
const post = (body: unknown, headers: Record<string, string> = {}, roots?: readonly string[]) =>
  app(roots).request('/v1/attest', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

describe('POST /v1/attest', () => {
  test('gives an EAR that names nonce, audience, key and keyset of the binding', async () => {
    const response = await post(good())
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const { ear } = (await response.json()) as { ear: string }
    const found = await verifyEar(ear, keys.publicKeys, { audience: binding.audience, at: testTime })
    expect(found).toMatchObject({
      status: 'warning',
      platform: 'simulated',
      nonce: binding.nonce,
      keysetDigest: keysetDigest(keyset),
      keyThumbprint: releaseKeyThumbprint(keyset),
    })
  })

  test.each([
    ['another nonce', () => ({ ...good(), binding: { ...binding, nonce: `${'D'.repeat(42)}A` } })],
    ['another audience', () => ({ ...good(), binding: { ...binding, audience: 'E'.repeat(43) } })],
    ['other settings', () => ({ ...good(), binding: { ...binding, config_digest: '44'.repeat(32) } })],
    [
      'another keyset',
      () => {
        const other = { ...keyset, notAfter: testTime + 7200 }
        return { ...good(), keyset: other, binding: { ...binding, keyset_digest: keysetDigest(other) } }
      },
    ],
  ])('is contraindicated for evidence that binds %s', async (_, body) => {
    const response = await post(body())
    const { ear } = (await response.json()) as { ear: string }
    const audience = body().binding.audience
    const found = await verifyEar(ear, keys.publicKeys, { audience, at: testTime })
    expect(found.status).toBe('contraindicated')
    expect(found.checks.find((check) => check.status === 'contraindicated')?.id).toBe('report-data')
  })

  test('is contraindicated for simulated evidence of a production tenant, whatever roots the service names', async () => {
    for (const roots of [[testRootDigest], []]) {
      const { ear } = (await (await post({ ...good(), tenantClass: 'production' }, {}, roots)).json()) as {
        ear: string
      }
      const found = await verifyEar(ear, keys.publicKeys, { audience: binding.audience, at: testTime })
      expect(found).toMatchObject({ status: 'contraindicated', platform: 'simulated', tenantClass: 'production' })
    }
  })

  test.each([
    ['no token', () => good(), { authorization: '' }, 401, 'attest/unauthorized'],
    ['another token', () => good(), { authorization: 'Bearer x' }, 401, 'attest/unauthorized'],
    [
      'a keyset that the binding does not name',
      () => ({ ...good(), keyset: { ...keyset, notAfter: 1 } }),
      {},
      422,
      'attest/keyset',
    ],
    ['no tenant class', () => ({ ...good(), tenantClass: undefined }), {}, 400, 'shape/missing'],
    ['a policy of the caller', () => ({ ...good(), policy: 'vectors' }), {}, 400, 'shape/unknown'],
    [
      'a report cut short',
      () => ({ ...good(), evidence: { ...(evidence as object), report: 'AAAA' } }),
      {},
      400,
      'shape/form',
    ],
    ['another media type', () => good(), { 'content-type': 'text/plain' }, 415, 'http/media-type'],
    ['text that is no JSON', () => '{', {}, 400, 'json/syntax'],
    ['a body beyond the bound', () => `"${'a'.repeat(600 * 1024)}"`, {}, 413, 'http/body-size'],
  ])('refuses %s', async (_, body, headers, status, code) => {
    const response = await post(body(), headers)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ code })
  })

  test.each(['Bearer', 'bearer', 'BEARER'])('the scheme is read without regard to case: %s', (scheme) => {
    const authorize = authorizeByToken([sha256(utf8(token))])
    expect(() => authorize(`${scheme} ${token}`)).not.toThrow()
    expect(() => authorize(`${scheme} ${token}x`)).toThrowError(
      expect.objectContaining({ code: 'attest/unauthorized' }),
    )
  })

  test('lets nobody in when no token is known', () => {
    expect(() => authorizeByToken([])(`Bearer ${token}`)).toThrowError(
      expect.objectContaining({ code: 'attest/unauthorized' }),
    )
  })
})

describe('GET /.well-known/jwks.json', () => {
  test('shows every key whose signatures count, and no private part', async () => {
    const response = await app().request('/.well-known/jwks.json')
    const { keys: shown } = (await response.json()) as { keys: Record<string, unknown>[] }
    expect(shown).toHaveLength(1)
    expect(shown[0]).toEqual({ ...keys.current.publicKey, kid: keys.current.id, alg: 'EdDSA', use: 'sig' })
  })
})

describe('the folder of keys', () => {
  test('is made by an explicit step, for this user only, and never written over', async () => {
    const path = join(folder, 'made')
    await expect(loadKeySet(path)).rejects.toMatchObject({ code: 'file/absent' })
    const made = await createKeyFolder(path, testTime, 'ES256')
    expect(made.current.algorithm).toBe('ES256')
    expect(statSync(path).mode & 0o777).toBe(0o700)
    for (const name of readdirSync(path)) expect(statSync(join(path, name)).mode & 0o777, name).toBe(0o600)
    await expect(createKeyFolder(path, testTime)).rejects.toMatchObject({ code: 'file/exists' })
    expect((await loadKeySet(path)).current.id).toBe(made.current.id)
  })

  test('rolls over: the new key signs, the old one counts until it is retired', async () => {
    const path = join(folder, 'rolled')
    const first = await createKeyFolder(path, testTime)
    const second = await rollKeys(path, testTime + 1)
    expect(second.current.id).not.toBe(first.current.id)
    expect(second.publicKeys).toEqual([second.current.publicKey, first.current.publicKey])
    expect(readdirSync(path).filter((name) => name.endsWith('.pk8'))).toEqual([`${second.current.id}.pk8`])
    await expect(retireKey(path, second.current.id)).rejects.toMatchObject({ code: 'attest-keys/current' })
    await expect(retireKey(path, 'Z'.repeat(43))).rejects.toMatchObject({ code: 'attest-keys/unknown' })
    const third = await retireKey(path, first.current.id)
    expect(third.publicKeys).toEqual([second.current.publicKey])
  })

  test('shows an announced key before it signs: rolling makes it the one that does', async () => {
    const path = join(folder, 'announced')
    const first = await createKeyFolder(path, testTime)
    const follow = followKeySet(path)
    expect((await follow()).publicKeys).toHaveLength(1)
    const announced = await announceKey(path, testTime + 1)
    expect(announced.current.id).toBe(first.current.id)
    expect(announced.publicKeys).toHaveLength(2)
    await expect(announceKey(path, testTime + 2)).rejects.toMatchObject({ code: 'attest-keys/announced' })
    expect(await follow()).toEqual(announced)
    const rolled = await rollKeys(path, testTime + 2)
    expect(rolled.current.publicKey).toEqual(announced.publicKeys[0])
    expect(rolled.publicKeys).toEqual(announced.publicKeys)
    expect((await follow()).current.id).toBe(rolled.current.id)
    // One that was announced and is not wanted any more goes, with its private part.
    const unwanted = await announceKey(path, testTime + 3)
    expect((await retireKey(path, thumbprint(unwanted.publicKeys[0]!))).publicKeys).toEqual(rolled.publicKeys)
    expect(readdirSync(path).filter((name) => name.endsWith('.pk8'))).toEqual([`${rolled.current.id}.pk8`])
  })

  test('keeps a bounded number of keys', async () => {
    const path = join(folder, 'many')
    await createKeyFolder(path, testTime)
    for (let i = 1; i < 16; i++) await rollKeys(path, testTime + i)
    await expect(rollKeys(path, testTime + 16)).rejects.toMatchObject({ code: 'attest-keys/count' })
  })

  test('survives a run that died before it named its new key', async () => {
    const path = join(folder, 'died')
    const first = await createKeyFolder(path, testTime)
    writeFileSync(join(path, 'new.pk8'), 'half', { mode: 0o600 })
    expect((await loadKeySet(path)).current.id).toBe(first.current.id)
    expect((await rollKeys(path, testTime)).publicKeys).toHaveLength(2)
  })

  test.each([
    [
      'a current key that is not listed',
      (index: Record<string, unknown>) => ({ ...index, current: 'Z'.repeat(43) }),
      'attest-keys/form',
    ],
    ['an unknown member', (index: Record<string, unknown>) => ({ ...index, more: 1 }), 'shape/unknown'],
    ['no key', (index: Record<string, unknown>) => ({ ...index, keys: [] }), 'shape/range'],
  ])('is refused with %s', async (name, change, code) => {
    const path = join(folder, name.replaceAll(' ', '-'))
    const made = await createKeyFolder(path, testTime)
    const index = {
      format: 'claviger-attest-keys/1',
      current: made.current.id,
      keys: [{ publicKey: made.current.publicKey, createdAt: testTime }],
    }
    signatureJwk(index.keys[0]!.publicKey, 'key')
    writeFileSync(join(path, 'keys.json'), JSON.stringify(change(index)))
    await expect(loadKeySet(path)).rejects.toMatchObject({ code })
  })
})
