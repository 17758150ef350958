import { fromBase64Url, toBase64Url } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import type { VerifiedManifest } from '#core/sealed/manifest.js'
import {
  grantableLimit,
  isSameQuorum,
  type Quorum,
  shareIndexOf,
  shareRecordSize,
  verifyShare,
} from '#core/sealed/quorum.js'
import type { Statement } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { type StoredShare, shareContextOf } from '#keybroker/model-key.js'
import type { StoredModelKey } from '#keybroker/stored.js'

/** Where the share stands in a record, after the opening of its commitment. */
const shareStart = shareRecordSize - 32

function contradiction(message: string, hint?: string): Failure<BrokerCode> {
  return new Failure<BrokerCode>('broker/registration', message, hint === undefined ? {} : { detail: { hint } })
}

/**
 * Returns only when the registration names the manifest's own quorum, with this broker in it, and what one broker may grant
 * of the owner's limits is something.
 *
 * Invariant: a share never leaves by a route that proves nothing and ends with no lease: whoever had t of them there would
 * have the key for good.
 * throws  broker/registration, sealed/quorum
 */
export function verifyQuorumHere(
  manifest: VerifiedManifest,
  registration: Statement<'registration'>,
  broker: string,
): void {
  if (!isSameQuorum(manifest.quorum, registration.quorum))
    throw contradiction('the registration names another quorum of brokers than the manifest')
  if (manifest.quorum !== undefined) shareIndexOf(manifest.quorum, broker)
  verifyGrantable(registration)
}

/** @throws broker/registration */
export function verifyGrantable({ quorum, lease, delivery, allowance }: Statement<'registration'>): void {
  if (quorum === undefined) return
  if (delivery.some((route) => route !== 'v1'))
    throw contradiction('a share of a split key leaves by /v1 alone', 'leave out --delivery')
  const { nodes, budget } = lease
  for (const [name, limit] of Object.entries({ nodes, ...budget, inferences: allowance?.inferences ?? nodes })) {
    if (grantableLimit(limit, quorum) > 0) continue
    const least = Math.ceil(quorum.shares.length / quorum.threshold)
    throw contradiction(
      `${limit} ${name} cannot be shared out: each broker may grant ${quorum.threshold} of ${quorum.shares.length} parts of it`,
      `allow ${least} at least`,
    )
  }
}

/**
 * This broker's share out of its record, with what is kept beside it. The record is wiped.
 *
 * throws  sealed/share, sealed/quorum
 */
export function openRecord(
  { model }: VerifiedManifest,
  quorum: Quorum,
  broker: string,
  record: Uint8Array,
): { readonly dek: Uint8Array; readonly share: StoredShare } {
  const context = shareContextOf(quorum, broker)!
  const { value } = verifyShare(quorum, { model, index: context.index }, record)
  const dek = secretBytes(value.length)
  dek.set(value)
  const opening = toBase64Url(record.subarray(0, shareStart))
  wipe(record)
  return { dek, share: { ...context, opening } }
}

/**
 * The record that a node gets: the unwrapped share, which is wiped, behind the stored opening. It is the one that the owner
 * committed to, whatever stands in the row.
 *
 * returns  64 bytes, for the caller to wipe
 * throws   broker/key
 */
export function recordOf(
  { model: id, version, quorum }: Statement<'registration'>,
  broker: Pick<Broker, 'signer'>,
  stored: StoredModelKey,
  share: Uint8Array,
): Uint8Array {
  const record = secretBytes(shareRecordSize)
  try {
    if (stored.share === null || quorum === undefined)
      throw new Failure<BrokerCode>('broker/key', 'the stored key is no share')
    record.set(fromBase64Url(stored.share.opening, shareStart))
    record.set(share, shareStart)
    verifyShare(quorum, { model: { id, version }, index: shareIndexOf(quorum, broker.signer.id) }, record)
    return record
  } catch (cause) {
    wipe(record)
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/key', 'the stored share is not the one that the owner committed to', {
      cause,
    })
  } finally {
    wipe(share)
  }
}
