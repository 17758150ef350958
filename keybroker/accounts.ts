import type { Broker } from '#keybroker/broker.js'
import { verifyTerms } from '#keybroker/lease.js'
import type { StoreReader, StoreTransaction } from '#keybroker/ports.js'
import type { StoredLease } from '#keybroker/stored.js'
import {
  type Account,
  type AccountOf,
  accountId,
  encodeAccount,
  type KnownLease,
  newAccount,
  verifyAccount,
} from '#keybroker/usage.js'

/** An account is opened with the leases that there are: an owner begins to count long before there are so many. */
const leasesMax = 200_000

/**
 * The account of a version: as it stands, or opened with the leases that were granted before its owner counted.
 *
 * since   of `HeadMemory.now`, from before the reader's snapshot was taken
 * throws  broker/record
 */
export async function readAccount(
  reader: StoreReader,
  broker: Pick<Broker, 'heads' | 'callerSecret'>,
  of: AccountOf,
  since: number,
): Promise<Account> {
  return accountFrom(await reader.loadAccount(accountId(of)), reader, broker, of, since)
}

/** The same of what was loaded. @throws broker/record */
export async function accountFrom(
  { state, entry }: Awaited<ReturnType<StoreReader['loadAccount']>>,
  reader: StoreReader,
  broker: Pick<Broker, 'heads' | 'callerSecret'>,
  of: AccountOf,
  since: number,
): Promise<Account> {
  const id = accountId(of)
  // Invariant: what has entries has an account; without one they would be forgotten, and the allowance whole again.
  if (state !== null || entry !== null) {
    const account = verifyAccount(state ?? new Uint8Array(0), of, entry, broker.callerSecret)
    broker.heads.observeAccount(id, account.sequence, since)
    return account
  }
  broker.heads.observeAccount(id, 0, since)
  const rows = await reader.listLeases(of.tenant, of, leasesMax)
  return newAccount(
    of,
    rows.map((row) => knownLease(row, broker.callerSecret)),
  )
}

function knownLease(row: StoredLease, secret: Uint8Array): KnownLease {
  return { lease: row.id, usage: verifyTerms(row, secret).usage, expiresAt: row.expiresAt }
}

/** The account stands so from now on, together with the entry that was made with it. */
export async function storeAccount(
  tx: StoreTransaction,
  account: Account,
  entry: string | null,
  secret: Uint8Array,
): Promise<void> {
  await tx.storeAccount(accountId(account), encodeAccount({ ...account, entry }, secret))
}
