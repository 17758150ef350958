import { appraiseKind, subjectOf, type VerifiedEvidence } from '#attest/kinds.js'
import { type AnyClaims, type AttestationResult, check, type TenantClass, trust, vectorOf } from '#attest/result.js'
import { catalogue } from '#attest/steps.js'
import { type Told, tracedChecks, tracedVerification } from '#attest/traced.js'
import { assert } from '#core/assert.js'
import { equal, toHex } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import { type Binding, documentDigest, reportDataOf } from '#core/wire/binding.js'
import type { Check } from '#core/wire/ear.js'
import type { AnyEvidence, DeviceEvidence, PartEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import { worstTier } from '#core/wire/trust-vector.js'

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
  /** what a vTPM has to carry by a protocol that is not ours; absent: what ours makes of the report data */
  readonly expectedExtraData?: Uint8Array | undefined
  /**
   * What these bytes are made of, on our own paths. Composite evidence is refused without it, since it alone says which
   * devices belong to the machine.
   */
  readonly binding?: Binding | undefined
  readonly referenceValues: ReferenceValues
  readonly tenantClass: TenantClass
  readonly at: UnixSeconds
}

/** What an examination adds: the nonce that the device of somebody else's protocol took as it is. */
export type ExaminationInput = AppraisalInput & { readonly expectedNonce?: Uint8Array | undefined }

/** The devices whose evidence came along with that of a machine; absent where there are none. */
type PartInput = ExaminationInput & { readonly devices?: readonly DeviceEvidence[] }

/**
 * The attestation result on one part under a named policy. Product code calls appraise(), whose policy is fixed and leaves out
 * nothing; a tidy test keeps this one to the runner of vectors.
 */
export function appraiseUnder<E extends PartEvidence>(
  policy: AppraisalPolicy,
  verified: VerifiedEvidence<E>,
  input: PartInput,
  told: readonly Told[],
): AttestationResult<E> {
  assert(input.expectedReportData.length === 64, 'report data has 64 bytes')
  // Devices answer other report data, of the same binding.
  const own = input.binding === undefined || verified.kind === 'gpu' ? null : reportDataOf(input.binding)
  assert(own === null || equal(own, input.expectedReportData), 'report data are those of the binding')
  const skips = (step: SkippableStep) => policy.skips.includes(step)
  const missing = !skips('reference-values') && input.referenceValues[verified.kind] === undefined
  const compared = appraiseKind(verified, {
    platform: verified.platform,
    tenantClass: input.tenantClass,
    expectedReportData: skips('report-data') ? null : input.expectedReportData,
    expectedExtraData: input.expectedExtraData,
    values: skips('reference-values') ? null : input.referenceValues,
    requireCrlRule: !skips('crl'),
    at: input.at,
  })
  const checks = [
    ...(missing ? [noReferenceValues(verified)] : []),
    ...(input.expectedNonce === undefined ? [] : [bareNonce(verified.claims, input.expectedNonce)]),
    ...compared,
    ...(verified.kind === 'gpu' ? [] : appraiseDevices(input, skips)),
  ]
  return result(policy, input, {
    kind: verified.kind,
    platform: verified.platform,
    checks,
    steps: [
      ...tracedVerification(verified.kind, told, null),
      ...tracedChecks(verified.kind, checks, [
        ...skippedChecks(verified.kind, policy, checks),
        ...skippedDevices(input, checks),
      ]),
    ],
    failure: null,
    claims: verified.claims,
    subject: subjectOf(verified),
    parts: [],
    signatures: verified.signatures,
    evidenceDigest: verified.evidenceDigest,
    collateralDigest: verified.collateralDigest,
  })
}

/**
 * What a machine has to say of devices: evidence of a machine alone never satisfies an owner who asks for devices, and
 * devices belong to a machine only when its own evidence binds the digest of exactly theirs.
 */
