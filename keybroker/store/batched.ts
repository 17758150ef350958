import { type Done, inBatches } from '#core/batches.js'
import { utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import type { Connection, Database } from '#host/database.js'
import { type DatabaseCode, databaseFailure } from '#host/database-failures.js'
import type { Store } from '#keybroker/ports.js'
import { type EntryIndex, recordEntryIndex, recordEntryIndexes } from '#keybroker/store/entries.js'
import { consumeNonces, type NewNonce, type PresentedNonce, storeNonces } from '#keybroker/store/nonces.js'

/** Items of one statement. */
const sizeMax = 256

/** The pot that a challenge is drawn from: that of strangers, or the one of a lease. */
const noncePurpose = (lease: string | null) => (lease === null ? 'v1' : `v1 ${lease}`)

/** The small durable steps of requests, those that come at the same time in one statement: a commit costs as much for one as for many. */
export function batchedSteps(database: Database): Pick<Store, 'storeNonce' | 'consumeNonce' | 'recordIndex'> {
  const together = <T, R>(work: (db: Connection, items: readonly T[]) => Promise<readonly Done<R>[]>) =>
    inBatches<T, R>((_key, items) => database.read((db) => work(db, items)), sizeMax)
  const store = together<NewNonce & { readonly at: number }, boolean>(async (db, some) => {
    const at = Math.max(...some.map((one) => one.at))
    return (await storeNonces(db, some, at)).map((value) => ({ value }))
  })
  const consume = together<PresentedNonce, void>(async (db, some) => {
    const refused = await consumeNonces(db, some)
    return refused.map((error) => (error === null ? { value: undefined } : { error }))
  })
  const index = together<EntryIndex, void>(recordIndexes)
  return {
    storeNonce: (nonce, context, { expiresAt, lease, at, most }) =>
      store('', { nonce, purpose: noncePurpose(lease), context: utf8(context), expiresAt, most, at }),
    // A renewal may answer a challenge of either pot; a release only one of the strangers'.
    consumeNonce: (nonce, context, at, lease) => {
      const purposes = [noncePurpose(null), noncePurpose(lease)] as const
      return consume('', { nonce, purposes, context: utf8(context), at })
    },
    recordIndex: (id, entryIndex) => index('', { id, entryIndex }),
  }
}

/** All in one statement; those that it does not change, or all when one of them breaks a rule of the table, each for itself. */
async function recordIndexes(db: Connection, some: readonly EntryIndex[]): Promise<readonly Done<void>[]> {
  const done = await recordTogether(db, some)
  const results: Done<void>[] = []
  for (const one of some) results.push(done.has(one) ? { value: undefined } : await alone(db, one))
  return results
}

async function recordTogether(db: Connection, some: readonly EntryIndex[]): Promise<ReadonlySet<EntryIndex>> {
  try {
    return await recordEntryIndexes(db, some)
  } catch (error) {
    const failure = databaseFailure(error)
    if (!isFailure(failure) || failure.code !== ('database/duplicate' satisfies DatabaseCode)) throw error
    return new Set()
  }
}

async function alone(db: Connection, { id, entryIndex }: EntryIndex): Promise<Done<void>> {
  try {
    return { value: await recordEntryIndex(db, id, entryIndex) }
  } catch (error) {
    const failure = databaseFailure(error)
    if (isFailure(failure)) return { error: failure }
    throw error
  }
}
