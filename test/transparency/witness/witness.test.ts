import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { toBase64, utf8 } from '#core/bytes/bytes.js'
import { encodeAddCheckpoint } from '#core/tlog/add-checkpoint.js'
import { addSignatures, signCheckpoint } from '#core/tlog/checkpoint.js'
import { emptyRoot } from '#core/tlog/merkle.js'
import { parseNote, parseSignatureLines, verifyNote } from '#core/tlog/note.js'
import { computeRoot, proveConsistency } from '#core/tlog/prove.js'
import { encodeVkey, parseVkey } from '#core/tlog/vkey.js'
import { createLog } from '#host/log.js'
import { newSigner, nodesOfLeaves } from '#test/core/tlog/trees.js'
import { makeWitnessApp } from '#transparency/witness/service/app.js'
import { addLog, createWitness, openWitness } from '#transparency/witness/store/state.js'
import { Witness, type WitnessStore } from '#transparency/witness/witness.js'

const origin = 'log.example/w'
const leaves = Array.from({ length: 40 }, (_, i) => utf8(`leaf ${i}`))
const others = Array.from({ length: 40 }, (_, i) => utf8(`other ${i}`))
const log = await newSigner(origin, 'log')
const stranger = await newSigner(origin, 'log')
const cosigner = await newSigner('witness.example/w', 'cosigner')

async function checkpoint(size: number, options: { of?: readonly Uint8Array[]; name?: string } = {}): Promise<string> {
  const rootHash = await computeRoot(size, nodesOfLeaves(options.of ?? leaves))
  const signer = options.name === undefined ? log : await newSigner(options.name, 'log')
  return addSignatures(await signCheckpoint({ origin: options.name ?? origin, size, rootHash }, signer), [])
}

async function request(oldSize: number, size: number, of = leaves): Promise<string> {
  const proof = await proveConsistency(Math.min(oldSize, size), size, nodesOfLeaves(of))
  return encodeAddCheckpoint({ oldSize, proof, checkpoint: await checkpoint(size, { of }) })
}

function memoryStore(): WitnessStore & { size(): number } {
  let seen = { size: 0, rootHash: emptyRoot }
  return {
    seen: async () => seen,
    record: async (_, next) => {
      seen = next
    },
    size: () => seen.size,
  }
}

function makeWitness(store: WitnessStore = memoryStore()): Witness {
  return new Witness({ store, signer: cosigner, logs: [log.verifier], now: () => 1_700_000_000 })
}

async function seenWitness(size: number): Promise<{ witness: Witness; store: ReturnType<typeof memoryStore> }> {
  const store = memoryStore()
  const witness = makeWitness(store)
  expect((await witness.answer(await request(0, size))).status).toBe(200)
  return { witness, store }
}

describe('witness', () => {
  test('cosigns each continuation with the time, and the same tree again', async () => {
    const witness = makeWitness()
    for (const [from, to] of [
      [0, 0],
      [0, 1],
      [1, 7],
      [7, 7],
      [7, 32],
      [32, 40],
    ] as const) {
      const reply = await witness.answer(await request(from, to))
      if (reply.status !== 200) throw new Error(`answered ${reply.status}`)
      const note = { text: parseNote(await checkpoint(to)).text, signatures: parseSignatureLines(reply.lines) }
      const verified = await verifyNote(note, [parseVkey(witness.vkey)])
      expect(verified).toMatchObject([{ time: 1_700_000_000, key: { name: 'witness.example/w' } }])
    }
  })

  const refusals: readonly (readonly [string, number, (good: string) => Promise<string> | string])[] = [
    ['a body that is no request', 400, () => 'old\n\n'],
    ['a second spelling of a size', 400, (good) => good.replace('old 7', 'old 07')],
    ['an old size beyond the checkpoint', 400, async () => request(20, 9)],
    ['64 hashes', 400, (good) => good.replace('old 7\n', `old 7\n${`${toBase64(new Uint8Array(32))}\n`.repeat(64)}`)],
    [
      'an unknown log',
      404,
      async (good) => good.slice(0, good.indexOf('\n\n') + 2) + (await checkpoint(9, { name: 'log.example/no' })),
    ],
    [
      'a checkpoint without a signature of its log',
      403,
      async (good) => {
        const rootHash = await computeRoot(9, nodesOfLeaves(leaves))
        return (
          good.slice(0, good.indexOf('\n\n') + 2) +
          addSignatures(await signCheckpoint({ origin, size: 9, rootHash }, stranger), [])
        )
      },
    ],
    ['a checkpoint whose signature is wrong', 403, (good) => good.replace('\n9\n', '\n8\n')],
    ['an old size that is not what was cosigned', 409, async () => request(5, 9)],
    ['another tree of the same size', 422, async () => request(7, 7, others)],
    ['a tree that is no continuation', 422, async () => request(7, 9, others)],
    ['a proof with a hash missing', 422, (good) => good.replace(/\n[^\n]+\n\n/, '\n\n')],
  ]
  test.each(refusals)('refuses %s with %i and records nothing', async (_, status, breakIt) => {
    const { witness, store } = await seenWitness(7)
    const reply = await witness.answer(await breakIt(await request(7, 9)))
    expect(reply).toMatchObject(status === 409 ? { status, size: 7 } : { status })
    expect(store.size()).toBe(7)
    expect((await witness.answer(await request(7, 9))).status).toBe(200)
  })

  test('refuses an empty tree with another root, and a proof from the empty tree', async () => {
    const witness = makeWitness()
    const wrongRoot = await signCheckpoint({ origin, size: 0, rootHash: new Uint8Array(32) }, log)
    const empty = encodeAddCheckpoint({ oldSize: 0, proof: [], checkpoint: addSignatures(wrongRoot, []) })
    expect(await witness.answer(empty)).toMatchObject({ status: 422 })
    const proof = encodeAddCheckpoint({ oldSize: 0, proof: [emptyRoot], checkpoint: await checkpoint(3) })
    expect(await witness.answer(proof)).toMatchObject({ status: 422 })
  })

  test('compares and records in one step: of two continuations from one size one is cosigned', async () => {
    const { witness, store } = await seenWitness(3)
    const bodies = [await request(3, 40), await request(3, 20), await request(3, 30)]
    const statuses = (await Promise.all(bodies.map((body) => witness.answer(body)))).map((one) => one.status)
    expect(statuses.sort()).toEqual([200, 409, 409])
    expect(store.size()).toBe(40)
  })

  test('does not sign what it could not record', async () => {
    const store = memoryStore()
    const broken: WitnessStore = { seen: store.seen, record: () => Promise.reject(new Error('disk is full')) }
    await expect(makeWitness(broken).answer(await request(0, 3))).rejects.toThrow('disk is full')
  })

  test('answers any body with a status, whatever its bytes', async () => {
    const good = await request(7, 9)
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length), fc.string({ maxLength: 20, unit: 'binary' }), async (at, text) => {
        const { witness } = await seenWitness(7)
        const reply = await witness.answer(good.slice(0, at) + text + good.slice(at + text.length))
        expect([200, 400, 403, 404, 409, 422]).toContain(reply.status)
      }),
      { numRuns: 60 },
    )
  })
})

