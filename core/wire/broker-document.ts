import { fromBase64 } from '#core/bytes/bytes.js'
import {
  type Ed25519Jwk,
  ed25519Jwk,
  signatureJwk,
  thumbprint,
  thumbprintShape,
  x25519Jwk,
  xwingJwk,
} from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, envelopeShape, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { base64, list, literal, nullable, object, oneOf, optional, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { brokerStandingShape } from '#core/wire/broker-standing.js'
import { modelIdShape, timeShape } from '#core/wire/names.js'
import { apiVersion } from '#core/wire/release.js'

/** Failures of a broker's document. */
export type BrokerDocumentCode = 'broker/key'

/** `GET /v1/broker`: what a broker says of itself, signed with the key that owners pin by its thumbprint. */
export const brokerDocumentShape = object({
  type: literal('claviger/broker/v1'),
  key: ed25519Jwk,
  /** model keys are wrapped to it on their way in, by owners who know no other */
  wrapping: x25519Jwk,
  /** and to this one by all others; absent: a broker that was created before there was one */
  wrappingHybrid: optional(xwingJwk),
  verifiers: list(signatureJwk, { min: 1, max: 16 }),
  logs: list(string({ max: 300 }), { min: 1, max: 8 }),
  witnessPolicy: string({ max: 16 * 1024 }),
  /** a broker outside a TEE can read every key that it holds, and says so; of any other, verify its evidence (I16) */
  standing: brokerStandingShape,
  /** who can unwrap the stored keys */
  kek: oneOf('KEK HELD BY OPERATOR', 'KEK RELEASED BY BROKER'),
  /** thumbprint of the broker that released it; absent where the operator holds it */
  kekBroker: optional(thumbprintShape),
  /** the id under which its owner registered it there; whoever has that owner's keys has the key too */
  kekModel: optional(modelIdShape),
  issuedAt: timeShape,
})
export type BrokerDocument = Shaped<typeof brokerDocumentShape>

const brokerType = 'application/vnd.claviger.broker+json'

export async function signBrokerDocument(document: BrokerDocument, key: SigningKey): Promise<Envelope> {
  return signEnvelope(brokerType, canonicalJson(document), [key])
}

/**
 * The document of the broker whose key has this thumbprint.
 *
 * pinned  thumbprint that the caller knows from elsewhere; null on a first use that a person confirms
 * throws  broker/key, dsse/..., crypto/signature, json/..., shape/...
 */
export async function verifyBrokerDocument(envelope: Envelope, pinned: string | null): Promise<BrokerDocument> {
  const claimed = brokerDocumentShape(parseCanonicalJson(fromBase64(envelope.payload)), 'broker')
  const key: Ed25519Jwk = claimed.key
  if (pinned !== null && thumbprint(key) !== pinned) {
    throw new Failure<BrokerDocumentCode>('broker/key', `broker has key ${thumbprint(key)}, expected ${pinned}`)
  }
  await verifyEnvelope(envelope, brokerType, [key], 'broker document')
  return claimed
}

/** `POST /v1/models`: everything that registers one version of a model. */
export const registerRequestShape = object({
  version: literal(apiVersion),
  trust: envelopeShape,
  registration: envelopeShape,
  policy: envelopeShape,
  referenceValues: envelopeShape,
  /** the sealed folder's manifest, and the signature bundle that stands beside it */
  manifest: base64(undefined, 8 * MiB),
  manifestSignature: base64(undefined, 2 * MiB),
  /** the model key, HPKE-sealed to the broker's wrapping key with `registerInfo`; null when only statements change */
  wrapped: nullable(base64(undefined, 4096)),
  /** thumbprint of the key that it was sealed to; absent: `wrapping` */
  wrappedTo: optional(thumbprintShape),
})
export type RegisterRequest = Shaped<typeof registerRequestShape>
