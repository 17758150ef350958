import { utf8 } from '#core/bytes/bytes.js'
import { ed25519Jwk, labelled, signatureJwk, thumbprintShape } from '#core/crypto/jwk.js'
import { envelopeShape } from '#core/dsse.js'
import {
  base64,
  base64Url,
  boolean,
  hex,
  integer,
  json,
  list,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { entrySizeMax, ticketLandmarksMax } from '#core/limits.js'
import { bindingShape } from '#core/wire/binding.js'
import { openingShape } from '#core/wire/commitment.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { keysetShape } from '#core/wire/keyset.js'
import { landmarkNameShape } from '#core/wire/landmark.js'
import { idShape, modelIdShape, timeShape } from '#core/wire/names.js'
import { runtimeConfigShape } from '#core/wire/runtime-config.js'
import { presentedShape } from '#core/wire/sources.js'

/** The version of our own API that both sides must name. */
export const apiVersion = 'claviger/v1'

/**
 * What shows that a node holds a lease: the broker told it with the lease, and nobody else. It opens nothing and decides
 * nothing; with it a renewal's challenge does not wait behind those of strangers.
 */
const renewalShape = object({ lease: idShape, token: base64Url(32) })
export type Renewal = Shaped<typeof renewalShape>

/** `POST /v1/challenges`: asks for a nonce. `renewal` is null for a first release. */
export const challengeRequestShape = object({
  version: literal(apiVersion),
  model: modelIdShape,
  renewal: nullable(renewalShape),
  /** asks for a ticket too: the landmark key of the node's keyset, the digest of that keyset, and who shall time it */
  timed: optional(
    object({
      key: ed25519Jwk,
      keyset: hex(32),
      landmarks: list(landmarkNameShape, { min: 1, max: ticketLandmarksMax }),
    }),
  ),
})
export type ChallengeRequest = Shaped<typeof challengeRequestShape>
export const challengeShape = object({
  version: literal(apiVersion),
  /** thumbprint of the broker's signing key: the audience of the evidence */
  broker: thumbprintShape,
  nonce: base64Url(32),
  expiresAt: timeShape,
  /** leave to be timed, where that was asked for: landmark.md */
  ticket: optional(envelopeShape),
})
export type Challenge = Shaped<typeof challengeShape>

/** The host's signed statement and the key that made it. */
export const hostDeclarationShape = object({ statement: envelopeShape, key: signatureJwk })
export type HostDeclaration = Shaped<typeof hostDeclarationShape>

/** `POST /v1/releases` and, with `lease`, `POST /v1/renewals`. */
export const releaseRequestShape = object({
  version: literal(apiVersion),
  /** the same in a retry: decided again, wrapped afresh, debited once */
  requestId: idShape,
  binding: bindingShape,
  evidence: evidenceShape,
  keyset: keysetShape,
  config: runtimeConfigShape,
  modelVersion: integer({ min: 1 }),
  manifestDigest: hex(32),
  host: nullable(hostDeclarationShape),
  /** the lease to renew; null for a first release */
  lease: nullable(idShape),
  /** what the node has used of the lease, as its TEE counts it (`verifyCounter`); absent in a first release alone */
  counter: optional(envelopeShape),
  /** what others signed about operator, site and staff; absent where the host presents nothing */
  presented: optional(presentedShape),
})
export type ReleaseRequest = Shaped<typeof releaseRequestShape>

/** What the node needs to rebuild the leaf from its own values. */
export const openingsShape = object({
  tenant: openingShape,
  model: openingShape,
  evidence: openingShape,
  decision: openingShape,
})
export type Openings = Shaped<typeof openingsShape>

/** The answer to a release that was allowed. A renewal wraps no key. */
export const releaseAnswerShape = object({
  version: literal(apiVersion),
  leaf: base64(undefined, entrySizeMax * 2),
  openings: openingsShape,
  /** facts and decision, as committed to in the leaf */
  decision: json,
  /** c2sp.org/tlog-proof@v1 with the cosigned checkpoint */
  proof: string({ max: 64 * 1024 }),
  lease: envelopeShape,
  beat: envelopeShape,
  ear: string({ max: 256 * 1024 }),
  /** for challenges of this lease's renewals; it stays with the node */
  renewalToken: base64Url(32),
  /** encapsulated key (32 bytes; of X-Wing 1,120), then the ciphertext; null in a renewal */
  wrapped: nullable(base64(undefined, 4096)),
})
export type ReleaseAnswer = Shaped<typeof releaseAnswerShape>

/** `POST /v1/beats`: the runtime's nonce for the next beat. */
export const beatRequestShape = object({ version: literal(apiVersion), lease: idShape, nonce: base64Url(32) })

/** One reason of a refusal, as a host may see it. */
export const reasonShape = object({
  id: string(),
  effect: oneOf('forbid', 'no-permit', 'code'),
  explain: nullable(string({ max: 2000 })),
  law: nullable(string({ max: 2000 })),
  expected: nullable(string({ max: 4000 })),
  actual: nullable(string({ max: 4000 })),
  remedy: nullable(string({ max: 2000 })),
})
export type Reason = Shaped<typeof reasonShape>

/** The members of a problem document (RFC 9457) that say why a release was denied. */
export const denialShape = object({
  reasons: list(reasonShape, { max: 64 }),
  /** index of the denial in the log */
  entry: nullable(integer()),
  simulated: boolean,
})

/** HPKE `info` of a wrapped model key: it opens only with its own log entry (TRUST 2). */
export function releaseInfo(leafHash: Uint8Array): Uint8Array {
  return labelled('claviger/release/v1', leafHash)
}

/** HPKE AAD of a wrapped model key. */
export function releaseAad(manifestDigest: string): Uint8Array {
  return utf8(manifestDigest)
}

/** HPKE `info` of a model key on its way from the owner to the broker. */
export function registerInfo(manifestDigest: string): Uint8Array {
  return labelled('claviger/register/v1', utf8(manifestDigest))
}

/** The same of a share of a model key: neither stands in for the other. */
export function registerShareInfo(manifestDigest: string): Uint8Array {
  return labelled('claviger/register-share/v1', utf8(manifestDigest))
}
