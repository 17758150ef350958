import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { concat, fromHex, toHex, utf8 } from '#core/bytes/bytes.js'
import { coseSignedBytes, parseCoseSign1, verifyCoseSign1 } from '#core/cose.js'
import { type Cbor, type CborKey, encodeCbor } from '#core/encoding/cbor.js'
import { backend } from '#crypto-backend'
import { codeOf, codeOfPromise } from '../fakes/code-of.js'

type Algorithm = 'ES256' | 'ES384' | 'Ed25519'
interface Key {
  readonly algorithm: Algorithm
  readonly spki: Uint8Array
  sign(message: Uint8Array): Promise<Uint8Array>
}
async function newKey(algorithm: Algorithm): Promise<Key> {
  const { pkcs8, spki } = await backend.generateKey(algorithm)
  const handle = await backend.importPrivateKey(algorithm, pkcs8)
  return { algorithm, spki, sign: (message) => backend.sign(handle, message) }
}
let es256: Key
let es384: Key
beforeAll(async () => {
  es256 = await newKey('ES256')
  es384 = await newKey('ES384')
})

const payload = utf8('This is the content.')
const map = (...entries: readonly [CborKey, Cbor][]) => new Map<CborKey, Cbor>(entries)
const header = (algorithm: number, ...more: readonly [CborKey, Cbor][]) => encodeCbor(map([1, algorithm], ...more))

/** A message whose signature is true, whatever its headers say. */
async function signed(key: Key, protectedBytes: Uint8Array, unprotected: Cbor = map()): Promise<Cbor[]> {
  return [protectedBytes, unprotected, payload, await key.sign(coseSignedBytes(protectedBytes, payload))]
}
const verified = async (bytes: Uint8Array, key: Key) =>
  codeOfPromise((async () => verifyCoseSign1(parseCoseSign1(bytes, 'message'), key.spki, 'message'))())

