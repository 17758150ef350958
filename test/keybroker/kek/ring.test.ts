import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { equal, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { createKek, openKek } from '#keybroker/kek/open.js'
import { kekRing } from '#keybroker/kek/ring.js'
import type { KekSetting } from '#keybroker/kek/setting.js'
import { openKeks } from '#keybroker/service/keys.js'
import { codeOfPromise } from '#test/fakes/code-of.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-ring-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): KekSetting => ({ provider: 'file', path: join(folder, name) })
const aad = utf8('what it belongs to')

test('one wraps, and each unwraps what it wrapped', async () => {
  const ids = [await createKek(at('old')), await createKek(at('new'))]
  const old = await openKek(at('old'))
  const dek = randomBytes(32)
  const before = await old.wrapDek(dek, aad)
  const ring = await openKeks({ current: at('new'), previous: [at('old')] })
  expect(ring.keyIds).toEqual([ids[1], ids[0]])
  expect(ring).toMatchObject({ keyId: ids[1], provider: 'file', holder: 'operator' })
  expect(equal(await ring.unwrapDek(before, aad, ids[0]!), dek)).toBe(true)
  const after = await ring.wrapDek(dek, aad)
  expect(equal(await ring.unwrapDek(after, aad, ids[1]!), dek)).toBe(true)
  expect(await codeOfPromise(old.unwrapDek(after, aad, ids[1]!))).toBe('kek/key-id')
  // The row names one key and the wrapped key another: neither is taken at its word.
  expect(await codeOfPromise(ring.unwrapDek(after, aad, ids[0]!))).toBe('kek/key-id')
  expect(await codeOfPromise(ring.unwrapDek(after, aad, 'AAAAAAAAAAAAAAAAAAAAAA'))).toBe('kek/key-id')
  await ring.close()
  await expect(ring.unwrapDek(before, aad, ids[0]!)).rejects.toThrow('assertion')
})

test('the same key twice, or one that is not there, opens nothing', async () => {
  await createKek(at('twice'))
  expect(await codeOfPromise(openKeks({ current: at('twice'), previous: [at('twice')] }))).toBe('kek/setting')
  expect(await codeOfPromise(openKeks({ current: at('twice'), previous: [at('absent')] }))).toBe('file/absent')
  const one = await openKek(at('twice'))
  await kekRing(one)
  await one.close()
})
