import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey, sign } from '#core/crypto/sign.js'
import { isFailure } from '#core/failure.js'
import { joseAlgorithm, signJws, verifyJws } from '#core/jws.js'
import { backend } from '#crypto-backend'

const payload = utf8('{"a":"?>~"}')
let ed: SigningKey
let es: SigningKey
beforeAll(async () => {
  ed = (await generateSigningKey('Ed25519')).key
  es = (await generateSigningKey('ES256')).key
})
const pinned = () => [ed.publicKey, es.publicKey]

/** A token put together by hand and truly signed, whatever its header and payload say. */
async function signedByHand(head: string, body: string, key: SigningKey): Promise<string> {
  return `${head}.${body}.${toBase64Url(await sign(key, utf8(`${head}.${body}`)))}`
}
const headOf = (key: SigningKey, more = '') =>
  `{"alg":"${joseAlgorithm(key.publicKey)}","kid":"${key.id}","typ":"JWT"${more}}`

describe(`compact JWS on the ${backend.name} backend`, () => {
  test.each(['Ed25519', 'ES256'] as const)('of %s: what was signed is what is read', async (name) => {
    const key = name === 'ES256' ? es : ed
    const token = await signJws(key, payload)
    expect(new TextDecoder().decode(fromBase64Url(token.split('.')[0]!))).toBe(headOf(key))
    expect(await verifyJws(token, pinned(), 'token')).toEqual({ signer: key.id, payload })
    // and a token that the library had no part in
    const byHand = await signedByHand(toBase64Url(utf8(headOf(key))), toBase64Url(payload), key)
    expect(await verifyJws(byHand, pinned(), 'token')).toEqual({ signer: key.id, payload })
  })

  test('the key that signs cannot be exported through the reference, where the platform can promise that', () => {
    const reference = ed.handle.key as { readonly type: string; readonly extractable?: boolean }
    expect(reference.type).toBe('private')
    expect(reference.extractable).toBe(backend.name === 'browser' ? false : undefined)
  })

  test.each([
    ['jws/form', 'a key in the header', () => headOf(ed, `,"jwk":${JSON.stringify(ed.publicKey)}`)],
    ['jws/form', 'a payload that is not encoded', () => headOf(ed, ',"b64":false,"crit":["b64"]')],
    ['jws/form', 'a member twice', () => headOf(ed, `,"kid":"${es.id}"`)],
    ['jws/form', 'no kid', () => '{"alg":"EdDSA","typ":"JWT"}'],
    ['jws/form', 'algorithm none', () => `{"alg":"none","kid":"${ed.id}","typ":"JWT"}`],
    ['jws/form', 'an algorithm of shared keys', () => `{"alg":"HS256","kid":"${ed.id}","typ":"JWT"}`],
    ['jws/algorithm', 'the algorithm of another key', () => headOf(es).replace(es.id, ed.id)],
    ['jws/key', 'a key that is not pinned', () => headOf(ed).replace(ed.id, 'A'.repeat(43))],
  ])('is refused with %s: %s, though signed', async (code, _, head) => {
    const token = await signedByHand(toBase64Url(utf8(head())), toBase64Url(payload), ed)
    await expect(verifyJws(token, pinned(), 'token')).rejects.toMatchObject({ code })
  })

  test('is refused for spellings of base64url that the library reads', async () => {
    const head = toBase64Url(utf8(headOf(ed)))
    const body = toBase64Url(utf8('{"a":12}')) // 8 bytes: two bits of the last character say nothing
    const other = `${body.slice(0, -1)}${String.fromCharCode(body.charCodeAt(body.length - 1) + 1)}`
    const good = await signedByHand(head, body, ed)
    await verifyJws(good, pinned(), 'token')
    for (const spelled of [other, `${body}=`, ` ${body}`]) {
      const code = /^jws\/(payload|signature)$/
      const token = await signedByHand(head, spelled, ed)
      await expect(verifyJws(token, pinned(), 'token')).rejects.toMatchObject({ code: expect.stringMatching(code) })
    }
    for (const token of [`${good}=`, good.replace('.', ' .'), `${good}.`, good.slice(0, -2)])
      await expect(verifyJws(token, pinned(), 'token')).rejects.toMatchObject({ code: 'jws/form' })
  })

  test('is refused for another signature, another payload and a key that is no point of its curve', async () => {
    const token = await signJws(es, payload)
    const [head, body, tail] = token.split('.') as [string, string, string]
    const [, , alien] = (await signJws(es, utf8('{}'))).split('.') as [string, string, string]
    for (const wrong of [`${head}.${body}.${alien}`, `${head}.${toBase64Url(utf8('{}'))}.${tail}`])
      await expect(verifyJws(wrong, pinned(), 'token')).rejects.toMatchObject({ code: 'jws/signature' })
    const off = {
      kty: 'EC',
      crv: 'P-256',
      x: toBase64Url(new Uint8Array(32)),
      y: toBase64Url(new Uint8Array(32)),
    } as const
    const named = toBase64Url(utf8(headOf(es).replace(es.id, thumbprint(off))))
    await expect(verifyJws(`${named}.${body}.${tail}`, [off], 'token')).rejects.toMatchObject({ code: 'jws/signature' })
  })

  test('any other text is refused by a Failure', async () => {
    const part = fc.oneof(fc.string(), fc.constant(toBase64Url(utf8(headOf(ed)))), fc.uint8Array().map(toBase64Url))
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 4 }), async (parts) => {
        expect(isFailure(await verifyJws(parts.join('.'), pinned(), 'token').catch((error) => error))).toBe(true)
      }),
    )
  })
})
