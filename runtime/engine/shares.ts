import { wipe } from '#core/bytes/secret.js'
import { combineShares, type Share } from '#core/crypto/shamir.js'
import { Failure, isFailure } from '#core/failure.js'
import type { SealedManifest } from '#core/sealed/manifest.js'
import { type Quorum, verifyShare } from '#core/sealed/quorum.js'
import type { WrappedKey } from '#runtime/engine/messages.js'

/** Failures of opening the wrapped key. */
export type KeyCode =
  | 'engine/key'
  | 'engine/state'
  /** too few shares are those that the owner committed to; the brokers of the others are named */
  | 'engine/share'

/** A model's key, and the indices of shares that were not the owner's. */
export interface OpenedKey {
  /** for the caller to wipe */
  readonly dek: Uint8Array
  readonly wrongShares: readonly number[]
}

/**
 * The key out of its shares, here, in the model's own process, and nowhere else (SETTLED 3). Each share is compared with what
 * the owner committed to before any are put together: a wrong one is told with its broker, and the key is had without it while
 * enough are right. Shares are wiped, whatever happens.
 *
 * manifest  as the parent verified it
 * open      one record out of its seal, for this function to wipe
 * throws    engine/share, engine/key
 */
export async function openShares(
  { model }: Pick<SealedManifest, 'model'>,
  quorum: Quorum,
  keys: readonly WrappedKey[],
  open: (key: WrappedKey) => Promise<Uint8Array>,
): Promise<OpenedKey> {
  if (new Set(keys.map(({ index }) => index)).size !== keys.length)
    throw new Failure<KeyCode>('engine/key', 'one share came twice')
  const records: Uint8Array[] = []
  const right: Share[] = []
  const wrong: { readonly index: number; readonly why: string }[] = []
  try {
    for (const key of keys) {
      try {
        const record = await open(key)
        records.push(record)
        right.push(verifyShare(quorum, { model, index: key.index }, record))
      } catch (error) {
        if (!isFailure(error)) throw error
        const holder = quorum.shares[key.index - 1]
        wrong.push({ index: key.index, why: `${holder?.name} (${holder?.broker}): ${error.message}` })
      }
    }
    if (right.length < quorum.threshold) {
      const why = wrong.map((one) => one.why).join('; ') || 'no others came'
      const message = `${right.length} right shares, ${quorum.threshold} are needed; wrong: ${why}`
      throw new Failure<KeyCode>('engine/share', message)
    }
    const dek = combineShares(right.slice(0, quorum.threshold))
    return { dek, wrongShares: wrong.map(({ index }) => index) }
  } finally {
    wipe(...records)
  }
}
