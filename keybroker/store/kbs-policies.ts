import { and, eq } from 'drizzle-orm'
import { Failure } from '#core/failure.js'
import type { Database } from '#host/database.js'
import { encodePolicies, type KbsClass, noPolicies, parsePolicies } from '#keybroker/kbs/policies.js'
import type { PolicyStore } from '#keybroker/kbs/ports.js'
import type { Clock, Kek } from '#keybroker/ports.js'
import { openSealed, sealResource } from '#keybroker/store/kbs-store.js'
import type { StoreCode } from '#keybroker/store/open.js'
import { resources } from '#keybroker/store/schema.js'

const roundsMax = 8

/**
 * Policies of the operator's own, sealed as its resources are: whoever writes the database cannot write a policy, nor take
 * one of several away. They stand at a path that no route reaches, since it begins with a dot, and the class of the
 * service is part of that path and so of what the row is bound to.
 *
 * throws  kek/unwrap, kek/key-id, crypto/aead-tag when the row was altered or comes from another class; store/policies-changing
 */
export function kbsPolicies(database: Database, kek: Kek, clock: Clock, kbsClass: KbsClass): PolicyStore {
  const path = `.policies/${kbsClass}`
  const rowNow = async () => {
    const rows = await database.read((db) => db.select().from(resources).where(eq(resources.path, path)))
    return rows[0] ?? null
  }
  const read = async (row: Awaited<ReturnType<typeof rowNow>>) =>
    row === null ? noPolicies : parsePolicies(await openSealed(kek, path, row))
  return {
    load: async () => read(await rowNow()),
    async change(change) {
      for (let round = 1; round <= roundsMax; round++) {
        const before = await rowNow()
        const sealed = await sealResource(kek, path, encodePolicies(change(await read(before))), clock())
        const done = await database.read((db) =>
          before === null
            ? db
                .insert(resources)
                .values({ path, ...sealed })
                .onConflictDoNothing()
                .returning({ path: resources.path })
            : db
                .update(resources)
                .set(sealed)
                .where(and(eq(resources.path, path), eq(resources.sealed, before.sealed)))
                .returning({ path: resources.path }),
        )
        if (done.length > 0) return
      }
      throw new Failure<StoreCode>('store/policies-changing', 'the policies kept changing; send it again')
    },
  }
}
