import { type Ed25519Jwk, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import {
  base64Url,
  either,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shaped,
} from '#core/encoding/shape.js'
import { quorumShape } from '#core/sealed/quorum.js'
import { brokerStandingShape } from '#core/wire/broker-standing.js'
import { budgetShape } from '#core/wire/budget.js'
import {
  acceptsShape,
  countryShape,
  idShape,
  modelIdShape,
  nameShape,
  platformShape,
  timeShape,
  titleShape,
} from '#core/wire/names.js'

/** Place and operator as a decision used them: never a bare country code (I13). */
export const declaredShape = object({
  place: nullable(object({ country: countryShape })),
  operator: nullable(object({ legalName: titleShape, country: countryShape })),
  host: nameShape,
  basis: literal('declared'),
  grade: literal('L0'),
  issuer: thumbprintShape,
  issuedAt: timeShape,
  statementDigest: hex(32),
})
export type Declared = Shaped<typeof declaredShape>

/**
 * Who may call: `any`, or the owner's list with a pseudonym in place of each name. Anybody can read a node's lease; what
 * the pseudonyms are made with stays with the broker, so nobody else learns from a receipt who called (I10).
 */
const leaseCallersShape = either(
  literal('any'),
  list(object({ pseudonym: hex(32), credentialHash: hex(32), expiresAt: timeShape }), { max: 1000 }),
)

/** The right to use a model key until `expiresAt`, for as much work as `budget` says (I11, I15). Signed by the broker. */
export const leaseShape = object({
  type: literal('claviger/lease/v1'),
  id: idShape,
  broker: thumbprintShape,
  tenant: thumbprintShape,
  model: modelIdShape,
  version: integer({ min: 1 }),
  manifestDigest: hex(32),
  keysetDigest: hex(32),
  trustDigest: hex(32),
  issuedAt: timeShape,
  expiresAt: timeShape,
  /** the work that may be done under this lease: needs no clock */
  budget: budgetShape,
  policy: object({
    name: nameShape,
    sequence: integer({ min: 1 }),
    digest: hex(32),
    /** what its owner signed that it leaves open; receipts say it too. Absent: nothing */
    accepts: optional(acceptsShape),
  }),
  callers: leaseCallersShape,
  declared: nullable(declaredShape),
  /** nobody believes a guest's clock; without an attested counter the host can stop it */
  time: oneOf('host-influenced', 'attested-counter'),
  platform: platformShape,
  /** the broker's own word: whoever wants to know verifies its evidence (I16) */
  standing: brokerStandingShape,
  /** the brokers among whom the key is split: this lease alone opens nothing. Absent: this broker holds the whole key */
  quorum: optional(quorumShape),
})
export type Lease = Shaped<typeof leaseShape>

/** A broker's sign of life for one lease: it answers the runtime's own fresh nonce. Signed by the broker. */
export const beatShape = object({
  type: literal('claviger/beat/v1'),
  lease: idShape,
  nonce: base64Url(32),
  at: timeShape,
  expiresAt: timeShape,
})
export type Beat = Shaped<typeof beatShape>

const leaseType = 'application/vnd.claviger.lease+json'
const beatType = 'application/vnd.claviger.beat+json'

export async function signLease(lease: Lease, key: SigningKey): Promise<Envelope> {
  return signEnvelope(leaseType, canonicalJson(lease), [key])
}
export async function signBeat(beat: Beat, key: SigningKey): Promise<Envelope> {
  return signEnvelope(beatType, canonicalJson(beat), [key])
}

/** A lease that one of the brokers signed. @throws dsse/..., crypto/signature, json/..., shape/... */
export async function verifyLease(envelope: Envelope, brokers: readonly Ed25519Jwk[]): Promise<Lease> {
  const { payload } = await verifyEnvelope(envelope, leaseType, brokers, 'lease')
  return leaseShape(parseCanonicalJson(payload), 'lease')
}

/** A beat that one of the brokers signed. @throws dsse/..., crypto/signature, json/..., shape/... */
export async function verifyBeat(envelope: Envelope, brokers: readonly Ed25519Jwk[]): Promise<Beat> {
  const { payload } = await verifyEnvelope(envelope, beatType, brokers, 'beat')
  return beatShape(parseCanonicalJson(payload), 'beat')
}
