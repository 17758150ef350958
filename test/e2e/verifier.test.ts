import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { announceKey, retireKey, rollKeys } from '#attest/service/keys.js'
import { chainPlaces } from '#cli/chain.js'
import { adminTokenPath } from '#cli/service-state.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { verifyEar } from '#core/wire/ear.js'
import { type TestChain, testChain } from '#test/e2e/fixtures.js'
import { nowSeconds, openOwner, post } from '#test/invariants/fixtures.js'
import { asking, oneMoreNode } from '#test/invariants/live.js'

let one: TestChain
let authorization: string
let folder: string
beforeAll(async () => {
  one = await testChain()
  const { services } = chainPlaces(one.options.folder)
  folder = join(services, 'verifier')
  authorization = `Bearer ${(await readFile(adminTokenPath(services), 'utf8')).trim()}`
}, 120_000)
afterAll(async () => one?.chain.close())

/** The keys that the service shows, as anybody reads them. */
async function shownKeys(): Promise<readonly SignatureJwk[]> {
  const response = await fetch(new URL('/.well-known/jwks.json', one.chain.stack.url))
  expect(response.status).toBe(200)
  const { keys } = (await response.json()) as { keys: (SignatureJwk & { kid: string; alg: string; use: string })[] }
  return keys.map(({ kid, alg: _a, use: _u, ...key }) => {
    expect(thumbprint(key)).toBe(kid)
    return key
  })
}

/** Evidence of the chain's machine, as it is sent to the verifier. */
async function attestation() {
  const node = await asking(one)
  const { binding, evidence, keyset } = await node.request(await node.challenge())
  const [runtime] = [JSON.parse(await readFile(chainPlaces(one.options.folder).runtime, 'utf8'))]
  return { evidence, binding, keyset, referenceValues: runtime.values, tenantClass: 'development' }
}

const attest = async (headers: Record<string, string> = { authorization }) =>
  post(one.chain.stack.url, '/v1/attest', await attestation(), headers)

describe('the verifier beside the broker', () => {
  test('gives its result to whoever holds the token of the operator, and to nobody else', async () => {
    const { status, body } = await attest()
    expect(status, JSON.stringify(body)).toBe(200)
    const audience = one.chain.stack.broker
    const ear = await verifyEar(body.ear, await shownKeys(), { audience, at: nowSeconds() })
    expect(ear).toMatchObject({ platform: 'simulated', status: 'warning', tenantClass: 'development' })
    for (const headers of [{}, { authorization: `Bearer ${'A'.repeat(43)}` }]) {
      const refused = await attest(headers as Record<string, string>)
      expect([refused.status, refused.body.code]).toEqual([401, 'attest/unauthorized'])
    }
  })

  test('rolls its keys over while it runs, and no node of an owner who heard the announcement is cut off', async () => {
    const [old] = await shownKeys()
    const { publicKeys } = await announceKey(folder, nowSeconds())
    expect(await shownKeys()).toEqual(publicKeys)
    const owner = await openOwner(one.options.folder, one.chain.stack.url)
    expect(owner.document.verifiers).toEqual(publicKeys)
    const { statement } = (await owner.heads()).find((head) => head.kind === 'trust')!
    const said = JSON.parse(Buffer.from(statement.payload, 'base64').toString())
    const { type: _t, tenant: _n, sequence: _s, previous: _p, issuedAt: _i, ...body } = said
    expect((await owner.say('trust', { ...body, verifiers: publicKeys })).status).toBe(200)

    const { current } = await rollKeys(folder, nowSeconds())
    expect(thumbprint(old!)).not.toBe(current.id)
    const node = await oneMoreNode(one)
    expect(node.session.grant.ear.status).toBe('warning')
    await node.close()
    const audience = one.chain.stack.broker
    const { ear } = (await attest()).body
    await verifyEar(ear, [current.publicKey], { audience, at: nowSeconds() })
    await expect(verifyEar(ear, [old!], { audience, at: nowSeconds() })).rejects.toMatchObject({ code: 'ear/key' })

    await retireKey(folder, thumbprint(old!))
    expect(await shownKeys()).toEqual([current.publicKey])
    expect((await openOwner(one.options.folder, one.chain.stack.url)).document.verifiers).toEqual([current.publicKey])
  })
})
