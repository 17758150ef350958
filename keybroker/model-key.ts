import { canonicalJson } from '#core/encoding/json.js'

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
}

/** The associated data of a model key that a key-encryption key wraps: the canonical JSON of its context. */
export function modelKeyAad(context: ModelKeyContext): Uint8Array {
  return canonicalJson({
    purpose: 'claviger model key v1',
    tenant: context.tenant,
    tenant_class: context.tenantClass,
    model: context.model,
    version: context.version,
    manifest_digest: context.manifestDigest,
    owner_keys_digest: context.ownerKeysDigest,
    trust_digest: context.trustDigest,
  })
}
