import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import type { UnixSeconds } from '#core/time.js'
import { type Registry, readRegistry, verifyRows } from '#policies/registry/document.js'
import { type Keepers, type VerifiedKept, verifyKept } from '#policies/registry/keepers.js'

export const registryPayloadType = 'application/vnd.claviger.jurisdiction-registry+json'

/** A registry as its keepers give it out, signed by each key. @throws registry/row */
export async function signRegistry(registry: Registry, keys: readonly SigningKey[]): Promise<Envelope> {
  verifyRows(registry)
  return signEnvelope(registryPayloadType, canonicalJson(registry), keys)
}

/** A registry as `verifyKept` has it. @throws registry/row, what verifyKept throws */
export function verifyRegistry(
  envelope: Envelope,
  keepers: Keepers,
  at: UnixSeconds | null,
): Promise<VerifiedKept<Registry>> {
  return verifyKept(envelope, { payloadType: registryPayloadType, what: 'registry', read: readRegistry }, keepers, at)
}
