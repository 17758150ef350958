import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { signJws } from '#core/jws.js'
import { holderId, issueSdJwt, presentSdJwt, verifyKeyBinding, verifySdJwt } from '#core/sd-jwt.js'
import { backend } from '#crypto-backend'

const typ = 'dc+sd-jwt'
const at = 1_780_000_000
let issuer: SigningKey
let holder: SigningKey
beforeAll(async () => {
  issuer = (await generateSigningKey('ES256')).key
  holder = (await generateSigningKey('Ed25519')).key
})
let salted = 0
const salt = () => new Uint8Array(16).fill(++salted)
const claims = () => ({ vct: 'urn:x', name: 'Ann', seat: 'FR', list: [1, 2], cnf: { jwk: holder.publicKey } })
const issued = () => issueSdJwt({ key: issuer, typ, claims: claims(), disclosable: ['name', 'seat', 'list'], salt })
const read = (text: string) => verifySdJwt(text, [issuer.publicKey], typ, 'credential')
const code = async (work: () => Promise<unknown>) => {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}
const disclosure = (...parts: readonly Json[]) => toBase64Url(canonicalJson(parts))
const digest = (text: string) => toBase64Url(sha256(utf8(text)))
/** A token of any payload, truly signed, and what comes after it. */
const signed = async (payload: unknown, ...disclosures: readonly string[]) =>
  `${[await signJws(issuer, utf8(JSON.stringify(payload)), typ), ...disclosures].join('~')}~`

