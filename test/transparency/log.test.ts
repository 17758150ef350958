import { describe, expect, test } from 'vitest'
import { toHex, utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { verifyCheckpoint, verifyTlogProof } from '#core/tlog/verify.js'
import { databasesUnderTest } from '#test/fakes/postgres.js'
import { origin, testLog } from '#test/transparency/fixtures.js'
import { createLog, openLog, openLogReader } from '#transparency/storage/open.js'

const leafOf = (i: number) => utf8(`entry ${i}`)

describe.each(databasesUnderTest())('log on $name', (under) => {
  test('answers each append with an index and a proof that verifies, across tiles', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    const answers = await Promise.all(Array.from({ length: 600 }, (_, i) => log.append(leafOf(i))))
    expect(answers.map((one) => one.index)).toEqual(Array.from({ length: 600 }, (_, i) => i))
    for (const i of [0, 1, 255, 256, 511, 599]) {
      const verified = await verifyTlogProof(answers[i]!.proof, leafOf(i), made.trust)
      expect(verified).toMatchObject({ origin, index: i, cosigners: [{ name: 'w0' }] })
    }
    // One commit and one cosigned checkpoint for all that came together: not one each.
    expect(made.witnesses[0]!.asked.length).toBeLessThan(10)
    const later = await log.append(leafOf(600))
    expect(later.index).toBe(600)
    for (const i of [0, 300, 600]) {
      expect(toHex(await log.entry(i))).toBe(toHex(leafOf(i)))
      const verified = await verifyTlogProof(await log.proof(i), leafOf(i), made.trust)
      expect(verified).toMatchObject({ index: i, treeSize: 601 })
    }
    expect(log.size()).toBe(601)
    await log.close()
  })

  test('returns the same index for the same bytes, at once, together and after a restart', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    const [a, b] = await Promise.all([log.append(leafOf(0)), log.append(leafOf(0))])
    expect([a.index, b.index]).toEqual([0, 0])
    expect((await log.append(leafOf(1))).index).toBe(1)
    expect((await log.append(leafOf(0))).index).toBe(0)
    await log.close()
    const again = await made.open(database)
    const c = await again.append(leafOf(0))
    expect(c.index).toBe(0)
    await verifyTlogProof(c.proof, leafOf(0), made.trust)
    expect(again.size()).toBe(2)
    await again.close()
  })

  test('restarts at sizes around whole tiles with the same root', async () => {
    const database = await under.open()
    const made = await testLog(database)
    let size = 0
    for (const target of [1, 255, 256, 257, 512, 513]) {
      const log = await made.open(database)
      await Promise.all(Array.from({ length: target - size }, (_, i) => log.append(leafOf(size + i))))
      size = target
      expect(log.size()).toBe(target)
      await log.close()
    }
    const log = await made.open(database)
    for (const i of [0, 254, 255, 256, 512]) await verifyTlogProof(await log.proof(i), leafOf(i), made.trust)
    await log.close()
  })

  test('does not open where none was created, and does not create a second', async () => {
    const database = await under.open()
    const { key: signer } = await generateSigningKey('Ed25519')
    const options = { database, origin, signer, witnesses: [], quorumPolicy: 'quorum none\n' }
    await expect(openLog(options)).rejects.toMatchObject({ code: 'log/absent' })
    await expect(openLogReader(database)).rejects.toMatchObject({ code: 'log/absent' })
    await createLog(options)
    await expect(createLog(options)).rejects.toMatchObject({ code: 'log/exists' })
    const { key: other } = await generateSigningKey('Ed25519')
    await expect(openLog({ ...options, signer: other })).rejects.toMatchObject({ code: 'log/identity' })
    await expect(openLog({ ...options, origin: 'log.example/other' })).rejects.toMatchObject({ code: 'log/identity' })
  })

  test('shows a reader beside the writer what was cosigned, and nothing more', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    await log.append(leafOf(0))
    const reader = await openLogReader(database)
    expect(parseCheckpoint(await reader.checkpoint()).size).toBe(1)
    made.witnesses[0]!.away = true
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/witness-unavailable' })
    await expect(reader.entry(1)).rejects.toMatchObject({ code: 'log/index' })
    await expect(reader.proof(1)).rejects.toMatchObject({ code: 'log/index' })
    await expect(reader.tile({ level: 0, index: 0, width: 2 })).rejects.toMatchObject({ code: 'log/index' })
    made.witnesses[0]!.away = false
    expect((await log.append(leafOf(1))).index).toBe(1)
    expect(parseCheckpoint(await reader.checkpoint()).size).toBe(2)
    await verifyTlogProof(await reader.proof(1), leafOf(1), made.trust)
    await verifyCheckpoint(await reader.checkpoint(), made.trust)
    await log.close()
  })

  test('takes entries of no bytes and of the largest size, and refuses one byte more', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database)
    expect((await log.append(new Uint8Array(0))).index).toBe(0)
    expect((await log.append(new Uint8Array(65_535))).index).toBe(1)
    await expect(log.append(new Uint8Array(65_536))).rejects.toMatchObject({ code: 'log/entry-size' })
    expect((await log.entry(1)).length).toBe(65_535)
    await log.close()
    await expect(log.append(leafOf(1))).rejects.toMatchObject({ code: 'log/closed' })
  })

  test('bounds what waits, in entries and in bytes, and takes more when that is done', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const log = await made.open(database, { pendingEntriesMax: 3, pendingBytesMax: 100, batchBytesMax: 10 })
    const waiting = [0, 1, 2].map((i) => log.append(leafOf(i)))
    await expect(log.append(leafOf(3))).rejects.toMatchObject({ code: 'log/busy' })
    expect((await Promise.all(waiting)).map((one) => one.index)).toEqual([0, 1, 2])
    const large = log.append(new Uint8Array(99))
    await expect(log.append(new Uint8Array(2))).rejects.toMatchObject({ code: 'log/busy' })
    expect((await large).index).toBe(3)
    expect((await log.append(new Uint8Array(2))).index).toBe(4)
    await log.close()
  })

  test('sets two writers of one database behind each other', async () => {
    const database = await under.open()
    const made = await testLog(database)
    const [a, b] = [await made.open(database), await made.open(database)]
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const log = i % 2 === 0 ? a : b
        return { leaf: leafOf(i), ...(await log.append(leafOf(i))) }
      }),
    )
    expect(answers.map((one) => one.index).sort((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, i) => i))
    for (const { leaf, index, proof } of answers) {
      expect((await verifyTlogProof(proof, leaf, made.trust)).index).toBe(index)
    }
    const roots = new Map<string, string>()
    for (const one of made.witnesses[0]!.asked) {
      const [size = '', root = ''] = one.split(' ')
      expect(roots.get(size) ?? root).toBe(root)
      roots.set(size, root)
    }
    await Promise.all([a.close(), b.close()])
  })
})
