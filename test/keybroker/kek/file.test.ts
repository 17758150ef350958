import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { equal } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { createKekFile, openKekFile } from '#keybroker/kek/file.js'
import type { OpenKek } from '#keybroker/kek/kek.js'
import { type ModelKeyContext, modelKeyAad } from '#keybroker/model-key.js'
import { migrateStore } from '#keybroker/store/open.js'
import { createTenant, loadModelKey, replaceModelKey, storeModelKey } from '#keybroker/store/tenants.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-kek-'))
const path = join(folder, 'kek')
let kek: OpenKek
beforeAll(async () => {
  await createKekFile(path)
  kek = await openKekFile(path)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const context: ModelKeyContext = {
  share: null,
  tenant: 'acme',
  tenantClass: 'development',
  model: 'whisper',
  version: 1,
  manifestDigest: 'm1',
  ownerKeysDigest: 'o1',
  trustDigest: 't1',
}

describe('the key-encryption key', () => {
  test('stands in a file of this user alone, 32 bytes, never written over', async () => {
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(path).size).toBe(32)
    await expect(createKekFile(path)).rejects.toMatchObject({ code: 'file/exists' })
    expect((await openKekFile(path)).keyId).toBe(kek.keyId)
  })

  test('is never made up when its file is absent or holds something else', async () => {
    await expect(openKekFile(join(folder, 'absent'))).rejects.toMatchObject({ code: 'file/absent' })
    writeFileSync(join(folder, 'short'), Buffer.alloc(31, 1), { mode: 0o600 })
    await expect(openKekFile(join(folder, 'short'))).rejects.toMatchObject({ code: 'kek/file' })
    writeFileSync(join(folder, 'zero'), Buffer.alloc(32), { mode: 0o600 })
    await expect(openKekFile(join(folder, 'zero'))).rejects.toMatchObject({ code: 'kek/file' })
  })

  test('unwraps what it wrapped, into a buffer of its own', async () => {
    const dek = randomBytes(32)
    const wrapped = await kek.wrapDek(dek, modelKeyAad(context))
    const opened = await kek.unwrapDek(wrapped, modelKeyAad(context), kek.keyId)
    expect(equal(opened, dek)).toBe(true)
    expect(opened.buffer.byteLength).toBeGreaterThan(64)
    expect(equal(await kek.wrapDek(dek, modelKeyAad(context)), wrapped)).toBe(false)
  })

  test.each([
    ['another tenant', { tenant: 'other' }],
    ['another class', { tenantClass: 'production' }],
    ['another model', { model: 'other' }],
    ['another version', { version: 2 }],
    ['another manifest', { manifestDigest: 'm2' }],
    ['other owner keys', { ownerKeysDigest: 'o2' }],
    ['another trust statement', { trustDigest: 't2' }],
  ] as const)('does not unwrap for %s', async (_name, change) => {
    const wrapped = await kek.wrapDek(randomBytes(32), modelKeyAad(context))
    const failed = kek.unwrapDek(wrapped, modelKeyAad({ ...context, ...change }), kek.keyId)
    await expect(failed).rejects.toMatchObject({ code: 'kek/unwrap' })
  })

  test('refuses a wrapped key with any one bit changed', async () => {
    const wrapped = await kek.wrapDek(randomBytes(32), modelKeyAad(context))
    await fc.assert(
      fc.asyncProperty(fc.nat(wrapped.length * 8 - 1), async (bit) => {
        const altered = wrapped.slice()
        altered[bit >> 3]! ^= 1 << (bit & 7)
        const code = await kek
          .unwrapDek(altered, modelKeyAad(context), kek.keyId)
          .catch((error: { code: string }) => error.code)
        expect(['kek/unwrap', 'kek/key-id']).toContain(code)
      }),
    )
  })

  test('answers any bytes with a failure of its own', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const code = await kek
          .unwrapDek(bytes, modelKeyAad(context), kek.keyId)
          .catch((error: { code: string }) => error.code)
        expect(['kek/unwrap', 'kek/key-id']).toContain(code)
      }),
    )
  })

  test('says when another key wrapped it', async () => {
    await createKekFile(join(folder, 'second'))
    const second = await openKekFile(join(folder, 'second'))
    const wrapped = await second.wrapDek(randomBytes(32), modelKeyAad(context))
    await expect(kek.unwrapDek(wrapped, modelKeyAad(context), kek.keyId)).rejects.toMatchObject({ code: 'kek/key-id' })
    const own = await kek.wrapDek(randomBytes(32), modelKeyAad(context))
    await expect(kek.unwrapDek(own, modelKeyAad(context), second.keyId)).rejects.toMatchObject({ code: 'kek/key-id' })
    await second.close()
    await expect(second.unwrapDek(wrapped, modelKeyAad(context), second.keyId)).rejects.toThrow('assertion')
  })
})

describe.each(databasesUnderTest())('wrapped keys in a database that somebody else writes to: $name', ({ open }) => {
  test('rows swapped between two models do not unwrap', async () => {
    const database = await open()
    await migrateStore(database)
    await createTenant(database.db, {
      id: 'acme',
      class: 'development',
      ownerKeys: new Uint8Array(2),
      ownerKeysDigest: context.ownerKeysDigest,
      createdAt: 1,
    })
    const deks = { a: randomBytes(32), b: randomBytes(32) }
    const contextOf = (model: string) => ({ ...context, model, manifestDigest: `m-${model}` })
    for (const model of ['a', 'b'] as const) {
      await storeModelKey(database.db, {
        ...contextOf(model),
        share: null,
        keyId: kek.keyId,
        wrapped: await kek.wrapDek(deks[model], modelKeyAad(contextOf(model))),
        createdAt: 1,
      })
    }
    const load = (model: string) => loadModelKey(database.db, { tenant: 'acme', model, version: 1 })
    const [a, b] = [await load('a'), await load('b')]
    expect(equal(await kek.unwrapDek(a.wrapped, modelKeyAad(contextOf('a')), kek.keyId), deks.a)).toBe(true)
    await replaceModelKey(database.db, { ...a, wrapped: b.wrapped })
    await replaceModelKey(database.db, { ...b, wrapped: a.wrapped })
    for (const model of ['a', 'b']) {
      const failed = kek.unwrapDek((await load(model)).wrapped, modelKeyAad(contextOf(model)), kek.keyId)
      await expect(failed).rejects.toMatchObject({ code: 'kek/unwrap' })
    }
  })
})
