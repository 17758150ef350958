import { fromBase64 } from '#core/bytes/bytes.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { type Accepted, approvedActions } from '#core/wire/approvals.js'
import { ownerOf } from '#core/wire/names.js'
import {
  ownerKeysDigest,
  payloadDigest,
  type Signed,
  type Statement,
  type StatementKind,
} from '#core/wire/statements.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { type ModelKeyContext, shareContextOf } from '#keybroker/model-key.js'
import type { StoreReader, StoreTransaction } from '#keybroker/ports.js'
import type { StateMark, StoredModelKey, StoredStanding, StoredStatement, StoredTenant } from '#keybroker/stored.js'
import type { ApprovedStatements } from '#policies/approvals/approved.js'
import { type OwnerStatements, type VerifiedStatements, verifyOne, verifyTenant } from '#policies/release/statements.js'

/** What an owner's decisions about a model are now, as they are stored. They are verified by whoever decides by them. */
export interface Standing {
  readonly tenant: StoredTenant
  readonly statements: OwnerStatements
  /** digests of the statements: two standings with the same ones are the same */
  readonly heads: string
  readonly mark: StateMark
  /** of the version that was asked for */
  readonly key: StoredModelKey | null
}

/** Whether what was true before is true now: the same statements of the same tenant. */
export function isSameStanding(one: Standing, other: Standing): boolean {
  const { id, class: tenantClass, ownerKeysDigest, opening } = one.tenant
  return (
    one.heads === other.heads &&
    id === other.tenant.id &&
    tenantClass === other.tenant.class &&
    ownerKeysDigest === other.tenant.ownerKeysDigest &&
    opening === other.tenant.opening
  )
}

function falseRecord(message: string): Failure<BrokerCode> {
  return new Failure<BrokerCode>('broker/record', message)
}

/**
 * The standing of a model: its owner's newest statement of each kind.
 *
 * Invariant: a record that was changed or taken away is no standing. Each row is what its statement says of itself, the
 * statements that were made public are all there, and none is older than one that this process has seen (I18).
 * version  whose key is read too; null for none
 * since    of `HeadMemory.now`, from before the reader's snapshot was taken
 * throws   broker/unknown-model, broker/record
 */
export async function readStanding(
  reader: StoreReader,
  broker: Pick<Broker, 'heads'>,
  model: string,
  version: number | null = null,
  since = broker.heads.now(),
): Promise<Standing> {
  return standingFrom(await reader.loadStanding(ownerOf(model), model, version), reader, broker, model, since)
}

/** The same, and nobody changes it until the transaction ends. First call of a decision. @throws as readStanding */
export async function holdStanding(
  tx: StoreTransaction,
  broker: Pick<Broker, 'heads'>,
  model: string,
  version: number | null,
  since: number,
): Promise<Standing> {
  return standingFrom(await tx.holdStanding(ownerOf(model), model, version), tx, broker, model, since)
}

async function standingFrom(
  { tenant, mark, statements: rows, key }: StoredStanding,
  reader: StoreReader,
  broker: Pick<Broker, 'heads'>,
  model: string,
  since: number,
): Promise<Standing> {
  const owner = ownerOf(model)
  if (tenant === null) throw new Failure<BrokerCode>('broker/unknown-model', 'no owner of this id is known here')
  verifyMark(mark)
  for (const row of rows) verifyRow(row)
  broker.heads.observe(owner, rows, since)
  const of = (kind: StatementKind) => rows.find((row) => row.kind === kind)?.envelope ?? null
  const made = of('tenant')
  if (made === null) throw falseRecord('the statement that made the tenant is gone')
  if (of('registration') === null) throw new Failure<BrokerCode>('broker/unknown-model', 'no such model is registered')
  return {
    tenant,
    statements: {
      tenant: made,
      trust: of('trust'),
      registration: of('registration'),
      policy: of('policy'),
      referenceValues: of('reference-values'),
      revocation: of('revocation'),
      kek: of('kek') ?? undefined,
      breakGlass: of('break-glass') ?? undefined,
      sources: of('sources') ?? undefined,
      approved: await readApproved(reader, owner, rows),
    },
    heads: rows.map((row) => `${row.kind} ${row.digest}`).join('\n'),
    mark,
    key,
  }
}

/** Kinds of statements that say how they came to stand, where their owner has approvers. */
const acceptedKinds: ReadonlySet<string> = new Set<StatementKind>(approvedActions)

/**
 * How the standing statements of an owner with approvers came to stand, with the sets that they did under. Who decides by
 * them verifies it.
 *
 * throws  broker/record: a statement says how it came to stand, and the approvers are gone
 */
