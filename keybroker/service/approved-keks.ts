import { Failure } from '#core/failure.js'
import type { Database } from '#host/database.js'
import type { KekCode } from '#keybroker/kek/kek.js'
import { readTenant } from '#keybroker/standing.js'
import { brokerStore } from '#keybroker/store/broker-store.js'
import { listTenants } from '#keybroker/store/tenants.js'
import { verifyOne } from '#policies/release/statements.js'

/**
 * Every owner that says under which key-encryption keys its model keys may be kept names this one. A broker looks again
 * whenever it opens a key: what is wrapped under another one is not released.
 *
 * throws  kek/not-approved, with the owners that do not; broker/record, judge/statement-false
 */
export async function verifyKekApproved(database: Database, keyId: string): Promise<void> {
  const without: string[] = []
  for (const { id } of await database.read(listTenants)) {
    const kek = await brokerStore(database).read(async (reader) => {
      const { made } = await readTenant(reader, id)
      const row = (await reader.loadStatements(id, '')).find((one) => one.kind === 'kek')
      return row === undefined ? null : verifyOne('kek', row.envelope, made, null)
    })
    if (kek !== null && !kek.value.keys.includes(keyId)) without.push(id)
  }
  if (without.length === 0) return
  const named = without.slice(0, 5).join(', ')
  throw new Failure<KekCode>('kek/not-approved', `${without.length} owners do not name the key ${keyId}: ${named}`, {
    detail: { hint: `have each of them sign it: ./claviger approve kek ${keyId}` },
  })
}
