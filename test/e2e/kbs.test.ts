import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as bundleCommand from '#cli/bundle.js'
import { chainPlaces } from '#cli/chain.js'
import * as registerCommand from '#cli/register.js'
import { loadModelKey, loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { manifestDigest } from '#core/sealed/manifest.js'
import { manifestName } from '#core/sealed/signature.js'
import { type TestChain, testChain, testIo } from '#test/e2e/fixtures.js'
import { attestation, clientKey, clientReportData, openJwe } from '#test/fakes/kbs-client.js'
import { certificatesOf, request } from '#test/keybroker/kbs/fixtures.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
}, 120_000)
afterAll(async () => one?.chain.close())

const at = (path: string) => new URL(path, one.chain.stack.url)

/** A client of the KBS protocol on the chain's machine, attested: what it asks for by path, as an answer with its key. */
async function guest() {
  const key = clientKey('P-256')
  const headers = { 'content-type': 'application/json' }
  const opened = await fetch(at('/kbs/v0/auth'), { method: 'POST', headers, body: request() })
  expect(opened.status).toBe(200)
  const cookie = opened.headers.get('set-cookie')!.split(';')[0]!
  const { nonce } = (await opened.json()) as { nonce: string }
  const evidence = await one.chain.attester.attest(clientReportData(nonce, key.jwk))
  if (evidence.kind !== 'snp') throw new Error('the machine of the chain is another one')
  const body = attestation(nonce, key.jwk, fromBase64(evidence.report), certificatesOf(evidence))
  const attested = await fetch(at('/kbs/v0/attest'), { method: 'POST', headers: { ...headers, cookie }, body })
  expect(attested.status, await attested.clone().text()).toBe(200)
  return { key, get: (path: string) => fetch(at(`/kbs/v0/resource/${path}`), { headers: { cookie } }) }
}

/** The model is registered again, as its owner types it. */
async function register(policy: string, delivery?: readonly ('v1' | 'kbs')[]) {
  const { sealed, trust, keys } = chainPlaces(one.options.folder)
  const terms = {
    callers: 'any',
    leaseSeconds: 60,
    leaseRequests: 1000,
    leaseBytes: 1_000_000_000,
    leaseUnits: 1_000_000_000,
    nodes: 10,
    class: 'development' as const,
  }
  const io = testIo()
  const args = { sealed, trust, keys, broker: one.chain.stack.url, policy, delivery, ...terms }
  expect(await registerCommand.run(args, io), io.err()).toBe(0)
  return io.out()
}

test('a model key leaves by the KBS route when its owner lists it, and is not there when not', async () => {
  const { keys, sealed } = chainPlaces(one.options.folder)
  const { signingKey } = await loadOwnerKeys(keys)
  const digest = manifestDigest(new Uint8Array(await readFile(join(sealed, manifestName))))
  const dek = await loadModelKey(keys, digest)
  const path = `${signingKey.id}/matmul/1`

  const { get, key } = await guest()
  const notListed = async () => {
    const [here, nowhere] = [await get(path), await get(`${signingKey.id}/nothing/1`)]
    expect(here.status).toBe(403)
    const text = await here.text()
    expect(text).toContain('its owner does not deliver it by this route')
    // A model that does not exist is answered the same.
    expect([nowhere.status, await nowhere.text()]).toEqual([403, text])
  }
  await notListed()

  // Listed, but under a policy that asks for a place: such a client has none to state.
  expect(await register('eu-development', ['v1', 'kbs'])).toContain('KBS route')
  const denied = await get(path)
  expect([denied.status, await denied.text()]).toEqual([403, expect.stringContaining('the owner’s policy')])

  await register('development', ['v1', 'kbs'])
  const answer = await get(path)
  expect(answer.status, await answer.clone().text()).toBe(200)
  expect(new Uint8Array(openJwe(key, await answer.text()))).toEqual(new Uint8Array(dek))

  // Both decisions stand in the log; the last entry is the release.
  const out = testIo()
  const tree = (await (await fetch(at('/checkpoint'))).text()).split('\n')[1]
  const bundle = { entry: Number(tree) - 1, broker: one.chain.stack.url, keys, out: join(one.folder, 'kbs.json') }
  expect(await bundleCommand.run(bundle, out)).toBe(0)
  const file = JSON.parse(await readFile(bundle.out, 'utf8'))
  expect(file).toMatchObject({ type: 'claviger/kbs-bundle/v1', resource: path, decision: { allow: true } })

  await register('development')
  await notListed()
})