function appraiseDevices(
  { binding, devices = [], referenceValues }: PartInput,
  skips: (step: SkippableStep) => boolean,
): readonly Check[] {
  const asked = referenceValues.gpu !== undefined && !skips('reference-values')
  const [wanted, bound] = [documentDigest(devices), binding?.devices_digest ?? null]
  const unbound = bound === null && (devices.length === 0 || skips('report-data'))
  return [
    ...(asked && devices.length === 0
      ? [
          check('devices', 'hardware', trust.untrustworthy, {
            expected: 'evidence of the devices that the owner asks for',
            found: 'none',
            fix: 'send composite evidence, with that of the devices',
          }),
        ]
      : []),
    ...(unbound
      ? []
      : [
          check('devices-digest', 'configuration', bound === wanted ? trust.approved : trust.verificationFailed, {
            expected: wanted,
            found: bound ?? 'no binding that names devices',
            fix: 'ask the devices first, then make evidence of the machine that binds the digest of their answers',
          }),
        ]),
  ]
}

const skipReasons: Readonly<Record<SkippableStep, string>> = {
  'reference-values': 'no reference values were given: whether what runs there is what is expected is not known',
  'report-data': 'nothing was given that the evidence has to carry: it may be of another time, key or machine',
  crl: 'the rule of the owner on lists of revoked certificates was left out',
}

/** The comparisons that a policy leaves out by name, as far as the kind makes them. */
function skippedChecks(
  kind: PartEvidence['kind'],
  policy: AppraisalPolicy,
  made: readonly Check[],
): readonly (readonly [string, string])[] {
  const known = policy.skips.filter(
    (step) => catalogue[kind].checks.some((one) => one.id === step) && !made.some((one) => one.id === step),
  )
  return known.map((step) => [step, `${skipReasons[step]} (policy ${policy.name})`] as const)
}

/** Devices that nothing joins to the machine they came with: not refused where report data are left out, and not passed. */
function skippedDevices({ devices = [] }: PartInput, made: readonly Check[]): readonly (readonly [string, string])[] {
  if (devices.length === 0 || made.some((one) => one.id === 'devices-digest')) return []
  return [['devices-digest', 'no binding was given: whether these devices work with this machine is not known']]
}

/** The nonce as it stands in evidence of a kind whose device takes one; null where report data are all that is bound. */
function nonceOf(claims: AnyClaims): string | null {
  if ('vtpm' in claims) return claims.vtpm.extraData
  return 'nonce' in claims ? claims.nonce : null
}

function bareNonce(claims: AnyClaims, expected: Uint8Array): Check {
  const [wanted, found] = [toHex(expected), nonceOf(claims)]
  // Absence is never success: evidence without a nonce does not answer an empty one.
  const good = wanted !== '' && found === wanted
  return check('report-data', 'configuration', good ? trust.approved : trust.verificationFailed, {
    expected: wanted === '' ? 'a nonce, and none was given' : `nonce ${wanted}`,
    found: found === null || found === '' ? 'no nonce' : `nonce ${found}`,
    fix: 'send evidence that answers this nonce',
  })
}

/** I4: no reference values for a kind of evidence is a refusal, not an omission. */
function noReferenceValues(verified: VerifiedEvidence<PartEvidence>): Check {
  return check('reference-values', 'executables', trust.untrustworthy, {
    expected: `reference values for ${verified.kind}`,
    found: 'none',
    fix: `ask the owner to accept evidence of kind ${verified.kind}`,
  })
}

/** What a result is made of, whether verification passed or failed. */
export type Outcome<E extends AnyEvidence> = Pick<
  AttestationResult<E>,
  'kind' | 'platform' | 'checks' | 'steps' | 'failure' | 'claims' | 'subject' | 'parts' | 'signatures'
> &
  Pick<VerifiedEvidence, 'evidenceDigest' | 'collateralDigest'>

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
    // A bare nonce is a comparison of report data: what was made after all is not left out.
    skipped: policy.skips.filter((step) => !outcome.checks.some(({ id }) => id === step)),
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
