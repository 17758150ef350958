import { thumbprintShape } from '#core/crypto/jwk.js'
import { sharesMax } from '#core/crypto/shamir.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { base64Url, hex, integer, list, object, type Shaped } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { type Quorum, shareIndexOf } from '#core/sealed/quorum.js'
import { documentDigest } from '#core/wire/binding.js'

/**
 * What a wrapped model key is bound to: it unwraps for exactly these values. Digests in lowercase hex.
 * A row that is swapped, a class that is flipped, an owner who is replaced: none of them unwraps.
 */
export interface ModelKeyContext {
  readonly tenant: string
  readonly tenantClass: 'production' | 'development'
  readonly model: string
  readonly version: number
  readonly manifestDigest: string
  /** of the owner's root keys */
  readonly ownerKeysDigest: string
  /** of the trust statement: brokers, logs and witnesses that the owner believes (TRUST 2) */
  readonly trustDigest: string
  /** what is wrapped is one share of a split key; null for a whole key */
  readonly share: ShareContext | null
}

/** Whose share of a split key it is. */
export interface ShareContext {
  readonly index: number
  readonly threshold: number
  /** thumbprints of the brokers, the one with share 1 first */
  readonly brokers: readonly string[]
  /** of the quorum as the owner signed it, commitments and all */
  readonly quorumDigest: string
}

/** What this broker's share is bound to; null where the key is not split. @throws sealed/quorum when it has none */
export function shareContextOf(quorum: Quorum | undefined, broker: string): ShareContext | null {
  if (quorum === undefined) return null
  const brokers = quorum.shares.map((one) => one.broker)
  const { threshold } = quorum
  return { index: shareIndexOf(quorum, broker), threshold, brokers, quorumDigest: documentDigest(quorum) }
}

/** The associated data of a model key that a key-encryption key wraps: the canonical JSON of its context. */
export function modelKeyAad(context: ModelKeyContext): Uint8Array {
  const { share } = context
  return canonicalJson({
    purpose: share === null ? 'claviger model key v1' : 'claviger model key share v1',
    tenant: context.tenant,
    tenant_class: context.tenantClass,
    model: context.model,
    version: context.version,
    manifest_digest: context.manifestDigest,
    owner_keys_digest: context.ownerKeysDigest,
    trust_digest: context.trustDigest,
    ...(share === null
      ? {}
      : {
          share_index: share.index,
          threshold: share.threshold,
          brokers: share.brokers,
          quorum_digest: share.quorumDigest,
        }),
  })
}

/** A share's row beside its ciphertext: what it is bound to, and the opening of its commitment, base64url. */
const storedShareShape = object({
  index: integer({ min: 1, max: sharesMax }),
  threshold: integer({ min: 2, max: sharesMax }),
  brokers: list(thumbprintShape, { min: 2, max: sharesMax }),
  quorumDigest: hex(32),
  opening: base64Url(32),
})
export type StoredShare = Shaped<typeof storedShareShape>

export function encodeShare(share: StoredShare | null): Uint8Array | null {
  return share === null ? null : canonicalJson(share)
}

/**
 * What a row says of its share; null for a whole key, and for a row that cannot be read. Nothing of it is believed: a key whose
 * row was changed does not unwrap, and its opening is compared with the owner's commitment.
 */
export function readShare(bytes: Uint8Array | null): StoredShare | null {
  if (bytes === null) return null
  try {
    return storedShareShape(parseCanonicalJson(bytes), 'share')
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}
