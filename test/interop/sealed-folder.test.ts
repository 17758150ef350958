import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Encrypter, generateIdentity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createOwnerKeys, type OwnerKeys, ownerKeyFiles } from '#convert/keys/owner-keys.js'
import { sealModel } from '#convert/seal/seal.js'
import { unsealToFolder } from '#convert/unseal/unseal.js'
import { Floe, headerSize } from '#core/sealed/floe.js'
import { segmentLength, segmentPlaintextLength } from '#core/sealed/layout.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { onnxModel } from '#test/fakes/onnx-models.js'
import { floeOpen, floeOpener, floeSeal, openFolder, sealFolder } from './sealed-folder.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-interop-sealed-'))
const at = (name: string) => join(work, name)
let keys: OwnerKeys
beforeAll(async () => {
  keys = await createOwnerKeys(at('keys'), 'acme')
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** Empty, shorter than a segment, exactly one, one byte more, exactly three, and some more. */
const sizes = [0, 1, segmentPlaintextLength, segmentPlaintextLength + 1, 3 * segmentPlaintextLength, 2_500_000]
const aad = Buffer.from('aad')

describe('FLOE in segments of 1 MiB, by an implementation that shares nothing with ours', () => {
  test.each(sizes)('%i bytes that we sealed open there', async (size) => {
    const [key, plaintext] = [randomBytes(32), randomBytes(size)]
    const floe = Floe.seal({ segmentLength }, key, aad, randomBytes(32))
    const count = Math.max(1, Math.ceil(size / segmentPlaintextLength))
    const segments: Uint8Array[] = []
    for (let i = 0; i < count; i++) {
      const piece = plaintext.subarray(i * segmentPlaintextLength, (i + 1) * segmentPlaintextLength)
      segments.push(await floe.sealSegment(i, i === count - 1, randomBytes(12), piece))
    }
    expect(floeOpen(key, aad, Buffer.concat([floe.header, ...segments])).equals(plaintext)).toBe(true)
  })

  test.each(sizes)('%i bytes that were sealed there open here', async (size) => {
    const [key, plaintext] = [randomBytes(32), randomBytes(size)]
    const { header, segments } = floeSeal(key, aad, plaintext)
    expect(header.length).toBe(headerSize)
    const floe = Floe.open({ segmentLength }, key, aad, header)
    const opened: Uint8Array[] = []
    for (const [i, one] of segments.entries()) opened.push(await floe.openSegment(i, i === segments.length - 1, one))
    expect(Buffer.concat(opened).equals(plaintext)).toBe(true)
  })

  test.each([0, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 2 ** 33 + 5])(
    'segment %i opens there, and at no other place',
    async (place) => {
      const [key, plaintext] = [randomBytes(32), randomBytes(100)]
      const floe = Floe.seal({ segmentLength }, key, aad, randomBytes(32))
      const segment = Buffer.from(await floe.sealSegment(place, true, randomBytes(12), plaintext))
      const open = floeOpener(key, aad, floe.header)
      expect(open(segment, place, true).equals(plaintext)).toBe(true)
      for (const other of [place + 1, place + 2 ** 20]) expect(() => open(segment, other, true)).toThrow()
    },
  )
})

describe('a sealed folder', () => {
  test('that we made is verified and opened there', async () => {
    const model = at('model')
    mkdirSync(join(model, 'onnx'), { recursive: true })
    const json = (size: number) => Buffer.from(JSON.stringify('x'.repeat(size - 2)))
    const files: Record<string, Uint8Array> = {
      'onnx/model.onnx': onnxModel({ size: 768, external: { location: 'model.onnx_data' } }),
      'onnx/model.onnx_data': randomBytes(768 * 768 * 4),
      'config.json': Buffer.from('{}'),
      'tokenizer.json': json(segmentPlaintextLength),
      'vocab.json': json(2 * segmentPlaintextLength + 1),
      'merges.txt': Buffer.alloc(0),
    }
    for (const [path, bytes] of Object.entries(files)) writeFileSync(join(model, path), bytes)
    const { dek } = await sealModel({
      folder: model,
      out: at('sealed'),
      modelName: 'tiny',
      version: 7,
      ownerKey: keys.signingKey,
      recoveryRecipient: keys.recoveryRecipient,
    })
    const owner = createPublicKey(readFileSync(join(keys.folder, ownerKeyFiles.public)))
    const opened = openFolder(at('sealed'), dek, owner)
    expect([...opened.keys()].sort()).toEqual(Object.keys(files).sort())
    for (const [path, bytes] of Object.entries(files))
      expect([path, opened.get(path)!.equals(bytes)]).toEqual([path, true])
    // It is no reader that takes anything.
    expect(() => openFolder(at('sealed'), randomBytes(32), owner)).toThrow()
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(() => openFolder(at('sealed'), dek, publicKey)).toThrow('signature')
  })

  test('that was made there is verified and opened here, and refused with one byte changed', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const identity = await generateIdentity()
    const encrypter = new Encrypter()
    encrypter.addRecipient(await identityToRecipient(identity))
    const dek = randomBytes(32)
    const files = sizes.map((size, i) => ({
      path: i === 0 ? 'config.json' : `onnx/part-${i}.bin`,
      role: i === 0 ? 'config' : 'external-data',
      bytes: randomBytes(size),
    }))
    const folder = at('theirs')
    const recovery = await encrypter.encrypt(dek)
    sealFolder({ folder, name: 'theirs', version: 1, dek, owner: privateKey, recovery, files })
    const unseal = (out: string) =>
      unsealToFolder({ folder, out: at(out), identity: Buffer.from(`${identity}\n`), ownerKey: null })
    await unseal('theirs-opened')
    for (const { path, bytes } of files)
      expect([path, readFileSync(join(at('theirs-opened'), path)).equals(bytes)]).toEqual([path, true])

    const path = join(folder, 'files/onnx/part-5.bin.floe')
    const changed = readFileSync(path)
    changed[1_500_000] = changed[1_500_000]! ^ 1
    writeFileSync(path, changed)
    expect(await codeOfPromise(unseal('theirs-again'))).toBe('sealed/segment-digest')
  })
})

test('that implementation imports nothing of ours', () => {
  const source = readFileSync(join(import.meta.dirname, 'sealed-folder.ts'), 'utf8')
  const from = [...source.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)/g)].map((found) => found[1] ?? found[2]!)
  expect(from.length).toBeGreaterThan(2)
  expect(from.filter((name) => !name.startsWith('node:'))).toEqual([])
})