describe(`SD-JWT on the ${backend.name} backend`, () => {
  test('what the issuer signed is what a holder of all disclosures shows', async () => {
    const text = await issued()
    const verified = await read(text)
    expect(verified).toEqual({ claims: claims(), signer: issuer.id })
    expect(holderId(verified.claims)).toBe(holder.id)
    // What is hidden stands nowhere in the token itself.
    const payload = new TextDecoder().decode(fromBase64Url(text.split('.')[1]!))
    expect(payload).not.toMatch(/Ann|seat|list/)
  })

  test('a holder shows what it chooses, to one reader, once', async () => {
    const expected = { holder: holder.publicKey, audience: 'broker', nonce: 'n1', at, ageSecondsMax: 300 }
    const present = { sdJwt: await issued(), show: ['seat'], holder, audience: 'broker', nonce: 'n1', at }
    const shown = await presentSdJwt(present)
    expect((await read(shown)).claims).toEqual({ vct: 'urn:x', seat: 'FR', cnf: { jwk: holder.publicKey } })
    const bound = (text: string, change = {}) => code(() => verifyKeyBinding(text, { ...expected, ...change }))
    expect(await bound(shown)).toBe('ok')
    for (const change of [
      { audience: 'another' },
      { nonce: 'n2' },
      { at: at + 301 },
      { at: at - 61 },
      { holder: issuer.publicKey },
    ])
      expect(await bound(shown, change)).toBe('sd-jwt/binding')
    // Whoever relays it can neither add what it has seen elsewhere nor take away, nor leave the proof out.
    const parts = shown.split('~')
    expect(await bound([parts[0], parts[2]].join('~'))).toBe('sd-jwt/binding')
    const another = (await issued()).split('~')[1]!
    expect(await bound([parts[0], parts[1], another, parts[2]].join('~'))).toBe('sd-jwt/binding')
    expect(await bound(`${parts[0]}~${parts[1]}~`)).toBe('sd-jwt/binding')
    expect(await bound(`${parts[0]}~${parts[1]}~${parts[0]}`)).toBe('sd-jwt/binding')
    await expect(presentSdJwt({ ...present, show: ['other'] })).rejects.toMatchObject({ code: 'sd-jwt/disclosure' })
  })

  test('a holder shows single elements of a list, and nothing tells how the others read', async () => {
    const all = { vct: 'urn:x', predicates: ['union-citizen', 'cleared'], cnf: { jwk: holder.publicKey } }
    const sdJwt = await issueSdJwt({ key: issuer, typ, claims: all, disclosable: ['predicates[]'], salt })
    expect((await read(sdJwt)).claims).toEqual(all)
    const present = { sdJwt, holder, audience: 'broker', nonce: 'n', at }
    const shown = await presentSdJwt({ ...present, show: ['cleared'] })
    expect((await read(shown)).claims.predicates).toEqual(['cleared'])
    expect((await read(await presentSdJwt({ ...present, show: [] }))).claims.predicates).toEqual([])
    for (const name of ['seat', 'predicates', 'other[]'])
      expect(
        await code(() => issueSdJwt({ key: issuer, typ, claims: { seat: 1 }, disclosable: [`${name}[]`], salt })),
      ).toBe('sd-jwt/disclosure')
  })

  test('hashes a disclosure as the specification prints it', async () => {
    // Known answer. source: RFC 9901, "Hashing Disclosures" and "Disclosures for Array Elements" (IETF Trust)
    const name = 'WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0'
    expect(digest(name)).toBe('X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0')
    expect((await read(await signed({ _sd: [digest(name)], _sd_alg: 'sha-256' }, name))).claims).toEqual({
      family_name: 'Möbius',
    })
  })

  test('fills elements of lists and disclosures within disclosures; what is not disclosed is not there', async () => {
    const element = disclosure('salt', 'FR')
    const inner = disclosure('salt', 'street', 'Main')
    const outer = disclosure('salt', 'address', { town: 'Lyon', _sd: [digest(inner)] })
    const payload = {
      list: ['DE', { '...': digest(element) }, { '...': digest('x') }],
      _sd: [digest(outer), digest('y')],
    }
    expect((await read(await signed(payload, element, inner, outer))).claims).toEqual({
      list: ['DE', 'FR'],
      address: { town: 'Lyon', street: 'Main' },
    })
    expect((await read(await signed(payload))).claims).toEqual({ list: ['DE'] })
  })

  const one = disclosure('salt', 'a', 1)
  test.each([
    ['a disclosure that nothing asks for', { b: 1 }, [one], 'sd-jwt/disclosure'],
    ['a disclosure twice', { _sd: [digest(one)] }, [one, one], 'sd-jwt/disclosure'],
    ['a digest twice', { _sd: [digest(one), digest(one)] }, [one], 'sd-jwt/disclosure'],
    ['a digest twice, of nothing that came', { _sd: ['x'], b: { _sd: ['x'] } }, [], 'sd-jwt/disclosure'],
    ['a disclosure over a claim', { a: 2, _sd: [digest(one)] }, [one], 'sd-jwt/disclosure'],
    [
      'a disclosure of _sd',
      { _sd: [digest(disclosure('s', '_sd', []))] },
      [disclosure('s', '_sd', [])],
      'sd-jwt/disclosure',
    ],
    [
      'a disclosure of ...',
      { _sd: [digest(disclosure('s', '...', 1))] },
      [disclosure('s', '...', 1)],
      'sd-jwt/disclosure',
    ],
    ['an element for a member', { _sd: [digest(disclosure('s', 1))] }, [disclosure('s', 1)], 'sd-jwt/disclosure'],
    ['a member for an element', { l: [{ '...': digest(one) }] }, [one], 'sd-jwt/disclosure'],
    [
      'a disclosure of four parts',
      { _sd: [digest(disclosure('s', 'a', 1, 2))] },
      [disclosure('s', 'a', 1, 2)],
      'sd-jwt/disclosure',
    ],
    ['a salt that is a number', { _sd: [digest(disclosure(1, 'a', 1))] }, [disclosure(1, 'a', 1)], 'sd-jwt/disclosure'],
    ['a disclosure that is no JSON', { _sd: [digest('eA')] }, ['eA'], 'sd-jwt/disclosure'],
    ['an empty disclosure', { b: 1 }, [''], 'sd-jwt/form'],
    ['another digest algorithm', { _sd_alg: 'sha-1', _sd: [digest(one)] }, [one], 'sd-jwt/form'],
    ['_sd that is no list', { _sd: digest(one) }, [one], 'sd-jwt/form'],
    ['a digest that is no text', { _sd: [1] }, [], 'sd-jwt/form'],
    ['a hidden element with more', { l: [{ '...': digest(one), b: 1 }] }, [one], 'sd-jwt/form'],
    ['a member ...', { '...': digest(one) }, [one], 'sd-jwt/form'],
    ['a list', [1], [], 'sd-jwt/form'],
  ] as const)('is refused with %s, though signed', async (_, payload, disclosures, expected) => {
    expect(await code(async () => read(await signed(payload, ...disclosures)))).toBe(expected)
  })

  test('is bounded: size, disclosures, and depth of all disclosures together', async () => {
    expect(await code(() => read(`${'a'.repeat(65_536)}~`))).toBe('sd-jwt/form')
    expect(await code(() => read(`a~${'b~'.repeat(201)}`))).toBe('sd-jwt/form')
    expect(await code(() => read('a'))).toBe('sd-jwt/form')
    let inner = disclosure('s', 'a', 1)
    const chain = [inner]
    for (let i = 0; i < 60; i++) {
      inner = disclosure('s', 'a', { _sd: [digest(inner)] })
      chain.push(inner)
    }
    expect(await code(async () => read(await signed({ _sd: [digest(inner)] }, ...chain)))).toBe('sd-jwt/form')
  })

  test('one kind of token is never another', async () => {
    const jwt = await signJws(issuer, utf8('{"a":1}'), 'JWT')
    expect(await code(() => read(`${jwt}~`))).toBe('jws/form')
    expect(await code(async () => verifySdJwt(await issued(), [issuer.publicKey], 'kb+jwt', 'credential'))).toBe(
      'jws/form',
    )
    expect(await code(async () => verifySdJwt(await issued(), [holder.publicKey], typ, 'credential'))).toBe('jws/key')
  })

  test('any text ends in a Failure or in claims', async () => {
    const good = await issued()
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.string({ maxLength: 3 }), fc.nat(3), async (place, put, cut) => {
        const text = good.slice(0, place) + put + good.slice(place + cut)
        const outcome = await code(() => read(text))
        expect(outcome === 'ok' || /^(sd-jwt|jws)\//.test(outcome)).toBe(true)
      }),
      { numRuns: 200 },
    )
  })
})
