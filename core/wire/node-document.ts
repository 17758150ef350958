import { sharesMax } from '#core/crypto/shamir.js'
import { envelopeShape } from '#core/dsse.js'
import {
  base64,
  base64Url,
  json,
  list,
  literal,
  nullable,
  object,
  optional,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { entrySizeMax } from '#core/limits.js'
import { bindingShape } from '#core/wire/binding.js'
import { brokerProofShape } from '#core/wire/broker-proof.js'
import { budgetLeftShape } from '#core/wire/budget.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { keysetShape } from '#core/wire/keyset.js'
import { hostDeclarationShape, openingsShape } from '#core/wire/release.js'
import { runtimeConfigShape } from '#core/wire/runtime-config.js'

/** Evidence and the statement that it binds. */
export const boundEvidenceShape = object({ binding: bindingShape, evidence: evidenceShape })
export type BoundEvidence = Shaped<typeof boundEvidenceShape>

/** One broker's grant, with all that verifies it. */
const shownGrant = {
  /** the owner's trust statement that the node obeys, as signed */
  trust: envelopeShape,
  /** the evidence on which the key was released */
  release: boundEvidenceShape,
  ear: string({ max: 256 * 1024 }),
  leaf: base64(undefined, entrySizeMax * 2),
  openings: openingsShape,
  decision: json,
  proof: string({ max: 64 * 1024 }),
  lease: envelopeShape,
  beat: envelopeShape,
  /**
   * How the broker proved itself to this node before it was asked (I16), with the salt of the nonce (`brokerNonceOf`). Absent:
   * the owner demands no proof of it.
   */
  broker: optional(object({ salt: base64Url(32), proof: brokerProofShape })),
} as const
const shownGrantShape = object(shownGrant)
export type ShownGrant = Shaped<typeof shownGrantShape>

/**
 * What a node shows to anyone: `GET /.well-known/claviger/node`, with `?nonce=` (base64url of 32 bytes) for evidence
 * that answers the caller's own nonce. Everything in it can be judged offline against the reader's own trust file.
 */
export const nodeDocumentShape = object({
  type: literal('claviger/node/v1'),
  keyset: keysetShape,
  config: runtimeConfigShape,
  ...shownGrant,
  /** the grants of the other brokers, where several hold the key. Absent: one broker holds it */
  others: optional(list(shownGrantShape, { max: sharesMax - 1 })),
  host: nullable(hostDeclarationShape),
  /** evidence for the caller's nonce; null when none was asked for */
  fresh: nullable(boundEvidenceShape),
  /** what is left of the lease's budget */
  budgetLeft: budgetLeftShape,
  /** settings that weaken the node, by name; empty when there are none */
  weakenings: list(string(), { max: 32 }),
})
export type NodeDocument = Shaped<typeof nodeDocumentShape>
