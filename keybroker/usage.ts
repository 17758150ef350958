import { equal, fromHex, toHex } from '#core/bytes/bytes.js'
import { hmacSha256 } from '#core/crypto/hash.js'
import { labelled, thumbprintShape } from '#core/crypto/jwk.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { hex, integer, list, literal, nullable, object, type Shaped } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import { idShape, modelIdShape, timeShape } from '#core/wire/names.js'
import type { BrokerCode } from '#keybroker/failures.js'

/**
 * What one lease has of inferences. Numbers count from its grant on and only grow: a node that renews goes on counting, and so
 * a renewal whose answer was lost takes nothing from the owner and gives nothing to a host.
 *
 * debited   taken from the allowance: the most that the node may ever have used
 * used      by the last count that its TEE signed
 * returned  what came back with its last word; null while it has not spoken it, and silence counts as used
 */
export const leaseUsageShape = object({ debited: integer(), used: integer(), returned: nullable(integer()) })
export type LeaseUsage = Shaped<typeof leaseUsageShape>

/** A last word that comes later than this after the end of its lease finds it closed: all of it counts as used. */
const finalSecondsMax = 3600

const openShape = object({ lease: idShape, debited: integer(), expiresAt: timeShape })
const accountShape = object({
  type: literal('claviger/account/v1'),
  tenant: thumbprintShape,
  model: modelIdShape,
  version: integer({ min: 1 }),
  /** how many entries for the log were made with it, and the id of the last; null before the first */
  sequence: integer(),
  entry: nullable(idShape),
  /** of leases that are closed: what they were debited less what came back */
  spent: integer(),
  /** leases that run, or whose last word may still come */
  open: list(openShape, { max: 200_000 }),
})
/** Where the allowance of one version of a model stands. */
export type Account = Shaped<typeof accountShape>
export type AccountOf = Pick<Account, 'tenant' | 'model' | 'version'>

/** The name under which the entries of an account are counted. */
export function accountId({ tenant, model, version }: AccountOf): string {
  return documentDigest({ tenant, model, version })
}

const sealedShape = object({ account: accountShape, seal: hex(32) })

function sealOf(account: Account, secret: Uint8Array): string {
  return toHex(hmacSha256(secret, labelled('claviger/account/v1', canonicalJson(account))))
}

/** secret: the broker's, 32 bytes (`callerSecret`) */
export function encodeAccount(account: Account, secret: Uint8Array): Uint8Array {
  return canonicalJson({ account, seal: sealOf(account, secret) })
}

/**
 * The stored account as a broker of this secret wrote it last, of this very version.
 *
 * Invariant: an account that was changed, or taken back to an earlier day without the entries made since, is none (I18).
 * entry   id of the last entry for the log that was made with it, as the store has it
 * throws  broker/record
 */
export function verifyAccount(state: Uint8Array, of: AccountOf, entry: string | null, secret: Uint8Array): Account {
  const { account, seal } = readAccount(state)
  if (!equal(fromHex(seal, 32), fromHex(sealOf(account, secret), 32)) || accountId(account) !== accountId(of))
    throw new Failure<BrokerCode>('broker/record', 'a stored account of inferences is not the one that was written')
  if (account.entry !== entry)
    throw new Failure<BrokerCode>('broker/record', 'an account of inferences is older than the entries made with it')
  return account
}

function readAccount(state: Uint8Array) {
  try {
    return sealedShape(parseCanonicalJson(state), 'account')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<BrokerCode>('broker/record', 'a stored account of inferences cannot be read', { cause })
  }
}

/** A lease as an account is opened with it. */
export interface KnownLease {
  readonly lease: string
  readonly usage: LeaseUsage
  readonly expiresAt: UnixSeconds
}

/** The account of a version whose owner did not count before: what its leases were granted so far is debited. */
export function newAccount(of: AccountOf, leases: readonly KnownLease[]): Account {
  const silent = leases.filter((one) => one.usage.returned === null)
  const closed = leases.filter((one) => one.usage.returned !== null)
  return {
    type: 'claviger/account/v1',
    ...of,
    sequence: 0,
    entry: null,
    spent: closed.reduce((sum, { usage }) => sum + usage.debited - (usage.returned ?? 0), 0),
    open: silent.map(({ lease, usage, expiresAt }) => ({ lease, debited: usage.debited, expiresAt })),
  }
}

/** What leases took from the allowance so far. */
export function debitedOf({ spent, open }: Account): number {
  return open.reduce((sum, one) => sum + one.debited, spent)
}

/** The lease is debited so much in all; leases from which no word can come any more are closed. */
export function withDebit(
  account: Account,
  lease: { readonly id: string; readonly debited: number; readonly expiresAt: UnixSeconds },
  at: UnixSeconds,
): Account {
  const { id, debited, expiresAt } = lease
  const others = account.open.filter((one) => one.lease !== id)
  const isLate = (one: { readonly expiresAt: UnixSeconds }) => one.expiresAt + finalSecondsMax <= at
  const late = others.filter(isLate)
  return {
    ...account,
    sequence: account.sequence + 1,
    spent: late.reduce((sum, one) => sum + one.debited, account.spent),
    open: [...others.filter((one) => !isLate(one)), { lease: id, debited, expiresAt }],
  }
}

/** What never left is taken back: the lease is debited what it was before; null takes it out. */
export function withoutDebit(account: Account, lease: string, before: number | null): Account {
  const open = account.open.flatMap((one) => {
    if (one.lease !== lease) return [one]
    return before === null ? [] : [{ ...one, debited: before }]
  })
  return { ...account, open }
}

/** The lease is over and used so much: the rest is the owner's again. @throws broker/lease-closed */
export function withFinal(account: Account, lease: string, used: number): Account {
  const found = account.open.find((one) => one.lease === lease)
  if (!found) throw new Failure<BrokerCode>('broker/lease-closed', 'what the lease had counts as used')
  const open = account.open.filter((one) => one !== found)
  return { ...account, sequence: account.sequence + 1, spent: account.spent + used, open }
}

/** What a term gives its node: the budget, and what the lease is debited in all. */
export interface Slice {
  readonly inferences: number
  readonly debited: number
}

/**
 * The slice of a release or renewal: as many inferences from `used` on as the owner gives a lease, as far as the allowance pays.
 * What the lease was debited stays debited.
 *
 * wanted     inferences of one term, by the registration
 * remaining  of the allowance, below 0 when its owner lowered it; null for any number
 * returns    inferences 0 when nothing is left
 */
export function sliceOf(before: LeaseUsage, used: number, wanted: number, remaining: number | null): Slice {
  const most = remaining === null ? Number.MAX_SAFE_INTEGER : before.debited + Math.max(0, remaining)
  const debited = Math.max(before.debited, Math.min(used + wanted, most))
  return { inferences: Math.max(0, Math.min(wanted, debited - used)), debited }
}

/** What a lease has before it is granted. */
export const noUsage: LeaseUsage = { debited: 0, used: 0, returned: null }
