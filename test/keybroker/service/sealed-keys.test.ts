import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeOpen, hpkeSeal, importRecipientKey } from '#core/crypto/hpke.js'
import { x25519ToJwk } from '#core/crypto/jwk.js'
import { canonicalJson, parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { kekOf } from '#core/sealed/keys.js'
import { kekIdOf } from '#keybroker/kek/file.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { ReleasedKek } from '#keybroker/kek/released.js'
import { kekRing } from '#keybroker/kek/ring.js'
import { parseKekSetting } from '#keybroker/kek/setting.js'
import { createBroker, openBrokerKeys } from '#keybroker/service/keys.js'
import { addHybridKey, resealOwnKeys } from '#keybroker/service/own-keys.js'
import { parseSealed, readSealedKey } from '#keybroker/service/sealed-keys.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

const setting = parseKekSetting('broker:https://a.example?sealed=/kek')
const keks = { current: setting, previous: [] }
const right = { pay: () => undefined, verifyAlive: () => undefined, close: async () => undefined }
const about = { broker: 'A'.repeat(43), model: `${'B'.repeat(43)}/kek`, class: 'production' } as const

function released(dek: Uint8Array): OpenKek {
  const held = new ReleasedKek()
  held.take(kekOf(dek))
  return held.open(about, right)
}
const dek = randomBytes(32)
const obtain = { obtain: async () => released(dek) }

let above: string
let original: string
let broker: string
let folder: string
let count = 0
beforeAll(async () => {
  above = await mkdtemp(join(tmpdir(), 'claviger-sealed-keys-'))
  original = join(above, 'original')
  broker = (await createBroker(original, { kek: released(dek) })).broker
})
afterAll(() => rm(above, { recursive: true }))
/** A copy, of which one thing is broken. */
beforeEach(async () => {
  folder = join(above, `copy-${count++}`)
  await createBroker(folder, { kek: released(dek) })
  for (const name of await readdir(original)) await copyFile(join(original, name), join(folder, name))
})
const codeOfOpening = (ports = obtain) =>
  codeOfPromise(openBrokerKeys(folder, keks, ports).then((keys) => keys.close()))

describe('the own keys of a broker whose key-encryption key is released to it', () => {
  test('lie sealed, for this user alone, and open with that key to the same broker', async () => {
    for (const name of await readdir(folder)) {
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
      expect(name.endsWith('.sealed') || name === 'admin-token.sha256').toBe(true)
    }
    const keys = await openBrokerKeys(folder, keks, obtain)
    expect(keys.signer.id).toBe(broker)
    for (const key of [keys.wrapping, keys.wrappingHybrid] as const) {
      const sealed = await hpkeSeal(key.publicKey, utf8('i'), utf8('a'), utf8('text'))
      expect(await hpkeOpen(key, utf8('i'), utf8('a'), sealed)).toEqual(utf8('text'))
    }
    const again = await openBrokerKeys(folder, keks, obtain)
    expect(again.callerSecret).toEqual(keys.callerSecret)
    expect(again.wrappingHybrid.publicKey).toEqual(keys.wrappingHybrid.publicKey)
    await keys.close()
    await again.close()
    expect(await codeOfPromise(createBroker(folder, { kek: released(dek) }))).toBe('file/exists')
    expect(await codeOfPromise(addHybridKey(folder))).toBe('file/exists')
  })

  test('open with no other key, and not without one', async () => {
    expect(await codeOfOpening({ obtain: async () => released(randomBytes(32)) })).toBe('kek/key-id')
    expect(await codeOfPromise(openBrokerKeys(folder, keks))).toBe('kek/attester')
  })

  test('are refused one by one when a file is gone, of another, or says another public key', async () => {
    const at = (name: string) => join(folder, `${name}.sealed`)
    const wrapping = await readFile(at('wrapping.key'))
    await copyFile(at('caller-secret.key'), at('wrapping.key'))
    expect(await codeOfOpening()).toBe('kek/unwrap')
    const other = JSON.parse(wrapping.toString()) as { public: string }
    const swapped = { ...other, public: Buffer.from(randomBytes(32)).toString('base64') }
    await writeFile(at('wrapping.key'), JSON.stringify(swapped), { mode: 0o600 })
    expect(await codeOfOpening()).toBe('kek/unwrap')
    await writeFile(at('wrapping.key'), '{}', { mode: 0o600 })
    expect(await codeOfOpening()).toBe('kek/folder')
    await rm(at('wrapping.key'))
    expect(await codeOfOpening()).toBe('file/absent')
    await writeFile(at('wrapping.key'), wrapping, { mode: 0o600 })
    expect(await codeOfOpening()).toBe('ok')
  })

  test('are a condition: a broker whose own keys its operator can read gets no such key', async () => {
    const plain = join(above, 'plain')
    await createBroker(plain, { kek: 'elsewhere' })
    let asked = false
    const ports = {
      obtain: async () => {
        asked = true
        return released(dek)
      },
    }
    await expect(openBrokerKeys(plain, keks, ports)).rejects.toMatchObject({
      code: 'kek/folder',
      detail: { hint: expect.stringContaining('serve create') },
    })
    expect(asked).toBe(false)
  })

  test('open as the page shows: the derivation, and the file', async () => {
    const page = await readFile(new URL('../../../docs/spec/released-kek.md', import.meta.url), 'utf8')
    const known = Uint8Array.from({ length: 32 }, (_, at) => at)
    expect(page).toContain(`the KEK is \`${toHex(kekOf(known))}\` and its id \`${kekIdOf(known)}\``)
    const [example] = [...page.matchAll(/^```json\n([\s\S]*?)^```/gm)].map((found) => parseJson(utf8(found[1]!)))
    await writeFile(join(folder, 'wrapping.key.sealed'), canonicalJson(example), { mode: 0o600 })
    const key = await readSealedKey(folder, released(known), 'wrapping.key')
    const { publicKey } = await importRecipientKey(key.secret, x25519ToJwk(key.publicBytes!))
    const sealed = await hpkeSeal(publicKey, utf8('i'), utf8('a'), utf8('text'))
    const recipient = await importRecipientKey(key.secret, publicKey)
    expect(await hpkeOpen(recipient, utf8('i'), utf8('a'), sealed)).toEqual(utf8('text'))
  })

  test('are sealed again by the next key, and the one before is needed no more', async () => {
    const next = randomBytes(32)
    await resealOwnKeys(folder, await kekRing(released(next), [released(dek)]))
    expect(await codeOfOpening()).toBe('kek/key-id')
    const keys = await openBrokerKeys(folder, keks, { obtain: async () => released(next) })
    expect(keys.signer.id).toBe(broker)
    await keys.close()
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
  })

  test('any bytes are a sealed key or refused as none', () => {
    const valid = JSON.stringify({ format: 'claviger-sealed-key/1', keyId: 'A'.repeat(22), public: null, wrapped: '' })
    const arbitrary = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.json().map(utf8),
      fc.tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 })).map(([at, byte]) => {
        const bytes = utf8(valid)
        bytes[at] = byte
        return bytes
      }),
    )
    fc.assert(
      fc.property(arbitrary, (bytes) => {
        try {
          expect(parseSealed(bytes, 'file').format).toBe('claviger-sealed-key/1')
        } catch (error) {
          if (!isFailure(error)) throw error
          expect(error.code).toBe('kek/folder')
        }
      }),
    )
  })
})
