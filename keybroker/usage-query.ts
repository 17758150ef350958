import { grantableLimit } from '#core/sealed/quorum.js'
import type { UnixSeconds } from '#core/time.js'
import type { UsageAnswer } from '#core/wire/owner-query.js'
import { apiVersion } from '#core/wire/release.js'
import { readAccount } from '#keybroker/accounts.js'
import type { Broker } from '#keybroker/broker.js'
import { type Terms, verifyTerms } from '#keybroker/lease.js'
import type { StoreReader } from '#keybroker/ports.js'
import { readTenant } from '#keybroker/standing.js'
import type { StoredLease } from '#keybroker/stored.js'
import { debitedOf } from '#keybroker/usage.js'
import { verifyOne } from '#policies/release/statements.js'

/** As many leases of a tenant are added up; an owner who had more sees the newest, and of an allowance the account. */
const leasesMax = 100_000
const shownMax = 1000

type Version = UsageAnswer['usage'][number]
type Registered = ReadonlyMap<string, { readonly version: number; readonly allowance: Version['allowance'] }>
interface Known {
  readonly row: StoredLease
  readonly usage: Terms['usage']
}

/**
 * Inferences used of inferences allowed, of every version that was leased or has an allowance.
 *
 * Each lease is one that a broker of this secret granted, and an allowance is told from its account, which decides.
 * throws  broker/unknown-tenant, broker/record, judge/statement-false, database/...
 */
export async function usageOf(broker: Broker, tenant: string): Promise<UsageAnswer> {
  const at = broker.clock()
  const since = broker.heads.now()
  return broker.store.read(async (reader) => {
    const registered = await registeredOf(reader, tenant)
    const byVersion = new Map<string, Known[]>()
    for (const row of await reader.listLeases(tenant, null, leasesMax)) {
      const key = `${row.version} ${row.model}`
      const known = byVersion.get(key) ?? []
      known.push({ row, usage: verifyTerms(row, broker.callerSecret).usage })
      byVersion.set(key, known)
    }
    for (const [model, { version, allowance }] of registered)
      if (allowance !== null && !byVersion.has(`${version} ${model}`)) byVersion.set(`${version} ${model}`, [])
    const usage: Version[] = []
    for (const [key, leases] of [...byVersion].sort(([a], [b]) => (a < b ? -1 : 1)))
      usage.push(await versionOf(reader, broker, tenant, key, leases, registered, { at, since }))
    return { version: apiVersion, usage }
  })
}

/** What the owner allows of the registered version of each model. */
async function registeredOf(reader: StoreReader, tenant: string): Promise<Registered> {
  const { made } = await readTenant(reader, tenant)
  const out = new Map<string, { version: number; allowance: Version['allowance'] }>()
  for (const row of await reader.listStatements(tenant)) {
    if (row.kind !== 'registration') continue
    const { value } = await verifyOne('registration', row.envelope, made, row.model)
    const { version, allowance, quorum } = value
    const inferences = allowance?.inferences ?? null
    const part = inferences === null ? null : grantableLimit(inferences, quorum)
    out.set(row.model, { version, allowance: allowance === undefined ? null : { ...allowance, inferences: part } })
  }
  return out
}

async function versionOf(
  reader: StoreReader,
  broker: Broker,
  tenant: string,
  key: string,
  leases: readonly Known[],
  registered: Registered,
  { at, since }: { readonly at: UnixSeconds; readonly since: number },
): Promise<Version> {
  const space = key.indexOf(' ')
  const [version, model] = [Number(key.slice(0, space)), key.slice(space + 1)]
  const now = registered.get(model)
  const allowance = now?.version === version ? now.allowance : null
  const runs = ({ row }: Known) => row.endedAt === null && row.expiresAt > at
  const sum = (of: (one: Known) => number) => leases.reduce((all, one) => all + of(one), 0)
  const unsaid = ({ usage }: Known) => (usage.returned === null ? usage.debited - usage.used : 0)
  const counts = (allowance?.inferences ?? null) !== null
  const account = counts ? await readAccount(reader, broker, { tenant, model, version }, since) : null
  return {
    model,
    version,
    allowance,
    counted: account === null ? sum(({ usage }) => usage.debited - (usage.returned ?? 0)) : debitedOf(account),
    used: sum(({ usage }) => usage.used),
    outstanding: sum((one) => (runs(one) ? unsaid(one) : 0)),
    silent: sum((one) => (runs(one) ? 0 : unsaid(one))),
    leases: leases.slice(0, shownMax).map((one) => ({
      id: one.row.id,
      state: runs(one) ? 'runs' : 'over',
      grantedAt: one.row.grantedAt,
      expiresAt: one.row.expiresAt,
      inferences: one.usage,
    })),
    more: Math.max(0, leases.length - shownMax),
  }
}
