import { expect, test } from 'vitest'
import { generateRecipientKey } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import {
  type Landmark,
  type Landmarks,
  landmarkNamed,
  landmarksPayloadType,
  landmarksRowsShape,
  verifyLandmarks,
} from '#policies/location/landmarks.js'

const [a, b, stranger] = await Promise.all([1, 2, 3].map(async () => (await generateSigningKey('Ed25519')).key))
const rowOf = async (name: string, change: Partial<Landmark> = {}): Promise<Landmark> => ({
  name,
  operator: 'LEI:X',
  country: 'DE',
  latitudeE6: 50_110_000,
  longitudeE6: 8_680_000,
  errorM: 50,
  host: 'fra.example',
  port: 4455,
  receiptKey: (await generateSigningKey('Ed25519')).key.publicKey as Ed25519Jwk,
  sessionKey: (await generateRecipientKey()).publicKey,
  from: 0,
  to: null,
  ...change,
})
const [fra, ber] = await Promise.all([rowOf('fra-1'), rowOf('ber-1')])
const directory = (change: Partial<Landmarks> = {}): Landmarks => ({
  type: 'claviger/landmarks/v1',
  name: 'line',
  version: 1,
  issuedAt: 1000,
  validUntil: 2000,
  previousDigest: null,
  landmarks: [fra, ber],
  ...change,
})
async function code(of: unknown, { by = [a!, b!], at = 1500, type = landmarksPayloadType } = {}): Promise<string> {
  const keepers = { keys: [a!.publicKey, b!.publicKey], threshold: 2 }
  try {
    const { document } = await verifyLandmarks(await signEnvelope(type, canonicalJson(of), by), keepers, at)
    landmarkNamed(document, 'fra-1', at)
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

test.each([
  ['as two keepers signed it', directory(), {}, 'ok'],
  ['signed by one of two', directory(), { by: [a!] }, 'registry/threshold'],
  ['signed by one and a stranger', directory(), { by: [a!, stranger!] }, 'registry/threshold'],
  [
    'signed as another document',
    directory(),
    { type: 'application/vnd.claviger.jurisdiction-registry+json' },
    'dsse/type',
  ],
  ['out of its time', directory(), { at: 2000 }, 'registry/expired'],
  ['before its time', directory(), { at: 900 }, 'registry/not-yet-valid'],
  ['with a name twice', directory({ landmarks: [fra, { ...ber, name: 'fra-1' }] }), {}, 'landmarks/row'],
  [
    'with one receipt key for two landmarks',
    directory({ landmarks: [fra, { ...ber, receiptKey: fra.receiptKey }] }),
    {},
    'landmarks/row',
  ],
  [
    'with one session key for two landmarks',
    directory({ landmarks: [fra, { ...ber, sessionKey: fra.sessionKey }] }),
    {},
    'landmarks/row',
  ],
  [
    'with a place that is not on Earth',
    directory({ landmarks: [{ ...fra, latitudeE6: 90_000_001 }] }),
    {},
    'shape/range',
  ],
  ['with a fraction of a millionth', directory({ landmarks: [{ ...fra, latitudeE6: 0.5 }] }), {}, 'shape/type'],
  ['without the landmark', directory({ landmarks: [ber] }), {}, 'landmarks/unknown'],
  ['with the landmark not there yet', directory({ landmarks: [{ ...fra, from: 1501 }] }), {}, 'landmarks/unknown'],
  ['with the landmark gone', directory({ landmarks: [{ ...fra, to: 1500 }] }), {}, 'landmarks/unknown'],
] as const)('a directory %s', async (_, of, how, expected) => {
  expect(await code(of, how as Parameters<typeof code>[1])).toBe(expected)
})

test('rows have no place for what a directory does not say', () => {
  expect(landmarksRowsShape({ landmarks: [fra] } as never, 'rows')).toEqual({ landmarks: [fra] })
  expect(() => landmarksRowsShape({ landmarks: [{ ...fra, more: 1 }] } as never, 'rows')).toThrow()
})
