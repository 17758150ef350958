import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAgeIdentity } from '#convert/keys/age.js'
import { planSeal, sealModel } from '#convert/seal/seal.js'
import { sealKek } from '#convert/seal/seal-kek.js'
import { equal, isZero, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { isKekManifest } from '#core/sealed/kek.js'
import { kekOf } from '#core/sealed/keys.js'
import type { SealedManifest } from '#core/sealed/manifest.js'
import { holdKey } from '#runtime/engine/held-key.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { writeModelFolder } from '#test/fakes/graphs.js'

let folder: string
const at = (name: string) => join(folder, name)
let owner: SigningKey
let recoveryRecipient: string
let dek: Uint8Array
let manifest: SealedManifest
let manifestBytes: Uint8Array
const options = (out: string) => ({ out: at(out), modelName: 'kek', version: 1, ownerKey: owner, recoveryRecipient })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-held-key-'))
  owner = (await generateSigningKey('ES256')).key
  recoveryRecipient = (await createAgeIdentity('of a test')).recipient
  ;({ dek, manifest } = await sealKek(options('kek')))
  manifestBytes = await readFile(at('kek/manifest.json'))
})
afterAll(() => rm(folder, { recursive: true }))

const info = utf8('info')
const aad = utf8('aad')
/** A holder, and its engine with a key sealed to it. */
async function holder(key = dek, bytes = manifestBytes) {
  const taken: Uint8Array[] = []
  const engine = await holdKey({
    take: (kek) => void taken.push(kek),
    drop: () => {
      for (const one of taken) one.fill(0)
    },
  })
  const sealed = await hpkeSeal(engine.releaseKey, info, aad, key)
  const load = (changes: object = {}) =>
    engine.load({ folder: '/nowhere', manifestBytes: bytes, sealed, info, aad, threads: 1, ...changes })
  return { engine, taken, load }
}

describe('a key-encryption key in the place of a model', () => {
  test('is what the key of its sealed folder stands for, and is gone when its session ends', async () => {
    expect(isKekManifest(manifest)).toBe(true)
    const { engine, taken, load } = await holder()
    expect(engine.ready()).toBe(false)
    expect(await load()).toMatchObject({ runtime: 'key-encryption key', wrongShares: [] })
    expect(engine.ready()).toBe(true)
    expect(equal(taken[0]!, kekOf(dek))).toBe(true)
    expect(equal(taken[0]!, dek)).toBe(false)
    expect(await codeOfPromise(engine.infer([], []))).toBe('engine/not-loaded')
    expect(await codeOfPromise(engine.transcribe(new Float32Array(1)))).toBe('engine/not-loaded')
    await engine.unload()
    expect(engine.ready()).toBe(false)
    expect(isZero(taken[0]!)).toBe(true)
  })

  test('is taken of no key but the one that its owner sealed the folder with', async () => {
    const other = await holder(randomBytes(32))
    expect(await codeOfPromise(other.load())).toBe('sealed/manifest-secret')
    const short = await holder(randomBytes(31))
    expect(await codeOfPromise(short.load())).toBe('engine/key')
    const { taken, load } = await holder()
    expect(await codeOfPromise(load({ info: aad }))).toBe('engine/key')
    expect(await codeOfPromise(load({ shares: [] }))).toBe('engine/key')
    expect([...other.taken, ...short.taken, ...taken]).toEqual([])
  })

  test('is taken of no model', async () => {
    await mkdir(at('model'))
    writeModelFolder(at('model'), 'external')
    const made = await sealModel({ ...options('sealed'), folder: at('model') })
    expect(isKekManifest(made.manifest)).toBe(false)
    const { taken, load } = await holder(made.dek, await readFile(at('sealed/manifest.json')))
    expect(await codeOfPromise(load())).toBe('engine/key')
    expect(taken).toEqual([])
  })
})

describe('a folder that seals one', () => {
  test('holds one file, which says what it is; a model is sealed by its own command', async () => {
    expect(manifest.files.map(({ path, role }) => [path, role])).toEqual([['kek.json', 'config']])
    expect(await codeOfPromise(sealKek(options('kek')))).toBe('seal/output')
    await mkdir(at('other'))
    await writeFile(at('other/kek.json'), '{"type":"claviger/kek/v2"}')
    expect(await codeOfPromise(sealModel({ ...options('more'), folder: at('other'), what: 'kek' }))).toBe('seal/folder')
    expect(await codeOfPromise(planSeal(at('other')))).toBe('seal/file')
  })
})
