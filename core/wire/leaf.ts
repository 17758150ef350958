import { equal, fromBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { type Binding, documentDigest } from '#core/wire/binding.js'
import { commit } from '#core/wire/commitment.js'
import { encodeEntry, parseEntry, type ReleaseEntry } from '#core/wire/entries.js'
import type { AnyEvidence, Evidence } from '#core/wire/evidence.js'
import type { Lease } from '#core/wire/lease.js'
import type { Openings } from '#core/wire/release.js'

/** Failures of comparing a release's log entry with what it must be about. */
export type LeafCode = 'leaf/kind' | `leaf/${LeafField}` | 'leaf/bytes'
type LeafField =
  | 'tenant'
  | 'model'
  | 'nonce'
  | 'evidence'
  | 'decision'
  | 'version'
  | 'manifest'
  | 'keyset'
  | 'config'
  | 'trust'
  | 'policy'
  | 'ear'
  | 'lease'
  | 'platform'
  | 'route'

/** Lowercase hex of SHA-256 over the 32 bytes of a nonce in base64url. */
export function nonceDigest(nonce: string): string {
  return toHex(sha256(fromBase64Url(nonce, 32)))
}

/** Lowercase hex of SHA-256 over the text of an EAR. */
export function earDigest(ear: string): string {
  return toHex(sha256(utf8(ear)))
}

/** What a node, or a reader of its document, knows by itself about one release. */
export interface ReleaseFacts {
  readonly tenant: string
  readonly binding: Binding
  readonly evidence: Evidence
  readonly lease: Lease
  readonly ear: string
  readonly decision: unknown
  readonly openings: Openings
}

function expectedFields(facts: ReleaseFacts): Readonly<Record<string, readonly [LeafField, unknown]>> {
  const { binding, lease, openings } = facts
  return {
    tenant: ['tenant', commit('tenant', facts.tenant, openings.tenant)],
    model: ['model', commit('model', binding.model, openings.model)],
    nonce_digest: ['nonce', nonceDigest(binding.nonce)],
    evidence: ['evidence', commit('evidence', facts.evidence, openings.evidence)],
    decision: ['decision', commit('decision', facts.decision, openings.decision)],
    version: ['version', lease.version],
    manifest_digest: ['manifest', lease.manifestDigest],
    keyset_digest: ['keyset', binding.keyset_digest],
    config_digest: ['config', binding.config_digest],
    trust_digest: ['trust', binding.trust_digest],
    policy_digest: ['policy', lease.policy.digest],
    ear_digest: ['ear', earDigest(facts.ear)],
    lease_id: ['lease', lease.id],
    lease_expires_at: ['lease', lease.expiresAt],
    platform: ['platform', lease.platform],
    route: ['route', 'v1'],
    kind: ['route', binding.purpose === 'claviger.renew.v1' ? 'renewal' : 'release'],
  }
}

/**
 * The entry in `leaf`, which is the entry of this very release: rebuilt from what the caller knows by itself, with
 * only the broker's own notes (time, state index, digest of its reference values) taken from it (I3, TRUST 2).
 *
 * throws  leaf/kind, leaf/<field> for the first field that differs, leaf/bytes, entry/..., json/..., shape/...
 */
export function verifyReleaseLeaf(leaf: Uint8Array, facts: ReleaseFacts): ReleaseEntry {
  const entry = parseEntry(leaf)
  if (entry.kind !== 'release' && entry.kind !== 'renewal')
    throw new Failure<LeafCode>('leaf/kind', `entry is a ${entry.kind}`)
  const expected = expectedFields(facts)
  for (const [name, [field, value]] of Object.entries(expected)) {
    if ((entry as unknown as Record<string, unknown>)[name] !== value) {
      throw new Failure<LeafCode>(`leaf/${field}`, `log entry has another ${name} than this release`)
    }
  }
  const own = Object.fromEntries(Object.entries(expected).map(([name, [, value]]) => [name, value]))
  if (!equal(encodeEntry({ ...entry, ...own } as ReleaseEntry), leaf)) {
    throw new Failure<LeafCode>('leaf/bytes', 'log entry is not spelled as its fields are')
  }
  return entry
}

/** The digest of an evidence document, for the EAR. */
export function evidenceDigest(evidence: AnyEvidence): string {
  return documentDigest(evidence)
}
