/**
 * I2: a key leaves the broker only encrypted to a public key that verified evidence binds.
 *
 * Further attacks: test/keybroker/refusals.test.ts (each field of a request), test/keybroker/release.test.ts,
 * test/runtime/session.test.ts (a key wrapped for another entry), test/keybroker/kbs/routes.test.ts (points off the curve).
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fromBase64, toBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { generateHybridKey, hpkeOpen } from '#core/crypto/hpke.js'
import { canonicalJson } from '#core/encoding/json.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { releaseAad, releaseInfo } from '#core/wire/release.js'
import { type TestChain, testChain } from '#test/e2e/fixtures.js'
import { openOwner } from '#test/invariants/fixtures.js'
import { asking } from '#test/invariants/live.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain()
})
afterAll(async () => one?.chain.close())

test('a key put in the place of the attested one gets nothing, with or without its digest beside it', async () => {
  const node = await asking(one)
  const thief = await generateHybridKey()
  const swapped = async () => {
    const request = await node.request(await node.challenge())
    return { ...request, keyset: { ...request.keyset, release: thief.publicKey } }
  }
  const first = await node.release(await swapped())
  expect(first.status).toBe(422)
  expect(first.body.wrapped).toBeUndefined()

  // The statement is changed to fit the thief's keyset: then the evidence was not made for it.
  const request = await swapped()
  const binding = { ...request.binding, keyset_digest: keysetDigest(request.keyset) }
  const second = await node.release({ ...request, binding })
  expect([403, 422]).toContain(second.status)
  expect(second.body.wrapped).toBeUndefined()
})

test('what passes on the wire holds no key, and opens with the attested private key alone', async () => {
  const node = await asking(one)
  const owner = await openOwner(one.options.folder, one.chain.stack.url)
  const dek = await owner.dek()
  const request = await node.request(await node.challenge())
  const { status, body } = await node.release(request)
  expect(status).toBe(200)
  const wire = Buffer.from(canonicalJson(body)).toString()
  for (const spelled of [toHex(dek), toBase64(dek), toBase64Url(dek)]) expect(wire).not.toContain(spelled)

  const info = releaseInfo(hashLeaf(fromBase64(body.leaf)))
  const aad = releaseAad(request.manifestDigest)
  const wrapped = fromBase64(body.wrapped)
  expect(toHex(await hpkeOpen(node.releaseKey, info, aad, wrapped))).toBe(toHex(dek))
  const other = await generateHybridKey()
  await expect(hpkeOpen(other, info, aad, wrapped)).rejects.toMatchObject({ code: expect.stringMatching(/^crypto\//) })
})
