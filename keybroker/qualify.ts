import { fromBase64Url } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import type { QualifyAnswer } from '#core/wire/qualify.js'
import { apiVersion, type ReleaseRequest } from '#core/wire/release.js'
import { verifyKek } from '#keybroker/approvals/kek.js'
import type { Broker, IssuableResult } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { openLedger, placeFor } from '#keybroker/place.js'
import { verifyFitFor } from '#keybroker/proof.js'
import { readStanding, type Standing, verifyTenantRow } from '#keybroker/standing.js'
import { explainFor } from '#policies/disclose.js'
import { reasonsForHost } from '#policies/release/appraised.js'
import { type Decided, judgeRelease } from '#policies/release/judge.js'
import { withRefusals } from '#policies/release/replay.js'

/**
 * Whether a node would get a model now, and if not why: decided as a release is, by the same code, with nothing released, granted,
 * debited or logged. A host reads what a denied host reads, which is no value of an owner's list; an owner reads everything.
 *
 * Invariant: evidence for this question has a purpose of its own, so that nobody on the way makes a release of it, and its
 * nonce is spent like any other (I12).
 * trusts  that the caller may ask: who does, and how often, was verified
 * throws  broker/unknown-model, broker/record, broker/key, broker/kek, judge/..., store/nonce-unknown, database/...
 */
export async function qualify(
  broker: Broker,
  request: ReleaseRequest,
  reader: 'host' | 'owner',
): Promise<QualifyAnswer> {
  if (request.lease !== null || request.counter !== undefined)
    throw new Failure('shape/form', 'lease and counter: a node that qualifies has none')
  const { model, nonce } = request.binding
  await broker.store.consumeNonce(fromBase64Url(nonce, 32), model, broker.clock(), null)
  const at = broker.clock()
  const standing = await broker.store.read((one) => readStanding(one, broker, model))
  const input = { request, statements: standing.statements, broker: broker.signer.id, nonce, at }
  const verdict = await judgeRelease<IssuableResult>({ ...input, purpose: 'claviger.qualify.v1' }, broker)
  if (verdict.stage === 'refused') {
    const { code, message, fix } = verdict
    const reason = { id: code, effect: 'code', explain: message, remedy: fix } as const
    const reasons = [{ ...reason, law: null, expected: null, actual: null }]
    return { version: apiVersion, qualifies: false, platform: null, reasons, nearest: [], policyDigest: null }
  }
  verifyTenantRow(standing.tenant, verdict.statements.tenant)
  verifyFitFor(broker, verdict.statements.trust.value)
  const { decision, result } = verdict.allow ? await placed(broker, request, verdict, standing, at) : verdict
  const explained = explainFor(reader, decision)
  return {
    version: apiVersion,
    qualifies: decision.allow,
    platform: result.platform,
    reasons: decision.allow ? [] : reader === 'host' ? reasonsForHost(decision) : explained.reasons,
    nearest: explained.nearest,
    policyDigest: reader === 'owner' ? decision.policyDigest : null,
  }
}

/** The verdict, with what the broker counts and keeps: places, devices, inferences, and the key itself. Nothing is changed. */
async function placed(
  broker: Broker,
  request: ReleaseRequest,
  verdict: Decided<IssuableResult>,
  standing: Standing,
  at: number,
): Promise<Decided<IssuableResult>> {
  const judged = { verdict, standing, request, at, ear: '' }
  return broker.store.transaction(async (tx) => {
    const ledger = await openLedger(tx, broker, [judged], broker.heads.now())
    const place = placeFor(ledger, broker, judged)
    const key = await tx.loadModelKey(standing.tenant.id, request.binding.model, request.modelVersion)
    if (key === null) throw new Failure<BrokerCode>('broker/key', 'there is no key of this version')
    verifyKek(verdict.statements.kek, key)
    return 'refusal' in place ? withRefusals(verdict, [place.refusal]) : verdict
  })
}
