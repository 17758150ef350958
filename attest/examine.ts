import type { Anchors } from '#attest/anchors.js'
import { defaultPolicy, judgeEvidence } from '#attest/appraise.js'
import type { AppraisalPolicy, SkippableStep } from '#attest/appraise-under.js'
import type { Caches } from '#attest/caches.js'
import type { AttestationResult, TenantClass } from '#attest/result.js'
import type { UnixSeconds } from '#core/time.js'
import type { Binding } from '#core/wire/binding.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'

/** What somebody knows who asks what a piece of evidence is worth. What is null is left out, by name. */
export interface Examination {
  /** the 64 bytes that the evidence has to carry; null: whatever it carries */
  readonly expectedReportData: Uint8Array | null
  /** what a vTPM has to carry by a protocol that is not ours; absent: what ours makes of the report data */
  readonly expectedExtraData?: Uint8Array | undefined
  /** instead of it, a nonce that the device took as it is: vTPMs, GPUs and Nitro do; evidence of other kinds carries none */
  readonly expectedNonce: Uint8Array | null
  /** where the report data are those of a binding of ours: devices of composite evidence answer a nonce of the same */
  readonly binding?: Binding | undefined
  /** null: whatever runs there */
  readonly referenceValues: ReferenceValues | null
  readonly tenantClass: TenantClass
  readonly at: UnixSeconds
}

/**
 * The verdict on evidence, for a reader rather than for a release: what he gives nothing to compare with is a skip in the
 * trace and in `skipped`, and no EAR is ever issued of such a result.
 *
 * caches  of the caller, who verifies often; results are the same without
 * trusts  as appraiseEvidence
 */
export function examineEvidence<E extends AnyEvidence>(
  evidence: E,
  anchors: Anchors,
  { expectedReportData, expectedExtraData, expectedNonce, binding, referenceValues, tenantClass, at }: Examination,
  caches?: Caches,
): Promise<AttestationResult<E>> {
  const skips: SkippableStep[] = []
  if (referenceValues === null) skips.push('reference-values')
  if (expectedReportData === null) skips.push('report-data')
  const policy: AppraisalPolicy = skips.length === 0 ? defaultPolicy : { name: 'claviger.examine.1', skips }
  const input = {
    expectedReportData: expectedReportData ?? new Uint8Array(64),
    expectedExtraData,
    expectedNonce: expectedNonce ?? undefined,
    ...(binding === undefined ? {} : { binding }),
    referenceValues: referenceValues ?? {},
    tenantClass,
    at,
  }
  return judgeEvidence(policy, evidence, anchors, input, caches)
}

/** Ids of the steps and comparisons that were skipped, each once: of what the caller left out, and of what did not come along. */
export function skippedSteps({ steps }: Pick<AttestationResult, 'steps'>): readonly string[] {
  return [...new Set(steps.filter(({ verdict }) => verdict === 'skip').map(({ id }) => id))]
}

/** Whether every step passed: neither a failure nor a skip among them. */
export function everyStepPassed({ steps }: Pick<AttestationResult, 'steps'>): boolean {
  return steps.length > 0 && steps.every((step) => step.verdict === 'pass')
}
