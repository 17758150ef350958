import type { Publisher } from '#attest/reference/provenance.js'
import { type ReferenceSet, signReferenceSet } from '#attest/reference/set.js'
import { fromHex, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { coseSignedBytes } from '#core/cose.js'
import { ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import { sha256 } from '#core/crypto/hash.js'
import { spkiToPublisherJwk } from '#core/crypto/jwk.js'
import { generateSigningKey, type SigningKey, sign } from '#core/crypto/sign.js'
import { preAuthenticationEncoding, signEnvelope } from '#core/dsse.js'
import { type Cbor, encodeCbor } from '#core/encoding/cbor.js'
import { canonicalJson } from '#core/encoding/json.js'
import { ccaKeys } from './cca.js'
import { ecSign } from './ec-certificates.js'
import { testReferenceValues, testTime } from './platform.js'

export interface TestPublisher {
  readonly signingKey: SigningKey
  readonly publisher: Publisher
}
export async function makePublisher(alias: string, algorithm: 'ES256' | 'Ed25519' = 'ES256'): Promise<TestPublisher> {
  const { key } = await generateSigningKey(algorithm)
  return { signingKey: key, publisher: { alias, key: key.publicKey } }
}

export const goodSet = (change: Partial<ReferenceSet> = {}): ReferenceSet => ({
  type: 'claviger/reference-set/v1',
  name: 'runtime',
  version: 3,
  title: 'runtime 1.0',
  issuedAt: testTime - 100,
  expiresAt: testTime + 100,
  values: testReferenceValues(),
  ...change,
})
export const signedSet = async (key: SigningKey, change: Partial<ReferenceSet> = {}): Promise<Uint8Array> =>
  canonicalJson(await signReferenceSet(goodSet(change), key))

/** A provenance statement as SLSA generators write it, with members that are not read. */
export const statementOf = (values: Uint8Array, change: object = {}) => ({
  _type: 'https://in-toto.io/Statement/v1',
  subject: [
    { name: 'image.bin', digest: { sha256: '00'.repeat(32), sha512: 'aa' } },
    { name: 'values.json', digest: { sha256: toHex(sha256(values)) } },
  ],
  predicateType: 'https://slsa.dev/provenance/v1',
  predicate: {
    buildDefinition: { buildType: 'https://example.org/build', externalParameters: {} },
    runDetails: {
      builder: { id: 'https://builder.example/1', version: {} },
      metadata: { invocationId: '1', finishedOn: '2026-05-28T20:26:40Z' },
    },
  },
  ...change,
})
export const signedStatement = async (key: SigningKey, statement: object): Promise<Uint8Array> => {
  const envelope = await signEnvelope('application/vnd.in-toto+json', utf8(JSON.stringify(statement)), [key])
  // Others leave the id of the key out.
  return utf8(JSON.stringify({ ...envelope, signatures: envelope.signatures.map(({ sig }) => ({ sig })) }))
}

const tag = (number: number, value: Cbor): Cbor => ({ tag: number, value })
export const measurementOf = (hex: string, more: readonly (readonly [number, Cbor])[] = []): Cbor =>
  new Map<number, Cbor>([
    [0, 0],
    [1, new Map<number, Cbor>([[2, [[7, fromHex(hex)]]], ...more])],
  ])
export const rawOf = (key: number, hex: string): Cbor =>
  new Map<number, Cbor>([
    [0, key],
    [1, new Map<number, Cbor>([[4, tag(560, fromHex(hex))]])],
  ])
export const minSvn = (value: number) => [1, tag(553, value)] as const

const byChip = 'd05e6d1b9f464ae2a610ce3e6ee7e153'
export const environmentOf = (classId: string = byChip): Cbor =>
  new Map<number, Cbor>([[0, new Map<number, Cbor>([[0, tag(37, fromHex(classId))]])]])

/** A CoRIM payload; each list of `triples` is the measurements of one environment. */
export function corimPayload(
  triples: readonly (readonly Cbor[])[],
  options: {
    environment?: Cbor
    validity?: Cbor
    more?: readonly (readonly [number, Cbor])[]
    beside?: readonly Cbor[]
  } = {},
): Uint8Array {
  const records = triples.map(
    (measurements): Cbor => [options.environment ?? environmentOf(), measurements, ...(options.beside ?? [])],
  )
  const comid = new Map<number, Cbor>([
    [1, new Map<number, Cbor>([[0, 'tag']])],
    [4, new Map<number, Cbor>([[0, records]])],
  ])
  const map = new Map<number, Cbor>([
    [0, 'image 1.0'],
    [1, [tag(506, encodeCbor(comid))]],
    ...(options.validity === undefined ? [] : ([[4, options.validity]] as const)),
    ...(options.more ?? []),
  ])
  return encodeCbor(tag(501, map))
}
export const validityOf = (from: number | null, until: number): Cbor =>
  new Map<number, Cbor>([...(from === null ? [] : ([[0, tag(1, from)]] as const)), [1, tag(1, until)]])

export async function signedCorim(
  key: SigningKey,
  payload: Uint8Array,
  contentType = 'application/rim+cbor',
  algorithm = -8,
  meta: Cbor = new Uint8Array([0xa0]),
) {
  const header = encodeCbor(
    new Map<number, Cbor>([
      [1, key.algorithm === 'ES256' ? -7 : algorithm],
      [3, contentType],
      [8, meta],
    ]),
  )
  const signature = await sign(key, coseSignedBytes(header, payload))
  return encodeCbor(tag(18, [header, new Map(), payload, signature]))
}

/** A publisher on P-384, whose throwaway key signs here alone. */
export const publisher384 = { alias: 'vendor', key: spkiToPublisherJwk(ccaKeys.platform.spki) } as const

/** A CoRIM that this key signs; `algorithm` and `signedWith` for one that says another than it does. */
export async function signedCorim384(payload: Uint8Array, algorithm = -35, signedWith = ccaKeys.platform) {
  const header = encodeCbor(
    new Map<number, Cbor>([
      [1, algorithm],
      [3, 'application/rim+cbor'],
    ]),
  )
  const signature = await ecSign('ES384', coseSignedBytes(header, payload), signedWith)
  return encodeCbor(tag(18, [header, new Map(), payload, signature]))
}

/** A provenance statement in an envelope that this key signs. */
export async function signedStatement384(statement: object): Promise<Uint8Array> {
  const [payloadType, payload] = ['application/vnd.in-toto+json', utf8(JSON.stringify(statement))]
  const raw = await ecSign('ES384', preAuthenticationEncoding(payloadType, payload), ccaKeys.platform)
  return utf8(
    JSON.stringify({ payloadType, payload: toBase64(payload), signatures: [{ sig: toBase64(ecdsaRawToDer(raw)) }] }),
  )
}
