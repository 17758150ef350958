import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { Floe, type FloeParameters, headerSize, segmentOverhead } from '#core/sealed/floe.js'
import { backend } from '#crypto-backend'

const folder = new URL('../../vectors/floe/', import.meta.url)
const zeroKey = new Uint8Array(32)
const aad = utf8('This is AAD')

const parametersByName: Readonly<Record<string, FloeParameters>> = {
  GCM256_IV256_64: { segmentLength: 64 },
  GCM256_IV256_4K: { segmentLength: 4096 },
  rotation: { segmentLength: 40, rotationBits: 2 },
  lastSegAligned: { segmentLength: 40 },
  lastSegEmpty: { segmentLength: 40 },
}
const answers = readdirSync(folder)
  .filter((name) => name.endsWith('_ct.txt'))
  .map((name) => name.slice(0, -'_ct.txt'.length))
const read = (name: string) => fromHex(readFileSync(new URL(name, folder), 'utf8').trim().toLowerCase())

function segmentsOf(ciphertext: Uint8Array, size: number): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = headerSize; at < ciphertext.length; at += size) out.push(ciphertext.subarray(at, at + size))
  return out
}

describe(`FLOE known answers on the ${backend.name} backend`, () => {
  test('are there', () => expect(answers.length).toBeGreaterThanOrEqual(15))

  test.each(answers)('%s opens, and seals to the same bytes', async (name) => {
    const parameters = parametersByName[name.replace(/^(pub_java|java|go|cpp|rust)_/, '')]!
    const plaintext = read(`${name}_pt.txt`)
    const ciphertext = read(`${name}_ct.txt`)
    const sealed = segmentsOf(ciphertext, parameters.segmentLength)

    const opener = Floe.open(parameters, zeroKey, aad, ciphertext.subarray(0, headerSize))
    const opened: Uint8Array[] = []
    for (const [i, one] of sealed.entries()) opened.push(await opener.openSegment(i, i === sealed.length - 1, one))
    expect(toHex(concat(...opened))).toBe(toHex(plaintext))

    const sealer = Floe.seal(parameters, zeroKey, aad, ciphertext.subarray(10, 42))
    const again: Uint8Array[] = [sealer.header]
    for (const [i, one] of sealed.entries()) {
      again.push(await sealer.sealSegment(i, i === sealed.length - 1, one.subarray(4, 16), opened[i]!))
    }
    expect(toHex(concat(...again))).toBe(toHex(ciphertext))
  })

  test.runIf(backend.segments !== null).each(answers)('%s agrees with the synchronous form', (name) => {
    const parameters = parametersByName[name.replace(/^(pub_java|java|go|cpp|rust)_/, '')]!
    const plaintext = read(`${name}_pt.txt`)
    const ciphertext = read(`${name}_ct.txt`)
    const state = Floe.open(parameters, zeroKey, aad, ciphertext.subarray(0, headerSize))
    const out = new Uint8Array(new SharedArrayBuffer(plaintext.length))
    const sealed = segmentsOf(ciphertext, parameters.segmentLength)
    for (const [i, one] of [...sealed.entries()].reverse()) {
      const at = i * state.plaintextLength
      const target = out.subarray(at, at + one.length - segmentOverhead)
      state.openSegmentInto(i, i === sealed.length - 1, one, target)
      const again = new Uint8Array(one.length)
      state.sealSegmentInto(i, i === sealed.length - 1, one.subarray(4, 16), target, again)
      expect(again).toEqual(one)
    }
    expect(toHex(out)).toBe(toHex(plaintext))
  })
})

describe(`FLOE refuses, on the ${backend.name} backend`, () => {
  const parameters = { segmentLength: 64 }
  const key = utf8('0123456789abcdef0123456789abcdef')
  const iv = new Uint8Array(12).fill(3)
  const make = () => Floe.seal(parameters, key, aad, new Uint8Array(32).fill(7))
  const open = () => Floe.open(parameters, key, aad, make().header)

  test('another key or other associated data, before any segment', () => {
    const { header } = make()
    expect(() => Floe.open(parameters, utf8('X123456789abcdef0123456789abcdef'), aad, header)).toThrow(
      expect.objectContaining({ code: 'sealed/header-tag' }),
    )
    expect(() => Floe.open(parameters, key, utf8('other'), header)).toThrow(
      expect.objectContaining({ code: 'sealed/header-tag' }),
    )
  })

  test('parameters other than the expected ones, without adapting to them', () => {
    const { header } = make()
    const code = { code: 'sealed/header' }
    expect(() => Floe.open({ segmentLength: 65 }, key, aad, header)).toThrow(expect.objectContaining(code))
    expect(() => Floe.open(parameters, key, aad, header.subarray(1))).toThrow(expect.objectContaining(code))
    for (let i = 0; i < 10; i++) {
      const changed = header.slice()
      changed[i]! ^= 1
      expect(() => Floe.open(parameters, key, aad, changed)).toThrow(expect.objectContaining(code))
    }
  })

  test('a segment in another place, an inner segment as the last and the last as an inner one', async () => {
    const inner = await make().sealSegment(1, false, iv, new Uint8Array(32))
    const last = await make().sealSegment(2, true, iv, new Uint8Array(32))
    await expect(open().openSegment(0, false, inner)).rejects.toMatchObject({ code: 'sealed/segment-tag' })
    await expect(open().openSegment(1, true, inner)).rejects.toMatchObject({ code: 'sealed/segment-form' })
    await expect(open().openSegment(2, false, last)).rejects.toMatchObject({ code: 'sealed/segment-form' })
    await expect(open().openSegment(2, true, last.subarray(0, 60))).rejects.toMatchObject({
      code: 'sealed/segment-form',
    })
    // With the length word rewritten the tag still knows.
    const forged = inner.slice()
    new DataView(forged.buffer).setUint32(0, forged.length)
    await expect(open().openSegment(1, true, forged)).rejects.toMatchObject({ code: 'sealed/segment-tag' })
  })

  test('any flipped bit of a segment', async () => {
    const sealed = await make().sealSegment(5, true, iv, utf8('weights'))
    for (let i = 0; i < sealed.length; i++) {
      const changed = sealed.slice()
      changed[i]! ^= 0x10
      await expect(open().openSegment(5, true, changed)).rejects.toSatisfy(isFailure)
      if (backend.segments === null) continue
      const target = new Uint8Array(7).fill(1)
      expect(() => open().openSegmentInto(5, true, changed, target)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^sealed\/segment-/) }),
      )
    }
  })

  test('any bytes, with a Failure', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 70 }), fc.nat(3), fc.boolean(), async (bytes, i, last) => {
        await expect(open().openSegment(i, last, bytes)).rejects.toSatisfy(isFailure)
        expect(() => Floe.open(parameters, key, aad, bytes)).toThrow(expect.objectContaining({ name: 'Failure' }))
      }),
      { numRuns: 200 },
    )
  })
})