describe('witness in a folder, over HTTP', () => {
  const folders: string[] = []
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
  })
  const newFolder = () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-witness-'))
    folders.push(folder)
    return folder
  }
  const open = async (folder: string) => {
    const state = await openWitness(folder, [origin])
    const witness = new Witness({ ...state, logs: [log.verifier], now: () => 1_700_000_000 })
    const app = makeWitnessApp(witness, createLog('test', 'silent'))
    return {
      ...state,
      post: (body: string | Uint8Array<ArrayBuffer>) => app.hono.request('/add-checkpoint', { method: 'POST', body }),
    }
  }

  test('keeps what it has seen, and its key, from one start to the next', async () => {
    const folder = newFolder()
    const vkey = await createWitness(folder, 'witness.example/f')
    await addLog(folder, origin)
    const first = await open(folder)
    expect(encodeVkey(first.signer.verifier)).toBe(vkey)
    expect((await first.post(await request(0, 7))).status).toBe(200)
    first.close()
    const second = await open(folder)
    const stale = await second.post(await request(0, 9))
    expect([stale.status, stale.headers.get('content-type'), await stale.text()]).toEqual([
      409,
      'text/x.tlog.size',
      '7\n',
    ])
    expect((await second.post(await request(7, 9))).status).toBe(200)
    second.close()
  })

  test('refuses bodies that are too large or not text', async () => {
    const folder = newFolder()
    await createWitness(folder, 'witness.example/f')
    await addLog(folder, origin)
    const { post, close } = await open(folder)
    expect((await post('x'.repeat(300_000))).status).toBe(413)
    expect((await post(new Uint8Array([0xff, 0xfe]))).status).toBe(400)
    close()
  })

  test('does not start without its key, without a record of its log, or with a damaged one', async () => {
    const folder = newFolder()
    await expect(openWitness(folder, [origin])).rejects.toMatchObject({ code: 'witness/absent' })
    await expect(addLog(folder, origin)).rejects.toMatchObject({ code: 'witness/absent' })
    await createWitness(folder, 'witness.example/f')
    await expect(createWitness(folder, 'witness.example/f')).rejects.toMatchObject({ code: 'witness/exists' })
    await expect(openWitness(folder, [origin])).rejects.toMatchObject({ code: 'witness/absent' })
    await addLog(folder, origin)
    await expect(addLog(folder, origin)).rejects.toMatchObject({ code: 'witness/exists' })
    const opened = await openWitness(folder, [origin])
    await expect(openWitness(folder, [origin])).rejects.toMatchObject({ code: 'database/locked' })
    opened.close()
    const [record = ''] = await readdir(join(folder, 'logs'))
    writeFileSync(join(folder, 'logs', record), '{"origin":"log.example/w","size":3}')
    await expect(openWitness(folder, [origin])).rejects.toMatchObject({ code: 'witness/state' })
    rmSync(join(folder, 'logs', record))
    await expect(openWitness(folder, [origin])).rejects.toMatchObject({ code: 'witness/absent' })
    rmSync(join(folder, 'witness.key'))
    await expect(openWitness(folder, [])).rejects.toMatchObject({ code: 'file/absent' })
  })
})
