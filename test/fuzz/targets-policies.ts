import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { canonicalJson, type Json, parseJson } from '#core/encoding/json.js'
import { json as anyJson, record, type Shape } from '#core/encoding/shape.js'
import { explainSdJwt } from '#core/sd-jwt.js'
import { brokerDocumentShape } from '#core/wire/broker-document.js'
import { brokerProofShape } from '#core/wire/broker-proof.js'
import { readTicket } from '#core/wire/landmark.js'
import { encodeDatagram, parseDatagram } from '#core/wire/landmark-datagram.js'
import { readLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import { ownerQueryShape } from '#core/wire/owner-query.js'
import { claimedStatusList } from '#core/wire/status-list.js'
import { packageRoot } from '#host/process.js'
import { readToken } from '#keybroker/access/token.js'
import { parsePolicies } from '#keybroker/kbs/policies.js'
import { parseTeeKey } from '#keybroker/kbs/tee-key.js'
import { parseKekSetting } from '#keybroker/kek/setting.js'
import { readDirectory } from '#policies/credentials/directory.js'
import { readCredential } from '#policies/credentials/kinds.js'
import { readLandmarks } from '#policies/location/landmarks.js'
import { readRegistry } from '#policies/registry/document.js'
import { documentSeeds, textSeeds } from './seeds.js'
import { each, json, type Target } from './target.js'

const members = record(anyJson)
const documents = (values: readonly unknown[]) => values.map((value) => utf8(JSON.stringify(value)))

/** What the envelopes of a format's vectors sign. */
const payloads = (format: string) => textSeeds(format).filter((text) => text[0] === 0x7b)

/** A reader of bytes that were signed, behind the one spelling that it wants: what is changed would else fail there. */
const canonical = (read: (payload: Uint8Array) => unknown) => (bytes: Uint8Array) =>
  read(canonicalJson(parseJson(bytes)))
const shape = (given: Shape<unknown>, format: string): Target => ({
  seeds: () => [...documentSeeds(format), ...payloads(format)],
  run: (bytes) => given(parseJson(bytes), 'value'),
  words: json,
})
/** A token of three parts that says this: what is behind its parts, and not their base64url, is what is changed. */
const token = (payload: Uint8Array) =>
  `${Buffer.from('{"alg":"ES256","typ":"jwt","kid":"k"}').toString('base64url')}.${Buffer.from(payload).toString('base64url')}.c2ln`

const key = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) }
const id = '00'.repeat(16)
const digest = '00'.repeat(32)
const [from, to] = [1_780_185_600, 1_780_189_200]
const ticket = {
  type: 'claviger/landmark-ticket/v1',
  session: id,
  key,
  keyset: digest,
  lease: null,
  landmarks: ['fra-1'],
  issuedAt: from,
  notAfter: to,
}
const receipt = {
  type: 'claviger/landmark-receipt/v1',
  landmark: 'fra-1',
  session: id,
  ticket: digest,
  key: 'A'.repeat(43),
  keyset: digest,
  lease: null,
  sent: 64,
  answered: 60,
  rttNs: { min: 1_000_000, p50: 1_100_000, p90: 1_200_000 },
  transcript: digest,
  commit: 'A'.repeat(86),
  time: from,
  previousDigest: null,
}
const landmarks = {
  type: 'claviger/landmarks/v1',
  name: 'landmarks',
  version: 1,
  issuedAt: from,
  validUntil: to,
  previousDigest: null,
  landmarks: [
    {
      name: 'fra-1',
      operator: 'LEI:ONE',
      country: 'DE',
      latitudeE6: 50_110_000,
      longitudeE6: 8_680_000,
      errorM: 100,
      host: '192.0.2.1',
      port: 4433,
      receiptKey: key,
      sessionKey: { kty: 'OKP', crv: 'X25519', x: 'C'.repeat(42).concat('A') },
      from,
      to: null,
    },
  ],
}
/** The vectors name documents and evidence of a proof by place. */
function proofs(): readonly Uint8Array[] {
  const path = join(packageRoot(), 'test/vectors/broker-proof/cases.json')
  const file = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly documents: readonly unknown[]
    readonly evidence: readonly unknown[]
    readonly cases: readonly { readonly proof: object | null }[]
  }
  const [document, evidence] = [file.documents[0], file.evidence[0]]
  return documents(file.cases.flatMap(({ proof }) => (proof === null ? [] : [{ ...proof, document, evidence }])))
}
const session = new Uint8Array(16).fill(1)
const bytes32 = new Uint8Array(32).fill(2)
const bytes64 = new Uint8Array(64).fill(3)
const payload = utf8('{}')
const datagrams = [
  { kind: 'hello', session },
  { kind: 'retry', session, cookie: bytes32 },
  {
    kind: 'open',
    session,
    cookie: bytes32,
    enc: bytes32,
    openSignature: bytes64,
    keyId: bytes32,
    signature: bytes64,
    payload,
  },
  { kind: 'probe', session, index: 1, nonce: session },
  { kind: 'answer', session, index: 1, answer: bytes32 },
  { kind: 'close', session, counted: [0, 1, 9] },
  { kind: 'commit', session, signature: bytes64 },
  { kind: 'receipt', session, payload, signature: bytes64 },
  { kind: 'refused', session, code: 'landmark/full' },
] as const
/** Signed envelopes as the vectors have them, and what they sign. */
const jwtBodies = (format: string) =>
  textSeeds(format).flatMap((text) => {
    const [, body] = fromUtf8Or(text).split('.', 3)
    return body === undefined ? [] : [new Uint8Array(Buffer.from(body, 'base64url'))]
  })
