import { and, eq, isNull } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import type { Connection, Database } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import { type EntryWriter, verifyPending } from '#keybroker/entries.js'
import { changeOf, encodePolicies, type KbsClass, noPolicies, parsePolicies } from '#keybroker/kbs/policies.js'
import type { PolicyStore } from '#keybroker/kbs/ports.js'
import { writeOperatorPolicy } from '#keybroker/kbs-policy-entry.js'
import { type LogWriter, publish } from '#keybroker/outbox.js'
import { appendEntry } from '#keybroker/store/entries.js'
import { openSealed, sealResource } from '#keybroker/store/kbs-store.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { entries, resources } from '#keybroker/store/schema.js'

const roundsMax = 8

/** What policies are sealed and logged with. */
export type PolicyKeeper = Pick<Broker, 'kek' | 'clock'> & EntryWriter & LogWriter

/**
 * Policies of the operator's own, sealed as its resources are: whoever writes the database cannot write a policy, nor take
 * one of several away. They stand at a path that no route reaches, since it begins with a dot, and the class of the
 * service is part of that path and so of what the row is bound to.
 *
 * Invariant: a policy and the entry that makes it public are stored in one step, and nothing is decided by it before the log has that entry.
 * throws  kek/unwrap, kek/key-id, crypto/aead-tag when the row was altered or comes from another class; store/policies-changing, broker/record, log/...
 */
export function kbsPolicies(database: Database, keeper: PolicyKeeper, kbsClass: KbsClass): PolicyStore {
  const { kek, clock } = keeper
  const path = `.policies/${kbsClass}`
  const rowNow = async () => {
    const rows = await database.read((db) => db.select().from(resources).where(eq(resources.path, path)))
    return rows[0] ?? null
  }
  type Row = Awaited<ReturnType<typeof rowNow>>
  type Sealed = Awaited<ReturnType<typeof sealResource>>
  const read = async (row: Row) => (row === null ? noPolicies : parsePolicies(await openSealed(kek, path, row)))
  const replace = (tx: Connection, before: Row, sealed: Sealed) =>
    before === null
      ? tx
          .insert(resources)
          .values({ path, ...sealed })
          .onConflictDoNothing()
          .returning({ path: resources.path })
      : tx
          .update(resources)
          .set(sealed)
          .where(and(eq(resources.path, path), eq(resources.sealed, before.sealed)))
          .returning({ path: resources.path })

  /** Those whose process died, or lost the log, before the log had them. */
  async function publishWaiting(): Promise<void> {
    const waiting = and(eq(entries.kind, 'kbs-policy'), isNull(entries.entryIndex))
    const found = await database.read((db) => db.select().from(entries).where(waiting).orderBy(entries.position))
    for (const entry of found) {
      verifyPending(entry, keeper.callerSecret)
      await publish(keeper, entry)
    }
  }

  return {
    async load() {
      const row = await rowNow() // first: an entry that was stored with it is seen below
      await publishWaiting()
      return read(row)
    },
    async change(change) {
      for (let round = 1; round <= roundsMax; round++) {
        const row = await rowNow()
        const before = await read(row)
        const after = change(before)
        const changed = changeOf(before, after)
        if (changed === null) return publishWaiting()
        const at = clock()
        const sealed = await sealResource(kek, path, encodePolicies(after), at)
        const entry = writeOperatorPolicy(changed, kbsClass, at, keeper)
        const isDone = await database.transaction(async (tx) => {
          if ((await replace(tx, row, sealed)).length === 0) return false
          await appendEntry(tx, entry)
          return true
        })
        if (isDone) return publishWaiting()
      }
      throw new Failure<StoreCode>('store/policies-changing', 'the policies kept changing; send it again')
    },
  }
}
