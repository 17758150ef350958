import { type Finding, finding } from '#cli/doctor/finding.js'
import { describeRow } from '#cli/kek-rotate.js'
import { equal, utf8 } from '#core/bytes/bytes.js'
import { secretBytes, wipe } from '#core/bytes/secret.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Database } from '#host/database.js'
import type { KekRing } from '#keybroker/kek/ring.js'
import type { Clock } from '#keybroker/ports.js'
import { rotateKeks } from '#keybroker/service/rotate.js'
import { listTenants } from '#keybroker/store/tenants.js'

/** The key wraps and unwraps 32 bytes of no use. */
export async function lookAtKek(kek: KekRing): Promise<readonly Finding[]> {
  const dek = secretBytes(32)
  dek.set(randomBytes(32))
  const aad = utf8('claviger keybroker doctor')
  const opened = await kek.unwrapDek(await kek.wrapDek(dek, aad), aad, kek.keyId)
  const same = equal(opened, dek)
  wipe(opened, dek)
  if (!same) return [finding('kek', 'fault', 'the key does not unwrap what it wrapped', 'look at its provider')]
  const found = [
    finding('kek', 'ok', `${kek.provider} key ${kek.keyId} wraps and unwraps`),
    finding('kek', 'note', heldBy(kek)),
  ]
  const before = kek.keyIds.filter((id) => id !== kek.keyId)
  if (before.length === 0) return found
  return [...found, finding('kek', 'note', `open for reading as well: ${before.join(', ')}`)]
}

function heldBy({ released, usableBy }: KekRing): string {
  if (released === undefined || usableBy === 'operator')
    return 'KEK HELD BY OPERATOR: who can use it can unwrap every stored key'
  return `KEK RELEASED BY BROKER ${released.broker}, ${released.model}: under a lease of its own, which was given back`
}

/** A dry run makes no entry that it would seal. */
const unused = new Uint8Array(0)

/** Every stored key unwraps by a key that is open, and by the current one. */
export async function lookAtStoredKeys(database: Database, kek: KekRing, clock: Clock): Promise<readonly Finding[]> {
  const tenants = await database.read((db) => listTenants(db))
  if (tenants.some((tenant) => tenant.class === 'production')) kek.verifyProtected()
  const { total, rewrapped, bad } = await rotateKeks({ database, kek, clock, callerSecret: unused, dryRun: true })
  if (bad.length > 0)
    return bad.map((row) => finding('stored-keys', 'fault', describeRow(row), 'restore this row from a backup'))
  if (rewrapped === 0) return [finding('stored-keys', 'ok', `all ${total} stored keys unwrap`)]
  const message = `all ${total} stored keys unwrap, ${rewrapped} of them by a key or version before`
  return [finding('stored-keys', 'warning', message, './claviger keybroker kek rotate, with the same options')]
}
