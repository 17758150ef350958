import { fromBase64 } from '#core/bytes/bytes.js'
import type { Envelope } from '#core/dsse.js'
import { type Json, parseCanonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { releasedMax } from '#core/limits.js'
import { type AnyBundle, anyBundleShape, type Bundle } from '#core/wire/bundle.js'
import {
  claimedQuery,
  type DecisionsAnswer,
  type Head,
  type LeasesAnswer,
  type OwnerQuery,
  type OwnerQueryCode,
  type ReleasedAnswer,
  verifyOwnerQuery,
} from '#core/wire/owner-query.js'
import { apiVersion } from '#core/wire/release.js'
import { standingSet } from '#keybroker/approvals/admit.js'
import { listApprovals } from '#keybroker/approvals/list.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { verifyTerms } from '#keybroker/lease.js'
import { readTenant } from '#keybroker/standing.js'
import type { StoredEntry } from '#keybroker/stored.js'
import { usageOf } from '#keybroker/usage-query.js'

/**
 * The question of an owner, and the answer to it.
 *
 * throws  broker/unknown-tenant, broker/unknown-entry, broker/record, query/..., dsse/..., crypto/signature, json/...,
 *         shape/..., log/..., database/...
 */
export async function answerOwner(broker: Broker, envelope: Envelope): Promise<unknown> {
  const claimed = claimedQuery(fromBase64(envelope.payload))
  const { made, others } = await broker.store.read(async (reader) => {
    const tenant = await readTenant(reader, claimed.tenant)
    // Whoever has to agree has to see to what.
    const set = claimed.ask === 'approvals' ? await standingSet(reader, broker, tenant.made) : null
    return { ...tenant, others: set?.value.approvers.map((one) => one.key) ?? [] }
  })
  const query = await verifyOwnerQuery(envelope, made, broker.signer.id, broker.clock(), others)
  if (query.ask === 'qualify') throw new Failure<OwnerQueryCode>('query/ask', 'that question has a route of its own')
  return answers[query.ask](broker, query)
}

/** An owner asks just this, in its own name. @throws query/..., dsse/..., crypto/signature, broker/unknown-tenant, broker/record */
export async function verifyAsked(
  broker: Broker,
  envelope: Envelope,
  ask: OwnerQuery['ask'],
  tenant: string,
): Promise<void> {
  const { made } = await broker.store.read((reader) => readTenant(reader, tenant))
  const query = await verifyOwnerQuery(envelope, made, broker.signer.id, broker.clock())
  if (query.ask !== ask) throw new Failure<OwnerQueryCode>('query/ask', `the question is ${query.ask}, expected ${ask}`)
}

const answers: Readonly<
  Record<Exclude<OwnerQuery['ask'], 'qualify'>, (broker: Broker, query: OwnerQuery) => Promise<unknown>>
> = {
  heads: (broker, { tenant }) => heads(broker, tenant),
  leases: (broker, { tenant }) => leases(broker, tenant),
  usage: (broker, { tenant }) => usageOf(broker, tenant),
  decisions: (broker, { tenant, entry }) => decisions(broker, tenant, entry),
  approvals: (broker, { tenant }) => listApprovals(broker, tenant),
  released,
  bundle: (broker, { tenant, entry }) => bundleAt(broker, entry ?? -1, tenant),
}

/** The newest statement of each chain, as the owner signed it. */
export async function heads(
  broker: Broker,
  tenant: string,
): Promise<{ readonly version: string; heads: readonly Head[] }> {
  const rows = await broker.store.read((reader) => reader.listStatements(tenant))
  return {
    version: apiVersion,
    heads: rows.map(({ kind, model, sequence, digest, envelope }) => ({
      kind,
      model: model === '' ? null : model,
      sequence,
      digest,
      statement: envelope,
    })),
  }
}

const decisionsMax = 100

/** Decisions about an owner's models that stand in the log, the newest first: those before an entry, or the last. */
async function decisions(broker: Broker, tenant: string, before: number | null): Promise<DecisionsAnswer> {
  const rows = await broker.store.read((reader) => reader.listDecisions(tenant, before, decisionsMax))
  return {
    version: apiVersion,
    decisions: rows.map(({ index, kind, bundle, recordedAt }) => {
      const { request } = parseCanonicalJson(bundle) as unknown as Pick<Bundle, 'request'>
      return { entry: index!, kind: kind as 'release', model: request.binding.model, at: recordedAt }
    }),
  }
}

/** The leases that run now. */
export async function leases(broker: Broker, tenant: string): Promise<LeasesAnswer> {
  const at = broker.clock()
  const rows = await broker.store.read(async (reader) => {
    const live = await reader.listLiveLeases(tenant, null, at)
    const out = []
    for (const row of live) out.push({ row, index: (await reader.loadEntry(row.entry)).index })
    return out
  })
  return {
    version: apiVersion,
    leases: rows.map(({ row, index }) => {
      const { lease, machine, usage } = verifyTerms(row, broker.callerSecret)
      return {
        id: row.id,
        model: row.model,
        version: row.version,
        keysetDigest: row.keysetDigest,
        grantedAt: row.grantedAt,
        expiresAt: row.expiresAt,
        entry: index,
        measurement: machine.measurements[0]!,
        machine,
        declared: lease.declared,
        inferences: usage,
      }
    }),
  }
}

/** What was ever released to a machine: what is lost when it turns out to be broken. */
async function released(broker: Broker, { tenant, platform }: OwnerQuery): Promise<ReleasedAnswer> {
  if (platform === undefined || platform === '')
    throw new Failure<OwnerQueryCode>('query/ask', 'what was released to which machine? The question names none')
  const rows = await broker.store.read((reader) => reader.listReleased(tenant, platform, releasedMax))
  return {
    version: apiVersion,
    released: rows.map(({ platform: to, ...row }) => ({ ...row, hidden: to === '' })),
  }
}

/** Kinds of entries that nobody replays. */
const withoutBundle: ReadonlySet<string> = new Set(['refusals', 'kek-rotation', 'usage', 'rollback', 'kbs-policy'])

/**
 * The bundle of an entry with its proof of now: it holds the openings, so it is for the tenant and the operator only.
 *
 * tenant  whose entry it must be; null for the operator
 * throws  broker/unknown-entry, log/..., database/...
 */
export async function bundleAt(broker: Broker, index: number, tenant: string | null): Promise<AnyBundle> {
  const entry: StoredEntry | null = index < 0 ? null : await broker.store.read((reader) => reader.loadEntryAt(index))
  // Another tenant's entry is not told apart from one that does not exist.
  const hasBundle = entry !== null && !withoutBundle.has(entry.kind)
  if (!hasBundle || (tenant !== null && entry.tenant !== tenant))
    throw new Failure<BrokerCode>('broker/unknown-entry', `entry ${index} has no bundle here for you`)
  const stored = parseCanonicalJson(entry.bundle) as { readonly [name: string]: Json }
  return anyBundleShape({ ...stored, proof: await broker.log.proof(index) }, 'bundle')
}

/**
 * The trust statement that an owner made last, for its nodes, which believe it once the owner's key verified it. It
 * names keys and no secret.
 *
 * throws  broker/unknown-tenant, database/...
 */
export async function trustStatementOf(broker: Broker, tenant: string): Promise<Envelope> {
  // It comes out of a stranger's path: what is no id never reaches the database.
  const isId = /^[A-Za-z0-9_-]{43}$/.test(tenant)
  const rows = isId ? await broker.store.read((reader) => reader.loadStatements(tenant, '')) : []
  const found = rows.find((row) => row.kind === 'trust')
  if (!found)
    throw new Failure<BrokerCode>('broker/unknown-tenant', 'no owner of this id has made a trust statement here')
  return found.envelope
}
