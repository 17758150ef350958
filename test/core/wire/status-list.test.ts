import { beforeAll, describe, expect, test } from 'vitest'
import { toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { isFailure } from '#core/failure.js'
import { signJws } from '#core/jws.js'
import { statusListSizeMax } from '#core/limits.js'
import { type StatusList, signStatusList, statusAt, verifyStatusList, withStatus } from '#core/wire/status-list.js'
import { backend } from '#crypto-backend'

const at = 1_780_000_000
const uri = 'https://issuer.example/status/1'
let key: SigningKey
beforeAll(async () => {
  key = (await generateSigningKey('ES256')).key
})
const list = (more: Partial<StatusList> = {}): StatusList => ({
  uri,
  bits: 1,
  bytes: new Uint8Array(125_000),
  issuedAt: at,
  expiresAt: at + 3600,
  ...more,
})
const code = async (work: () => unknown) => {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}
const read = (token: string, when = at, of = uri) => verifyStatusList(token, [key.publicKey], of, when)
const token = (statusList: unknown, more = {}) =>
  signJws(
    key,
    utf8(JSON.stringify({ sub: uri, iat: at, exp: at + 60, status_list: statusList, ...more })),
    'statuslist+jwt',
  )

describe(`status lists on the ${backend.name} backend`, () => {
  // Known answers. source: draft-ietf-oauth-status-list, "Compressed Byte Array" and its examples (IETF Trust)
  test.each([
    [1, 'eNrbuRgAAhcBXQ', [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]],
    [2, 'eNo76fITAAPfAgc', [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]],
  ])('of %i bits reads as the specification prints it', async (bits, lst, values) => {
    const found = await read(await token({ bits, lst }))
    const names = ['valid', 'invalid', 'suspended', 'other']
    expect(values.map((_, i) => statusAt(found, i))).toEqual(values.map((value) => names[value]))
    expect(await code(() => statusAt(found, values.length))).toBe('status-list/index')
  })

  test('a million credentials go a round; one is revoked, its neighbours are not', async () => {
    for (const bits of [1, 2, 4, 8] as const) {
      const revoked = withStatus(list({ bits }), 999, 1)
      const found = await read(await signStatusList(revoked, key))
      expect(found.bytes.length).toBe(125_000)
      expect([998, 999, 1000].map((i) => statusAt(found, i))).toEqual(['valid', 'invalid', 'valid'])
      expect(statusAt(withStatus(found, 999, 0), 999)).toBe('valid')
    }
  })

  test('counts for its address, in its time, by its issuer', async () => {
    const signed = await signStatusList(list(), key)
    expect(await code(() => read(signed, at, `${uri}0`))).toBe('status-list/uri')
    expect(await code(() => read(signed, at - 61))).toBe('status-list/not-yet-valid')
    expect(await code(() => read(signed, at + 3600))).toBe('status-list/expired')
    expect(await code(() => read(signed, at + 3599))).toBe('ok')
    const { key: other } = await generateSigningKey('Ed25519')
    expect(await code(() => verifyStatusList(signed, [other.publicKey], uri, at))).toBe('jws/key')
    const jwt = await signJws(key, utf8('{}'))
    expect(await code(() => read(jwt))).toBe('jws/form')
  })

  test.each([
    ['no end', { bits: 1, lst: 'eNrbuRgAAhcBXQ' }, { exp: undefined }, 'shape/missing'],
    ['three bits', { bits: 3, lst: 'eNrbuRgAAhcBXQ' }, {}, 'status-list/form'],
    ['bytes that are not compressed', { bits: 1, lst: toBase64Url(utf8('hello')) }, {}, 'status-list/form'],
    ['half of what was compressed', { bits: 1, lst: 'eNrbuRg' }, {}, 'status-list/form'],
    ['another member', { bits: 1, lst: 'eNrbuRgAAhcBXQ', aggregation_uri: 'x' }, {}, 'shape/unknown'],
  ])('is refused with %s, though signed', async (_, statusList, more, expected) => {
    expect(await code(async () => read(await token(statusList, more)))).toBe(expected)
  })

  test('a list that grows beyond its bound is not unpacked', async () => {
    const bomb = await signStatusList(list({ bytes: new Uint8Array(statusListSizeMax * 20) }), key)
    expect(bomb.length).toBeLessThan(40_000)
    expect(await code(() => read(bomb))).toBe('status-list/form')
  })
})
