import { appraiseKind, type VerifiedEvidence } from '#attest/kinds.js'
import { type AttestationResult, check, type TenantClass, trust, vectorOf } from '#attest/result.js'
import { catalogue } from '#attest/steps.js'
import { type Told, tracedChecks, tracedVerification } from '#attest/traced.js'
import { assert } from '#core/assert.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import { type Check, worstTier } from '#core/wire/ear.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'

/** Steps that an appraisal policy may leave out. Debug, platform and tenant class are not among them. */
export type SkippableStep = 'reference-values' | 'crl' | 'report-data'

/** How verified claims are appraised: a name, and the steps it leaves out. */
export interface AppraisalPolicy {
  readonly name: string
  readonly skips: readonly SkippableStep[]
}

export interface AppraisalInput {
  /** the 64 bytes that the evidence has to carry */
  readonly expectedReportData: Uint8Array
  readonly referenceValues: ReferenceValues
  readonly tenantClass: TenantClass
  readonly at: UnixSeconds
}

/**
 * The attestation result under a named policy. Product code calls appraise(), whose policy is fixed and leaves out
 * nothing; a tidy test keeps this one to the runner of vectors.
 */
export function appraiseUnder<E extends AnyEvidence>(
  policy: AppraisalPolicy,
  verified: VerifiedEvidence<E>,
  input: AppraisalInput,
  told: readonly Told[],
): AttestationResult<E> {
  assert(input.expectedReportData.length === 64, 'report data has 64 bytes')
  const skips = (step: SkippableStep) => policy.skips.includes(step)
  const missing = !skips('reference-values') && input.referenceValues[verified.kind] === undefined
  const compared = appraiseKind(verified, {
    platform: verified.platform,
    tenantClass: input.tenantClass,
    expectedReportData: skips('report-data') ? null : input.expectedReportData,
    values: skips('reference-values') ? null : input.referenceValues,
    requireCrlRule: !skips('crl'),
    at: input.at,
  })
  const checks = missing ? [noReferenceValues(verified), ...compared] : compared
  return result(policy, input, {
    kind: verified.kind,
    platform: verified.platform,
    checks,
    steps: [
      ...tracedVerification(verified.kind, told, null),
      ...tracedChecks(verified.kind, checks, skippedChecks(verified.kind, policy)),
    ],
    failure: null,
    claims: verified.claims,
    evidenceDigest: verified.evidenceDigest,
    collateralDigest: verified.collateralDigest,
  })
}

/** The comparisons that a policy leaves out by name, as far as the kind makes them. */
function skippedChecks(kind: AnyEvidence['kind'], policy: AppraisalPolicy): readonly (readonly [string, string])[] {
  const known = policy.skips.filter((step) => catalogue[kind].checks.some((one) => one.id === step))
  return known.map((step) => [step, `left out by the policy ${policy.name}`] as const)
}

/** I4: no reference values for a kind of evidence is a refusal, not an omission. */
function noReferenceValues(verified: VerifiedEvidence<AnyEvidence>): Check {
  return check('reference-values', 'executables', trust.untrustworthy, {
    expected: `reference values for ${verified.kind}`,
    found: 'none',
    fix: `ask the owner to accept evidence of kind ${verified.kind}`,
  })
}

/** What a result is made of, whether verification passed or failed. */
export type Outcome<E extends AnyEvidence> = Pick<
  AttestationResult<E>,
  'kind' | 'platform' | 'checks' | 'steps' | 'failure' | 'claims'
> &
  Pick<VerifiedEvidence<E>, 'evidenceDigest' | 'collateralDigest'>

export function result<E extends AnyEvidence>(
  policy: AppraisalPolicy,
  input: Pick<AppraisalInput, 'referenceValues' | 'tenantClass' | 'at'>,
  { evidenceDigest, collateralDigest, ...outcome }: Outcome<E>,
): AttestationResult<E> {
  const vector = vectorOf(outcome.checks)
  return {
    ...outcome,
    tenantClass: input.tenantClass,
    status: worstTier(vector),
    vector,
    skipped: policy.skips,
    at: input.at,
    policy: policy.name,
    digests: {
      policy: documentDigest(policy),
      referenceValues: documentDigest(input.referenceValues),
      collateral: collateralDigest,
      evidence: evidenceDigest,
    },
  }
}
