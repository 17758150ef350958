import { chmodSync, copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { equal, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { createKek, openKek } from '#keybroker/kek/open.js'
import { CKA } from '#keybroker/kek/pkcs11/cryptoki.js'
import { Arena } from '#keybroker/kek/pkcs11/module.js'
import { createPkcs11Kek, openPkcs11Kek } from '#keybroker/kek/pkcs11/provider.js'
import { type ModelKeyContext, modelKeyAad } from '#keybroker/model-key.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { outside } from '#test/fakes/outside.js'
import { type SoftHsm, startSoftHsm } from '#test/fakes/softhsm.js'

const modulePath = outside('softhsm2')

const context: ModelKeyContext = {
  share: null,
  tenant: 'acme',
  tenantClass: 'production',
  model: 'whisper',
  version: 1,
  manifestDigest: 'm1',
  ownerKeysDigest: 'o1',
  trustDigest: 't1',
}
const aad = modelKeyAad(context)

describe.skipIf(modulePath === undefined)('a key-encryption key in a token', () => {
  let hsm: SoftHsm
  let kek: OpenKek
  const setting = (object: string, token = 'one') => hsm.setting(token, object)
  beforeAll(async () => {
    hsm = startSoftHsm(modulePath!)
    // SoftHSM sees no token that was made after it was loaded.
    for (const label of ['one', 'two', 'same', 'same', 'pins', 'locked']) hsm.addToken(label)
    await createKek(setting('kek'))
    kek = await openKek(setting('kek'))
  })
  afterAll(async () => {
    await kek.close()
    hsm.remove()
  })

  // First of all tests: nothing but the code under test has the library loaded yet.
  test('stays usable when everything that could be collected was', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    for (let i = 0; i < 5; i++) {
      collect()
      await new Promise(setImmediate)
    }
    const dek = randomBytes(32)
    expect(equal(await kek.unwrapDek(await kek.wrapDek(dek, aad), aad, kek.keyId), dek)).toBe(true)
  })

  test('is made by one explicit act, and never over one that is there', async () => {
    expect(await codeOfPromise(openPkcs11Kek(setting('made')))).toBe('kek/pkcs11-key-absent')
    const id = await createPkcs11Kek(setting('made'))
    expect(await codeOfPromise(createPkcs11Kek(setting('made')))).toBe('kek/pkcs11-key-exists')
    const opened = await openPkcs11Kek(setting('made'))
    expect(opened.keyId).toBe(id)
    expect(opened.keyId).not.toBe(kek.keyId)
    expect(opened).toMatchObject({ provider: 'pkcs11', holder: 'operator' })
    await opened.close()
    await expect(opened.wrapDek(randomBytes(32), aad)).rejects.toThrow('assertion')
  })

  test('unwraps what it wrapped, into a buffer of its own, for another process of its setting too', async () => {
    const dek = randomBytes(32)
    const wrapped = await kek.wrapDek(dek, aad)
    expect(wrapped.length).toBe(1 + 16 + 12 + 32 + 16)
    expect(toHex(wrapped)).not.toContain(toHex(dek))
    const other = await openKek(setting('kek'))
    expect(other.keyId).toBe(kek.keyId)
    const opened = await other.unwrapDek(wrapped, aad, kek.keyId)
    await other.close()
    expect(equal(opened, dek)).toBe(true)
    expect(opened.buffer.byteLength).toBeGreaterThan(64)
    expect(equal(await kek.wrapDek(dek, aad), wrapped)).toBe(false)
  })

  test('answers many at once, each with its own', async () => {
    const deks = Array.from({ length: 40 }, () => randomBytes(32))
    const wrapped = await Promise.all(
      deks.map((dek, i) => kek.wrapDek(dek, modelKeyAad({ ...context, version: i + 1 }))),
    )
    const opened = await Promise.all(
      wrapped.map((one, i) => kek.unwrapDek(one, modelKeyAad({ ...context, version: i + 1 }), kek.keyId)),
    )
    expect(opened.map((one, i) => equal(one, deks[i]!))).toEqual(deks.map(() => true))
  })

  test.each([
    ['another tenant', { tenant: 'other' }],
    ['another class', { tenantClass: 'development' }],
    ['another version', { version: 2 }],
    ['other owner keys', { ownerKeysDigest: 'o2' }],
    ['another trust statement', { trustDigest: 't2' }],
  ] as const)('does not unwrap for %s', async (_name, change) => {
    const wrapped = await kek.wrapDek(randomBytes(32), aad)
    const failed = kek.unwrapDek(wrapped, modelKeyAad({ ...context, ...change }), kek.keyId)
    expect(await codeOfPromise(failed)).toBe('kek/unwrap')
  })

  test('refuses a wrapped key with any one bit changed, and goes on working', async () => {
    const dek = randomBytes(32)
    const wrapped = await kek.wrapDek(dek, aad)
    await fc.assert(
      fc.asyncProperty(fc.nat(wrapped.length * 8 - 1), async (bit) => {
        const altered = wrapped.slice()
        altered[bit >> 3]! ^= 1 << (bit & 7)
        expect(['kek/unwrap', 'kek/key-id']).toContain(await codeOfPromise(kek.unwrapDek(altered, aad, kek.keyId)))
      }),
      { numRuns: 60 },
    )
    expect(equal(await kek.unwrapDek(wrapped, aad, kek.keyId), dek)).toBe(true)
  })

  test('answers any bytes with a failure of its own', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(['kek/unwrap', 'kek/key-id']).toContain(await codeOfPromise(kek.unwrapDek(bytes, aad, kek.keyId)))
      }),
    )
  })

  test.each([
    ['may leave its token', { [CKA.EXTRACTABLE]: Uint8Array.of(1) }, 'may leave its token'],
    ['can be read', { [CKA.SENSITIVE]: Uint8Array.of(0) }, 'can be read'],
    ['has 128 bits', { [CKA.VALUE_LEN]: Uint8Array.of(16, 0, 0, 0, 0, 0, 0, 0) }, 'has not 256 bits'],
    ['may not decrypt', { [CKA.DECRYPT]: Uint8Array.of(0) }, 'may not decrypt'],
  ])('is refused when it %s', async (name, attributes, message) => {
    await hsm.makeKey(setting(name), attributes)
    const failed = openPkcs11Kek(setting(name))
    await expect(failed).rejects.toMatchObject({ code: 'kek/pkcs11-key', message: expect.stringContaining(message) })
  })

  test('is refused when two keys, two tokens, or none have the name', async () => {
    await hsm.makeKey(setting('twice'), {})
    await hsm.makeKey(setting('twice'), { [CKA.ID]: Uint8Array.of(2) })
    expect(await codeOfPromise(openPkcs11Kek(setting('twice')))).toBe('kek/pkcs11-key')
    const byId = { ...setting('twice'), object: { label: 'twice', id: Uint8Array.of(2) } }
    await (await openPkcs11Kek(byId)).close()
    expect(await codeOfPromise(openPkcs11Kek(setting('kek', 'none')))).toBe('kek/pkcs11-token')
    expect(await codeOfPromise(openPkcs11Kek(setting('kek', 'two')))).toBe('kek/pkcs11-key-absent')
    expect(await codeOfPromise(openPkcs11Kek(setting('kek', 'same')))).toBe('kek/pkcs11-token')
  })

  test('needs the right PIN, from a file that nobody else can read', async () => {
    const pinFile = join(hsm.folder, 'other-pin')
    // SoftHSM compares no PIN while somebody of this process is logged in.
    const other = hsm.setting('pins', 'kek')
    const using = (text: string, mode = 0o600) => {
      writeFileSync(pinFile, text)
      chmodSync(pinFile, mode)
      return { ...other, pinFile }
    }
    expect(await codeOfPromise(createPkcs11Kek(using('0000-0000')))).toBe('kek/pkcs11-pin')
    expect(await codeOfPromise(createPkcs11Kek(using('\n')))).toBe('kek/pkcs11-pin')
    expect(await codeOfPromise(createPkcs11Kek(using('8642-1357', 0o640)))).toBe('file/permissions')
    const absent = { ...other, pinFile: join(hsm.folder, 'no-pin') }
    expect(await codeOfPromise(createPkcs11Kek(absent))).toBe('file/absent')
    await createPkcs11Kek(using('8642-1357\r\n'))
  })

  test('is opened again when its session, or the library, was closed under it', async () => {
    const dek = randomBytes(32)
    const wrapped = await kek.wrapDek(dek, aad)
    await hsm.closeSessions(setting('kek'))
    expect(equal(await kek.unwrapDek(wrapped, aad, kek.keyId), dek)).toBe(true)
    hsm.finalize()
    expect(equal(await kek.unwrapDek(wrapped, aad, kek.keyId), dek)).toBe(true)
  })

  test('is not replaced by another key of the same name', async () => {
    await createPkcs11Kek(setting('swapped'))
    const opened = await openPkcs11Kek(setting('swapped'))
    const wrapped = await opened.wrapDek(randomBytes(32), aad)
    await hsm.destroyKey(setting('swapped'))
    expect(await codeOfPromise(opened.unwrapDek(wrapped, aad, opened.keyId))).toBe('kek/pkcs11-key-absent')
    await hsm.makeKey(setting('swapped'), {})
    expect(await codeOfPromise(opened.unwrapDek(wrapped, aad, opened.keyId))).toBe('kek/pkcs11-key')
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/pkcs11-key')
    await opened.close()
  })

  test('a PIN that was refused once is not tried again', async () => {
    const pinFile = join(hsm.folder, 'locked-pin')
    writeFileSync(pinFile, '8642-1357', { mode: 0o600 })
    const own = { ...hsm.setting('locked', 'kek'), pinFile }
    await createPkcs11Kek(own)
    const opened = await openPkcs11Kek(own)
    writeFileSync(pinFile, 'wrong-wrong')
    await hsm.closeSessions({ ...own, pinFile: hsm.pinFile })
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/pkcs11-pin')
    writeFileSync(pinFile, '8642-1357') // too late for this process: what it would try next is not known to be better
    expect(await codeOfPromise(opened.wrapDek(randomBytes(32), aad))).toBe('kek/pkcs11-pin')
    await opened.close()
    await (await openPkcs11Kek(own)).close()
  })

  test('takes no library that others may write, and none that is no module', async () => {
    const at = (path: string) => openPkcs11Kek({ ...setting('kek'), modulePath: path })
    const copy = join(hsm.folder, 'copy.so')
    copyFileSync(modulePath!, copy)
    chmodSync(copy, 0o666)
    const text = join(hsm.folder, 'text.so')
    writeFileSync(text, 'no library', { mode: 0o644 })
    for (const path of [copy, text, join(hsm.folder, 'absent.so'), 'relative.so', process.execPath])
      expect(await codeOfPromise(at(path)), path).toBe('kek/pkcs11-module')
  })
})

test('memory of native calls is zeroes once it is given back', () => {
  const arena = new Arena(256)
  const secret = randomBytes(32)
  arena.put(secret)
  const place = arena.take(32)
  place.bytes.set(secret)
  arena.clear()
  expect([...place.bytes]).toEqual(new Array(32).fill(0))
  expect([...arena.take(32).bytes]).toEqual(new Array(32).fill(0))
  expect(() => arena.take(256)).toThrow('assertion')
})