describe(`COSE_Sign1 on the ${backend.name} backend`, () => {
  test('what is signed has the form of RFC 9052', () => {
    expect(toHex(coseSignedBytes(fromHex('a10126'), fromHex('aa')))).toBe('846a5369676e61747572653143a101264041aa')
  })

  test.each([
    ['ES256', -7, 18],
    ['ES256', -7, null],
    ['ES384', -35, 18],
    ['ES384', -35, null],
  ] as const)('%s (%i) with tag %s is read and verified', async (name, algorithm, tag) => {
    const key = name === 'ES256' ? es256 : es384
    const value = await signed(key, header(algorithm))
    const bytes = encodeCbor(tag === null ? value : { tag, value })
    expect(parseCoseSign1(bytes, 'message')).toMatchObject({ algorithm: name, payload })
    expect(await verified(bytes, key)).toBe('ok')
    expect(await verified(bytes, await newKey(name))).toBe('cose/signature')
  })

  test.each([-8, -19])('EdDSA (%i) counts for a format that signs with it, and for no other', async (algorithm) => {
    const ed = await newKey('Ed25519')
    const bytes = encodeCbor(await signed(ed, header(algorithm)))
    expect(codeOf(() => parseCoseSign1(bytes, 'message'))).toBe('cose/algorithm')
    const labels = { algorithms: ['Ed25519'], protected: [], unprotected: [] } as const
    const message = parseCoseSign1(bytes, 'message', labels)
    expect(await codeOfPromise(verifyCoseSign1(message, ed.spki, 'message'))).toBe('ok')
    expect(await codeOfPromise(verifyCoseSign1(message, es256.spki, 'message'))).toBe('cose/signature')
    const ecdsa = encodeCbor(await signed(es256, header(-7)))
    expect(codeOf(() => parseCoseSign1(ecdsa, 'message', labels))).toBe('cose/algorithm')
  })

  test('a key on another curve than the algorithm fixes is refused', async () => {
    const bytes = encodeCbor(await signed(es384, header(-35)))
    expect(await verified(bytes, es256)).toBe('cose/signature')
    const [head, unprotected] = await signed(es256, header(-7))
    const wrong = encodeCbor([head!, unprotected!, payload, new Uint8Array(64)])
    expect(await verified(wrong, es384)).toBe('cose/signature')
  })

  test('the protected header is verified as it was carried, not as it would be written', async () => {
    const labels = { protected: ['a', 'b'], unprotected: [] }
    const spelled = encodeCbor(map(['b', 1], ['a', 2], [1, -35]))
    const bytes = encodeCbor(await signed(es384, spelled))
    await verifyCoseSign1(parseCoseSign1(bytes, 'message', labels), es384.spki, 'message')
  })

  const reshaped: readonly [string, string, (good: Cbor[]) => Cbor][] = [
    ['cose/form', 'an array of three', (good) => good.slice(0, 3)],
    ['cose/form', 'an array of five', (good) => [...good, null]],
    ['cose/form', 'a map', () => map()],
    ['cose/form', 'another tag', (value) => ({ tag: 98, value })],
    ['cose/form', 'tag 18 twice', (value) => ({ tag: 18, value: { tag: 18, value } })],
    ['cose/form', 'no payload', ([a, b, , d]) => [a!, b!, null, d!]],
    ['cose/form', 'a protected header that is a map', ([, b, c, d]) => [map([1, -35]), b!, c!, d!]],
    ['cose/form', 'a protected header of no bytes', ([, b, c, d]) => [new Uint8Array(), b!, c!, d!]],
    ['cose/form', 'a protected header that is no map', ([, b, c, d]) => [encodeCbor([1, -35]), b!, c!, d!]],
    ['cose/form', 'an unprotected header of bytes', ([a, , c, d]) => [a!, new Uint8Array(), c!, d!]],
    ['cose/form', 'a signature that is text', ([a, b, c]) => [a!, b!, c!, 'x']],
    ['cose/form', 'a signature of 95 bytes', ([a, b, c]) => [a!, b!, c!, new Uint8Array(95)]],
    ['cose/form', 'a signature in DER', ([a, b, c]) => [a!, b!, c!, new Uint8Array(104)]],
    [
      'cose/form',
      'a byte after the protected header',
      ([a, ...more]) => [concat(a as Uint8Array, fromHex('00')), ...more],
    ],
    ['cose/form', 'a label twice', ([, ...more]) => [fromHex('a2013822013822'), ...more]],
    ['cose/header', 'a label that is not listed', ([, ...more]) => [header(-35, [4, payload]), ...more]],
    ['cose/header', 'a critical label', ([, ...more]) => [header(-35, [2, [9]], [9, 1]), ...more]],
    ['cose/header', 'an unprotected label', ([a, , c, d]) => [a!, map([4, payload]), c!, d!]],
    ['cose/header', 'an algorithm that is not protected', ([, , c, d]) => [encodeCbor(map()), map([1, -35]), c!, d!]],
    ['cose/algorithm', 'no algorithm', ([, ...more]) => [encodeCbor(map()), ...more]],
    ['cose/algorithm', 'an algorithm by name', ([, ...more]) => [encodeCbor(map([1, 'ES384'])), ...more]],
    ['cose/algorithm', 'a shared key', ([, ...more]) => [header(5), ...more]],
  ]
  test.each(reshaped)('is refused with %s: %s', async (code, _, change) => {
    const good = await signed(es384, header(-35))
    expect(codeOf(() => parseCoseSign1(encodeCbor(change(good)), 'message'))).toBe(code)
  })

  test('is refused with listed labels that are critical, or in both headers', async () => {
    const labels = { protected: [2, 3, 4], unprotected: [4] }
    const crit = encodeCbor(await signed(es384, header(-35, [2, [3]], [3, 'x'])))
    expect(codeOf(() => parseCoseSign1(crit, 'message', labels))).toBe('cose/header')
    const both = encodeCbor(await signed(es384, header(-35, [4, payload]), map([4, payload])))
    expect(codeOf(() => parseCoseSign1(both, 'message', labels))).toBe('cose/header')
    const one = encodeCbor(await signed(es384, header(-35, [3, 'x']), map([4, payload])))
    expect(codeOf(() => parseCoseSign1(one, 'message', labels))).toBe('ok')
  })

  test('flipping any bit is refused', async () => {
    const good = encodeCbor(await signed(es384, header(-35)))
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(7), async (at, bit) => {
        expect(await verified(good.with(at, good[at]! ^ (1 << bit)), es384)).not.toBe('ok')
      }),
      { numRuns: 300 },
    )
  })

  test('on any bytes only a Failure is thrown', async () => {
    const good = encodeCbor(await signed(es384, header(-35)))
    const near = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 })
      .map((changes) => changes.reduce((bytes, [at, to]) => bytes.with(at, to), good))
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        expect(codeOf(() => parseCoseSign1(bytes, 'message'))).toMatch(/^(ok|cose\/[a-z-]+)$/)
      }),
      { numRuns: 2000 },
    )
  })
})
