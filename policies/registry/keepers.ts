import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { SignatureJwk } from '#core/crypto/jwk.js'
import { type Envelope, verifyEnvelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'

/** Failures of a document that keepers sign, version after version. */
export type KeeperCode =
  /** signed by fewer of the trusted keys than are asked for */
  | 'registry/threshold'
  | 'registry/not-yet-valid'
  | 'registry/expired'
  /** older than one that was seen, or another document of the same version */
  | 'registry/rollback'

/** Who is believed, and how many of them have to agree. */
export interface Keepers {
  readonly keys: readonly SignatureJwk[]
  readonly threshold: number
}

/** Keepers that a trust file names: one key alone could move a country, so that where it names several, two have to agree. */
export function keepersOf(named: readonly { readonly key: SignatureJwk }[]): Keepers {
  return { keys: named.map(({ key }) => key), threshold: Math.min(2, Math.max(1, named.length)) }
}

/** What every document that keepers sign says of itself. */
export interface KeptHeader {
  readonly name: string
  readonly version: number
  readonly issuedAt: UnixSeconds
  readonly validUntil: UnixSeconds
  readonly previousDigest: string | null
}

export interface VerifiedKept<D extends KeptHeader> {
  readonly document: D
  /** SHA-256 of the bytes that were signed, lowercase hex: names this version in decisions */
  readonly digest: string
  /** thumbprints of the trusted keys that signed */
  readonly signers: readonly string[]
}

/**
 * A document that as many of the trusted keys signed as are asked for, in its time.
 *
 * at      null: whatever its time, for who asks what was seen before
 * throws  registry/threshold, registry/not-yet-valid, registry/expired, dsse/..., crypto/signature, what `read` throws
 */
export async function verifyKept<D extends KeptHeader>(
  envelope: Envelope,
  kind: { readonly payloadType: string; readonly what: string; readonly read: (payload: Uint8Array) => D },
  { keys, threshold }: Keepers,
  at: UnixSeconds | null,
): Promise<VerifiedKept<D>> {
  const { payload, signers } = await verifyEnvelope(envelope, kind.payloadType, keys, kind.what)
  // A threshold of none would believe anybody.
  if (threshold < 1 || signers.length < threshold)
    throw new Failure<KeeperCode>(
      'registry/threshold',
      `${signers.length} of the trusted keys signed the ${kind.what}, ${Math.max(1, threshold)} are needed`,
    )
  const document = kind.read(payload)
  if (at !== null && document.issuedAt > at + clockSkewSeconds)
    throw new Failure<KeeperCode>('registry/not-yet-valid', `${kind.what} is from ${formatTime(document.issuedAt)}`)
  if (at !== null && at >= document.validUntil)
    throw new Failure<KeeperCode>('registry/expired', `${kind.what} was valid until ${formatTime(document.validUntil)}`)
  return { document, digest: toHex(sha256(payload)), signers }
}

/**
 * That a document may follow one that was seen: of the same line, newer, and made from it where it is the next.
 *
 * before  null when none was seen
 * throws  registry/rollback
 */
export function verifyFollows(next: VerifiedKept<KeptHeader>, before: VerifiedKept<KeptHeader> | null): void {
  if (before === null || next.digest === before.digest) return
  const refuse = (message: string) => new Failure<KeeperCode>('registry/rollback', message)
  const [a, b] = [before.document, next.document]
  if (a.name !== b.name) throw refuse(`document is of the line ${b.name}, expected ${a.name}`)
  if (b.version <= a.version) throw refuse(`document has version ${b.version}, version ${a.version} was seen`)
  if (b.version === a.version + 1 && b.previousDigest !== before.digest)
    throw refuse(`document does not follow the version ${a.version} that was seen`)
}
