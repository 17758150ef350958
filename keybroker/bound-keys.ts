import { equal } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { ownerKeysDigest, type Signed, type Statement } from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { modelKeyAad } from '#keybroker/model-key.js'
import type { StoreTransaction } from '#keybroker/ports.js'
import type { StoredModelKey } from '#keybroker/stored.js'

/** Stored keys, bound to a trust statement that is not stored yet. */
export type BoundKeys = readonly { readonly before: StoredModelKey; readonly after: StoredModelKey }[]

// Each round begins with the rows of now: an owner who keeps registering while the trust statement changes waits.
const roundsMax = 5

/**
 * Every key of the tenant wrapped for the trust statement of this digest. The provider of the key-encryption key may be slow or far
 * away: it is asked here, and not while a transaction holds the tenant.
 *
 * throws  kek/..., database/...
 */
async function bindKeys(broker: Broker, made: Signed<Statement<'tenant'>>, trustDigest: string): Promise<BoundKeys> {
  const { tenant, class: tenantClass, keys } = made.value
  const bound: { before: StoredModelKey; after: StoredModelKey }[] = []
  for (const before of await broker.store.read((reader) => reader.listModelKeys(tenant))) {
    if (before.trustDigest === trustDigest) continue
    const { model, version, manifestDigest, share } = before
    const of = { tenant, tenantClass, model, version, manifestDigest, share, ownerKeysDigest: ownerKeysDigest(keys) }
    const aad = modelKeyAad({ ...of, trustDigest: before.trustDigest })
    const dek = await broker.kek.unwrapDek(before.wrapped, aad, before.keyId)
    try {
      const wrapped = await broker.kek.wrapDek(dek, modelKeyAad({ ...of, trustDigest }))
      bound.push({ before, after: { ...before, wrapped, trustDigest, keyId: broker.kek.keyId } })
    } finally {
      wipe(dek)
    }
  }
  return bound
}

/**
 * Runs `work` with the tenant's keys bound to a new trust statement, and again when they changed before it stored them.
 *
 * trustDigest  null when no trust statement is among the changes: then nothing is bound
 * throws       broker/changing when they kept changing, kek/..., what `work` throws
 */
export async function withBoundKeys<T>(
  broker: Broker,
  made: Signed<Statement<'tenant'>>,
  trustDigest: string | null,
  work: (bound: BoundKeys) => Promise<T>,
): Promise<T> {
  for (let round = 1; ; round++) {
    const bound = trustDigest === null ? [] : await bindKeys(broker, made, trustDigest)
    try {
      return await work(bound)
    } catch (error) {
      const mayHelp = isFailure(error) && error.code === ('broker/changing' satisfies BrokerCode)
      if (!mayHelp || round >= roundsMax) throw error
    }
  }
}

/**
 * The stored keys are bound to the new trust statement, and no longer to the one before.
 *
 * throws  broker/changing when a key is not the one that was bound
 */
export async function storeBoundKeys(
  tx: StoreTransaction,
  tenant: string,
  trustDigest: string,
  bound: BoundKeys,
  at: UnixSeconds,
): Promise<void> {
  for (const row of await tx.listModelKeys(tenant)) {
    if (row.trustDigest === trustDigest) continue
    const found = bound.find(({ before }) => before.model === row.model && before.version === row.version)
    if (found === undefined || !equal(found.before.wrapped, row.wrapped))
      throw new Failure<BrokerCode>('broker/changing', "the tenant's keys kept changing; send it again")
    await tx.storeModelKey(found.after, at)
  }
}