function fromUtf8Or(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch {
    return ''
  }
}
const claims = { iss: 'https://id.example', aud: 'broker', sub: 'a', iat: 1_780_185_600, exp: 1_780_189_200 }

export const policyTargets: Readonly<Record<string, Target>> = {
  'sd-jwt': {
    seeds: () => textSeeds('credentials'),
    run: (bytes) => readCredential(explainSdJwt(fromUtf8(bytes)).claims),
    words: ['~', '.', 'eyJ', '"_sd":["', '"...":"', '"_sd_alg":"sha-256"'],
  },
  credential: {
    seeds: () => [...documentSeeds('credentials'), ...jwtBodies('credentials')],
    run(bytes) {
      const value: Json = parseJson(bytes)
      each(
        () => readCredential(members(value, 'claims')), // whoever calls it has found an object
        () => explainSdJwt(`${token(bytes)}~`),
      )
    },
    words: [...json, '"vct":"urn:claviger:vct:', '"_sd":["', '{"...":"', '"cnf":', '"status":'],
  },
  'status-list': {
    seeds: () => [...jwtBodies('credentials'), ...documents([{ sub: 'https://a.example/1', iat: 1, exp: 2 }])],
    run: (bytes) => claimedStatusList(token(bytes)),
    words: [...json, '"status_list":{"bits":1,"lst":"'],
  },
  'issuer-directory': {
    seeds: () => [...documentSeeds('credentials'), ...payloads('credentials')],
    run: canonical(readDirectory),
    words: json,
  },
  registry: {
    seeds: () => payloads('jurisdiction-registry'),
    run: canonical(readRegistry),
    words: json,
    sizeMax: 32 * 1024,
  },
  landmarks: { seeds: () => documents([landmarks]), run: canonical(readLandmarks), words: json },
  'landmark-ticket': { seeds: () => documents([ticket]), run: canonical(readTicket), words: json },
  'landmark-receipt': { seeds: () => documents([receipt]), run: canonical(readLandmarkReceipt), words: json },
  'landmark-datagram': {
    seeds: () => datagrams.map(encodeDatagram),
    run(bytes) {
      const again = encodeDatagram(parseDatagram(bytes))
      if (Buffer.compare(again, bytes) !== 0) throw new Error('a datagram has two spellings')
    },
    words: ['CLM1'],
  },
  'broker-document': shape(brokerDocumentShape, 'broker-document'),
  'broker-proof': {
    seeds: proofs,
    run: (bytes) => brokerProofShape(parseJson(bytes), 'value'),
    words: [...json, '"kind":"snp"'],
  },
  'owner-query': shape(ownerQueryShape, 'owner-query'),
  'access-token': {
    seeds: () => documents([claims, { ...claims, aud: ['broker', 'other'], nbf: 1, azp: 'a' }]),
    run: (bytes) =>
      each(
        () => readToken(token(bytes), 1_780_185_600),
        () => readToken(fromUtf8(bytes), 1_780_185_600),
      ),
    words: [...json, '"aud":', '"exp":', '.'],
  },
  'kbs-policies': {
    seeds: () =>
      documents([
        { type: 'claviger/kbs-policies/v1', attestation: null, resource: [] },
        ...documentSeeds('kbs').map((one) => JSON.parse(fromUtf8(one))),
      ]),
    run: canonical(parsePolicies),
    words: [...json, '"resource":[', '"attestation":'],
  },
  'tee-key': {
    seeds: () => documentSeeds('kbs'),
    run: (bytes) => parseTeeKey(parseJson(bytes)),
    words: [...json, '"alg":"ECDH-ES+A256KW"', '"crv":"P-521"', '"alg":"RSA-OAEP-256"', '"e":"AQAB"'],
  },
  'kek-setting': {
    seeds: () => [
      utf8('file:/etc/claviger/kek'),
      utf8('pkcs11:token=hsm;object=kek?module-path=/usr/lib/hsm.so&pin-source=file:/etc/pin'),
      utf8('vault:https://vault.example/transit/keys/claviger?token-source=file:/run/token&ca=file:/etc/ca.pem'),
    ],
    run: (bytes) => parseKekSetting(fromUtf8(bytes)),
    words: ['pkcs11:', 'vault:https://', 'file:', '%00', '?', ';', '='],
  },
}
