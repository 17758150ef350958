import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { placeInLine, readStanding } from '#cli/trust-line.js'
import { loadTrust } from '#cli/trust-store.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { signTrust } from '#core/wire/trust-file.js'
import { newBroker, trustIn } from '#test/client/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

test('a trust file of an earlier build gives its place in the line, and is believed in nothing', async () => {
  const { key } = await generateSigningKey('ES256')
  const { key: other } = await generateSigningKey('ES256')
  const path = join(await mkdtemp(join(tmpdir(), 'claviger-line-')), 'trust.json')
  const trust = { ...trustIn(await newBroker()), name: 'mine', version: 7 }
  const standingPlace = async (by: typeof key) => placeInLine(path, (await readStanding(path))!, by)
  expect(await readStanding(path)).toBeNull()
  await writeFile(path, canonicalJson(await signTrust(trust, key)))
  expect(await standingPlace(key)).toMatchObject({ name: 'mine', version: 7 })

  const earlier = async (by: typeof key) => {
    const signed = await signEnvelope('application/vnd.claviger.trust+json', canonicalJson(trust), [by])
    await writeFile(path, canonicalJson({ author: key.publicKey, trust: signed }))
  }
  await earlier(key)
  expect(await standingPlace(key)).toEqual({ name: 'mine', version: 7 })
  expect(await codeOfPromise(standingPlace(other))).toBe('init/author')
  expect(await codeOfPromise(loadTrust(path, trust.issuedAt, `${path}.memory`))).toBe('dsse/type')
  await earlier(other)
  expect(await codeOfPromise(standingPlace(key))).toBe('dsse/signer')
})
