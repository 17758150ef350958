import { thumbprint } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { ruleFor } from '#core/wire/approvals.js'
import { ownerOf } from '#core/wire/names.js'
import {
  type Signed,
  type Statement,
  type StatementKind,
  verifyStatement,
  verifyTenantStatement,
} from '#core/wire/statements.js'
import { type ApprovedStatements, type StandingSet, verifyApproved } from '#policies/approvals/approved.js'
import type { RefusalCode } from '#policies/release/failures.js'
import type { KeptStatements } from '#policies/release/kept.js'

/** What an owner decided about one model, as it was signed. Null where the owner never made such a statement. */
export interface OwnerStatements {
  readonly tenant: Envelope
  readonly trust: Envelope | null
  readonly registration: Envelope | null
  readonly policy: Envelope | null
  readonly referenceValues: Envelope | null
  readonly revocation: Envelope | null
  /** under which key-encryption keys the owner lets its keys be kept; absent where it never said so */
  readonly kek: Envelope | undefined
  /** absent where nobody ever broke the glass */
  readonly breakGlass: Envelope | undefined
  /** whom the owner believes about places and companies; absent where it never said so */
  readonly sources: Envelope | undefined
  /** how these came to stand; absent where the owner has no approvers */
  readonly approved: ApprovedStatements | undefined
}

/** The glass was broken by those who agreed to it, at that time. */
export interface BrokenGlass {
  readonly signed: Signed<Statement<'break-glass'>>
  readonly from: UnixSeconds
  readonly until: UnixSeconds
}

/** The same, verified with the owner's own keys. */
export interface VerifiedStatements {
  readonly tenant: Signed<Statement<'tenant'>>
  readonly trust: Signed<Statement<'trust'>>
  readonly registration: Signed<Statement<'registration'>>
  readonly policy: Signed<Statement<'policy'>>
  readonly referenceValues: Signed<Statement<'reference-values'>>
  /** null when the owner never revoked anything */
  readonly revocation: Signed<Statement<'revocation'>> | null
  /** null when the owner never said under which key its keys may be kept */
  readonly kek: Signed<Statement<'kek'>> | null
  /** what the glass was broken for last, and from when until when; null when it never was */
  readonly breakGlass: BrokenGlass | null
  /** null when the owner never said whom it believes about places and companies */
  readonly sources: Signed<Statement<'sources'>> | null
  /** who approves what; null when the owner has no approvers */
  readonly approvers: StandingSet | null
}

/**
 * The owner's statements about `model`: the model id names the key that made the tenant, the tenant's statement names
 * the keys that made the others, and each of them speaks of this tenant and this model. No database is believed (I18).
 *
 * broker  thumbprint of the broker that decides: where the owner has approvers, only that broker's word counts for when and
 *         how a statement came to stand, and those who agreed signed for it (TRUST 12)
 * kept    of whoever asks often: a statement that was verified before is not verified again
 * throws  judge/statement-missing, judge/statement-false, judge/broker-not-trusted
 */
export async function verifyOwnerStatements(
  given: OwnerStatements,
  model: string,
  broker: string,
  kept?: KeptStatements,
): Promise<VerifiedStatements> {
  const tenant = await verifyTenant(given.tenant, ownerOf(model), kept)
  const one = <K extends StatementKind>(kind: K, envelope: Envelope | null) =>
    verifyOne(kind, present(kind, envelope), tenant, model, kept)
  const verified = {
    tenant,
    trust: await one('trust', given.trust),
    registration: await one('registration', given.registration),
    policy: await one('policy', given.policy),
    referenceValues: await one('reference-values', given.referenceValues),
    revocation: given.revocation && (await one('revocation', given.revocation)),
    kek: given.kek === undefined ? null : await one('kek', given.kek),
    sources: given.sources === undefined ? null : await one('sources', given.sources),
  }
  const glass = given.breakGlass === undefined ? null : await one('break-glass', given.breakGlass)
  const approved = await approversOf(given.approved, verified, glass, broker)
  // Invariant: without approvers nobody broke it.
  const from = glass && approved?.since.get(glass.digest)
  if (glass !== null && (from === undefined || from === null)) throw untrue('break-glass', 'nobody agreed to it')
  const breakGlass = glass && from ? { signed: glass, from, until: from + glass.value.seconds } : null
  return { ...verified, breakGlass, approvers: approved?.set ?? null }
}

