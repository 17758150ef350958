import { Failure } from '#core/failure.js'
import type { Database } from '#host/database.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import type { KekRing } from '#keybroker/kek/ring.js'
import { listKeyIds } from '#keybroker/store/wrapped.js'

/**
 * Returns only when no stored key waits for a key-encryption key that nobody opened: better known at a start than at the
 * first release.
 *
 * throws  kek/key-id, database/...
 */
export async function verifyKeksOpen(database: Database, kek: Pick<KekRing, 'keyIds'>): Promise<void> {
  const wanting = (await listKeyIds(database)).filter((id) => !kek.keyIds.includes(id))
  if (wanting.length === 0) return
  const hint = 'name the key that wrapped them: as --kek, or as --kek-previous and then rotate to the one in --kek'
  const message = `stored keys are wrapped under ${wanting.slice(0, 8).join(', ')}; open is ${kek.keyIds.join(', ')}`
  throw new Failure<KekCode>('kek/key-id', message, { detail: { hint } })
}
