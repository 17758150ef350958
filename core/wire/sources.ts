import { signatureJwk } from '#core/crypto/jwk.js'
import { envelopeShape } from '#core/dsse.js'
import { hex, integer, list, object, optional, type Shaped, string } from '#core/encoding/shape.js'
import {
  clearedMax,
  credentialsPresentedMax,
  sdJwtSizeMax,
  statusListTokenMax,
  statusSecondsMax,
  ticketLandmarksMax,
} from '#core/limits.js'
import { type Binding, documentDigest } from '#core/wire/binding.js'
import { timeShape } from '#core/wire/names.js'

/** A document that keepers sign, with whose word of it counts: that of as many of `keepers` as `threshold` says. */
const keptShape = object({
  keepers: list(signatureJwk, { min: 1, max: 16 }),
  threshold: integer({ min: 1, max: 16 }),
  document: envelopeShape,
})

/** The members of a statement of kind `sources`, beside those of every statement: docs/spec/sources.md. */
export const sourcesMembers = {
  /** of jurisdictions: which country belongs to what */
  registry: keptShape,
  /** of issuers: who may say what about operators, sites, chips and staff */
  directory: keptShape,
  /** of landmarks: who may time a node, and from where; left out: nobody, and no round trip counts */
  landmarks: optional(keptShape),
  /** the group of the registry from which control of a company is seen: who is in it is inside */
  inside: string({ max: 40, form: /^[A-Z][A-Z0-9_-]*$/ }),
  /** under which placements name platforms */
  placementSalt: string({ max: 200, form: /^[\x21-\x7e]+$/ }),
  /** how old a status list may be */
  statusSeconds: integer({ min: 60, max: statusSecondsMax }),
  /** platforms, as placements name them, of which a person looked into the contradictions that were seen before a time */
  cleared: optional(list(object({ platform: hex(32), before: timeShape }), { max: clearedMax })),
}

export const sourcesShape = object(sourcesMembers)
export type Sources = Shaped<typeof sourcesShape>

/** Credentials that a host presents with a request, each with a key binding, and the status lists that say that they hold. */
export const presentedShape = object({
  credentials: list(string({ max: sdJwtSizeMax }), { min: 1, max: credentialsPresentedMax }),
  statusLists: list(string({ max: statusListTokenMax }), { max: credentialsPresentedMax }),
  /** how long the node's landmark key took to answer, by landmarks; left out where nobody timed it */
  timed: optional(
    object({ ticket: envelopeShape, receipts: list(envelopeShape, { min: 1, max: ticketLandmarksMax }) }),
  ),
})
export type Presented = Shaped<typeof presentedShape>

/** What the key bindings of a presentation answer: all that the evidence of the same request binds, its nonce among it. */
export function presentationNonce(binding: Binding): string {
  return documentDigest(binding)
}