export async function readApproved(
  reader: StoreReader,
  owner: string,
  rows: readonly StoredStatement[],
): Promise<ApprovedStatements | undefined> {
  const standing = rows.find((row) => row.kind === 'approvers')
  const accepted = rows.flatMap((row) => (acceptedKinds.has(row.kind) && row.accepted !== null ? [row.accepted] : []))
  if (standing === undefined) {
    if (accepted.length > 0) throw falseRecord('the statement that names the approvers is gone')
    return undefined
  }
  const sets = new Map([[standing.digest, standing.envelope]])
  for (const one of accepted) {
    const digest = claimedSetOf(one)
    if (digest === null || sets.has(digest)) continue
    const found = await reader.loadStatementOf(owner, digest)
    if (found?.kind === 'approvers') sets.set(digest, found.envelope)
  }
  return { sets: [...sets.values()], accepted }
}

/** The set that a record names, where only approvals under it count: what to look for, and nothing to believe. */
function claimedSetOf({ acceptance }: Accepted): string | null {
  try {
    const claimed = parseCanonicalJson(fromBase64(acceptance.payload)) as {
      readonly approvers?: unknown
      readonly basis?: unknown
    } | null
    return claimed?.basis === 'approved' && typeof claimed.approvers === 'string' ? claimed.approvers : null
  } catch (error) {
    if (!isFailure(error)) throw error
    return null
  }
}

/** Every public change has its statement, and every statement was made public. @throws broker/record */
export function verifyMark(mark: StateMark): void {
  if (mark.entries !== mark.statements) {
    throw falseRecord(
      `${mark.entries} changes of the tenant were made public, ${mark.statements} statements are stored`,
    )
  }
}

/** The row is what the statement says of itself; its signature is verified by whoever decides by it. */
function verifyRow(row: StoredStatement): void {
  let claimed: { readonly sequence?: unknown; readonly previous?: unknown; readonly model?: unknown }
  try {
    claimed = parseCanonicalJson(fromBase64(row.envelope.payload)) as typeof claimed
  } catch (error) {
    if (!isFailure(error)) throw error
    throw falseRecord(`the stored ${row.kind} statement cannot be read`)
  }
  const same =
    payloadDigest(row.envelope) === row.digest &&
    claimed?.sequence === row.sequence &&
    claimed.previous === row.predecessor &&
    (claimed.model ?? '') === row.model
  if (!same) throw falseRecord(`the stored ${row.kind} statement is not the one that its row says`)
}

/** The stored tenant is the one whom the owner's statement makes. @throws broker/record */
export function verifyTenantRow(stored: StoredTenant, made: Signed<Statement<'tenant'>>): void {
  if (stored.class !== made.value.class)
    throw falseRecord('the class of the tenant is not the one that its owner signed')
  if (stored.ownerKeysDigest !== ownerKeysDigest(made.value.keys)) {
    throw falseRecord('the keys of the tenant are not those that its owner signed')
  }
}

/** The tenant with the keys that verify its statements. @throws broker/unknown-tenant, broker/record, judge/statement-false */
export async function readTenant(
  reader: StoreReader,
  id: string,
): Promise<{ readonly stored: StoredTenant; readonly made: Signed<Statement<'tenant'>> }> {
  const stored = await reader.loadTenant(id)
  if (stored === null) throw new Failure<BrokerCode>('broker/unknown-tenant', 'there is no such tenant here')
  const [row] = (await reader.loadStatements(id, '')).filter((one) => one.kind === 'tenant')
  if (!row) throw falseRecord('the statement that made the tenant is gone')
  verifyRow(row)
  const made = await verifyTenant(row.envelope, id)
  verifyTenantRow(stored, made)
  return { stored, made }
}

/**
 * The newest statement of a kind on the whole tenant, verified with its owner's keys; null when there is none.
 *
 * Invariant: as in readStanding, a record that was changed or taken away is none (I18).
 * since   of `HeadMemory.now`, from before the reader's snapshot was taken
 * throws  broker/unknown-tenant, broker/record, judge/statement-false
 */
export async function readTenantStatement<K extends StatementKind>(
  reader: StoreReader,
  broker: Pick<Broker, 'heads'>,
  tenant: string,
  kind: K,
  since = broker.heads.now(),
): Promise<Signed<Statement<K>> | null> {
  const { made } = await readTenant(reader, tenant)
  verifyMark(await reader.loadStateMark(tenant))
  const rows = await reader.loadStatements(tenant, '')
  for (const row of rows) verifyRow(row)
  broker.heads.observe(tenant, rows, since)
  const row = rows.find((one) => one.kind === kind)
  return row === undefined ? null : verifyOne(kind, row.envelope, made, null)
}

/** What the key of the registered version is bound to, by the owner's statements alone. */
export function keyContextOf(statements: VerifiedStatements, broker: string): ModelKeyContext {
  const { tenant, trust, registration } = statements
  return {
    tenant: tenant.value.tenant,
    tenantClass: tenant.value.class,
    model: registration.value.model,
    version: registration.value.version,
    manifestDigest: registration.value.manifestDigest,
    ownerKeysDigest: ownerKeysDigest(tenant.value.keys),
    trustDigest: trust.digest,
    share: shareContextOf(registration.value.quorum, broker),
  }
}