/** The approvers under whom all of these stand. @throws judge/statement-false */
async function approversOf(
  given: ApprovedStatements | undefined,
  verified: Omit<VerifiedStatements, 'approvers' | 'breakGlass'>,
  glass: Signed<Statement<'break-glass'>> | null,
  broker: string,
): Promise<Awaited<ReturnType<typeof verifyApproved>> | null> {
  if (given === undefined) return null
  const { tenant, trust, registration, policy, referenceValues, revocation, kek, sources } = verified
  verifyBrokerTrusted(trust, broker)
  const standing = [
    ['trust', trust],
    ['registration', registration],
    ['policy', policy],
    ['reference-values', referenceValues],
    ['revocation', revocation],
    ['kek', kek],
    ['break-glass', glass],
    ['sources', sources],
  ] as const
  const approved = await truly('approvers', () => verifyApproved(given, tenant, trust, broker, standing))
  // Where key-encryption keys need approvals the owner named some: that statement was taken away.
  if (kek === null && ruleFor(approved.set.value, 'kek') !== null) present('kek', null)
  return approved
}

/** The statement that made the tenant of this id. @throws judge/statement-false */
export async function verifyTenant(
  envelope: Envelope,
  tenantId: string,
  kept?: KeptStatements,
): Promise<Signed<Statement<'tenant'>>> {
  const tenant = await truly('tenant', () => kept?.verifyTenant(envelope) ?? verifyTenantStatement(envelope))
  if (tenant.value.tenant !== tenantId) throw untrue('tenant', 'it makes another tenant')
  return tenant
}

/**
 * The statement as one of the tenant's keys signed it, about this tenant and, where its kind names one, this model.
 *
 * throws  judge/statement-false
 */
export async function verifyOne<K extends StatementKind>(
  kind: K,
  envelope: Envelope,
  tenant: Signed<Statement<'tenant'>>,
  model: string | null,
  kept?: KeptStatements,
): Promise<Signed<Statement<K>>> {
  const { keys } = tenant.value
  const signed = await truly(kind, () => kept?.verify(kind, envelope, keys) ?? verifyStatement(kind, envelope, keys))
  if (signed.value.tenant !== tenant.value.tenant) throw untrue(kind, 'it is of another tenant')
  if ('class' in signed.value && signed.value.class !== tenant.value.class) {
    throw untrue(kind, `it says class ${signed.value.class}`)
  }
  if ('model' in signed.value && model !== null && signed.value.model !== model) {
    throw untrue(kind, `it is about ${signed.value.model}`)
  }
  return signed
}

function present(kind: StatementKind, envelope: Envelope | null): Envelope {
  if (envelope !== null) return envelope
  throw new Failure<RefusalCode>(
    'judge/statement-missing',
    `there is no ${kind} statement of the owner for this model`,
    {
      detail: { kind },
    },
  )
}

function untrue(kind: StatementKind, why: string, cause?: unknown): Failure<RefusalCode> {
  const message = `the stored ${kind} statement is not the owner's about this model: ${why}`
  return new Failure<RefusalCode>('judge/statement-false', message, { detail: { kind }, cause })
}

async function truly<T>(kind: StatementKind, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isFailure(error)) throw error
    throw untrue(kind, error.message, error)
  }
}

/** Returns only when the owner names this broker as one that may hold its keys. @throws judge/broker-not-trusted */
export function verifyBrokerTrusted(trust: Signed<Statement<'trust'>>, broker: string): void {
  if (!trust.value.brokers.some((key) => thumbprint(key) === broker)) {
    throw new Failure<RefusalCode>('judge/broker-not-trusted', "the owner's trust statement does not name this broker")
  }
}
