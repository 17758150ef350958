import { Failure } from '#core/failure.js'
import { breakGlassPauseSeconds, breakGlassPerMonthMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { ruleFor, verifyApprovalDocument } from '#core/wire/approvals.js'
import { payloadDigest, type Statement } from '#core/wire/statements.js'
import type { ApprovalsCode } from '#keybroker/approvals/failures.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import type { StoreReader } from '#keybroker/ports.js'
import type { StoredStatement } from '#keybroker/stored.js'
import type { StandingSet } from '#policies/approvals/approved.js'

const monthSeconds = 30 * 86_400
/** Statements of one chain that are looked through: each is one time that the glass was broken, or its end. */
const stepsMax = 100

/**
 * The glass may be broken: there are those who may agree to it, and it was not broken too often or too shortly before.
 *
 * throws  break-glass/approvers, break-glass/month, break-glass/chained, broker/record
 */
export async function verifyGlass(
  reader: StoreReader,
  broker: Pick<Broker, 'signer'>,
  { tenant, seconds }: Statement<'break-glass'>,
  head: StoredStatement | undefined,
  set: StandingSet | null,
  at: UnixSeconds,
): Promise<void> {
  const refuse = (code: ApprovalsCode, message: string) => new Failure<ApprovalsCode>(code, message)
  if (set === null || ruleFor(set.value, 'break-glass') === null)
    throw refuse('break-glass/approvers', 'nobody is named who may agree to break the glass')
  if (seconds === 0) return
  const before = await brokenBefore(reader, broker, tenant, head, at - monthSeconds)
  if (before.length >= breakGlassPerMonthMax)
    throw refuse('break-glass/month', `it was broken ${before.length} times in thirty days`)
  const last = Math.max(0, ...before.map((one) => one.until))
  if (at < last + breakGlassPauseSeconds)
    throw refuse('break-glass/chained', 'it was broken before, and stays whole for a day after')
}

/** When the glass was broken since then, by the broker's own word on each: no row says so by itself (I18). */
async function brokenBefore(
  reader: StoreReader,
  { signer }: Pick<Broker, 'signer'>,
  tenant: string,
  head: StoredStatement | undefined,
  since: UnixSeconds,
): Promise<readonly { readonly until: UnixSeconds }[]> {
  const found: { until: UnixSeconds }[] = []
  let endedAt = Number.MAX_SAFE_INTEGER
  let row = head ?? null
  for (let step = 0; row !== null; step++) {
    const record = await recordOf(row, signer)
    if (record === null || step === stepsMax)
      throw new Failure<BrokerCode>('broker/record', 'the times that the glass was broken cannot be told')
    const { seconds } = JSON.parse(atob(row.envelope.payload)) as { readonly seconds: number }
    if (record.at < since) return found
    if (seconds > 0) found.push({ until: Math.min(record.at + seconds, endedAt) })
    endedAt = record.at
    const { predecessor } = row
    row = predecessor === null ? null : await reader.loadStatementOf(tenant, predecessor)
    if (row === null && predecessor !== null)
      throw new Failure<BrokerCode>('broker/record', 'a statement on a broken glass is gone')
  }
  return found
}

async function recordOf(row: StoredStatement, signer: Broker['signer']) {
  if (row.accepted === null || payloadDigest(row.envelope) !== row.digest) return null
  const { value } = await verifyApprovalDocument('acceptance', row.accepted.acceptance, [signer.publicKey])
  return value.statement === row.digest ? value : null
}
