import { Failure } from '#core/failure.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { StoredModelKey } from '#keybroker/stored.js'

/** The stored key is kept under a key-encryption key that its owner names, if the owner names any. @throws broker/kek */
export function verifyKek(kek: Signed<Statement<'kek'>> | null, { keyId }: Pick<StoredModelKey, 'keyId'>): void {
  if (kek === null || kek.value.keys.includes(keyId)) return
  const message = 'the stored key is wrapped under a key-encryption key that its owner does not name'
  throw new Failure<BrokerCode>('broker/kek', message, { detail: { hint: 'rotate to one that the owner names' } })
}
