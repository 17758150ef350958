import { envelopeShape } from '#core/dsse.js'
import { boolean, hex, list, literal, nullable, object, type Shaped, string } from '#core/encoding/shape.js'
import { platformShape } from '#core/wire/names.js'
import { apiVersion, reasonShape, releaseRequestShape } from '#core/wire/release.js'

/**
 * `POST /v1/qualify`: would this node get this model? `query` is an owner's question that asks it, or null where an identity of
 * the owner's access list asks, by the credential of the connection.
 */
export const qualifyRequestShape = object({
  version: literal(apiVersion),
  /** as for a release, its binding for the purpose `claviger.qualify.v1` */
  request: releaseRequestShape,
  query: nullable(envelopeShape),
})

/** Nothing of it is in the log, and nothing was granted. */
export const qualifyAnswerShape = object({
  version: literal(apiVersion),
  qualifies: boolean,
  /** null where the evidence did not verify */
  platform: nullable(platformShape),
  /** what refuses; empty when nothing does */
  reasons: list(reasonShape, { max: 64 }),
  /** one line for each fact that would have to be otherwise */
  nearest: list(string({ max: 4000 }), { max: 64 }),
  /** for the owner alone */
  policyDigest: nullable(hex(32)),
})
export type QualifyAnswer = Shaped<typeof qualifyAnswerShape>
