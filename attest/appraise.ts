import type { Anchors } from '#attest/anchors.js'
import {
  type AppraisalInput,
  type AppraisalPolicy,
  appraiseUnder,
  type ExaminationInput,
  result,
} from '#attest/appraise-under.js'
import { type Caches, noCaches, type Signatures } from '#attest/caches.js'
import { composed } from '#attest/composite.js'
import { fixes, type VerificationCode } from '#attest/fixes.js'
import { evidenceDigests, type VerifiedEvidence, verifyEvidence } from '#attest/kinds.js'
import { type AttestationResult, assertTenantClass, check, trust } from '#attest/result.js'
import { recorder, type Told, tracedUnappraised, tracedVerification } from '#attest/traced.js'
import { assert } from '#core/assert.js'
import { type Failure, isFailure } from '#core/failure.js'
import { assertTime } from '#core/time.js'
import { deviceReportDataOf } from '#core/wire/binding.js'
import type { AnyEvidence, CompositeEvidence, DeviceEvidence, PartEvidence } from '#core/wire/evidence.js'

export type { AppraisalInput } from '#attest/appraise-under.js'

/** The only policy of service, broker and client: every step counts. */
export const defaultPolicy: AppraisalPolicy = { name: 'claviger.default.1', skips: [] }

/**
 * The verdict on verified evidence: a value, never an exception. `affirming` only for hardware that meets every
 * reference value; `warning` for Milan, and for simulated evidence of a development tenant; `contraindicated` else.
 *
 * told  what the verification told of its steps; what it did not tell of is a skip
 */
export function appraise<E extends PartEvidence>(
  verified: VerifiedEvidence<E>,
  input: AppraisalInput,
  told: readonly Told[],
): AttestationResult<E> {
  return appraiseUnder(defaultPolicy, verified, input, told)
}

/** Verifies and appraises under the default policy, as service, broker and client do: a machine, devices, or both. */
export function appraiseEvidence<E extends AnyEvidence>(
  evidence: E,
  anchors: Anchors,
  input: AppraisalInput,
  caches?: Caches,
): Promise<AttestationResult<E>> {
  return judgeEvidence(defaultPolicy, evidence, anchors, input, caches)
}

/** Verifies and appraises under a named policy. Composite evidence is as good as its worst part. */
export async function judgeEvidence<E extends AnyEvidence>(
  policy: AppraisalPolicy,
  evidence: E,
  anchors: Anchors,
  input: ExaminationInput,
  caches?: Caches,
): Promise<AttestationResult<E>> {
  assertTime(input.at)
  assertTenantClass(input.tenantClass)
  // Of a kind whose values are null nothing would be compared, and nothing be skipped either.
  const given: readonly unknown[] = Object.values(input.referenceValues)
  assert(!given.includes(null), 'reference values of a kind are there or left out, never null')
  const any: AnyEvidence = evidence
  const judge =
    any.kind === 'composite'
      ? judgeComposite(policy, any, anchors, input, caches)
      : judgePart(policy, any, anchors, input, caches)
  // Invariant: the kind of a result is that of its evidence.
  return (await judge) as unknown as AttestationResult<E>
}

/** The machine, to which the digest of the devices is bound, then the devices, which answer a nonce of the same binding. */
async function judgeComposite(
  policy: AppraisalPolicy,
  evidence: CompositeEvidence,
  anchors: Anchors,
  input: ExaminationInput,
  caches?: Caches,
): Promise<AttestationResult<CompositeEvidence>> {
  const { binding } = input
  const cpu = await judgePart(policy, evidence.cpu, anchors, input, caches, evidence.devices)
  // Without a binding nothing is known to answer: the machine's own comparison refuses it, and so does that of the nonce.
  const asked = binding ? { ...input, expectedReportData: deviceReportDataOf(binding) } : input
  const devices: AttestationResult<DeviceEvidence>[] = []
  for (const one of evidence.devices) devices.push(await judgePart(policy, one, anchors, asked, caches))
  return composed(evidence, cpu, devices)
}

/**
 * This is the one place where a failed verification becomes a verdict: contraindicated, with the failure's code as the
 * name of the check and what can be done about it.
 */
async function judgePart<E extends PartEvidence>(
  policy: AppraisalPolicy,
  evidence: E,
  anchors: Anchors,
  input: ExaminationInput,
  caches: Caches = noCaches(),
  devices: readonly DeviceEvidence[] = [],
): Promise<AttestationResult<E>> {
  const { trace, told } = recorder()
  const counted = caches.counting()
  let verified: VerifiedEvidence<E>
  try {
    verified = await verifyEvidence(evidence, anchors, input.at, trace, counted)
  } catch (error) {
    if (!isFailure(error)) throw error
    return refused(policy, evidence, input, { told, signatures: counted.signatures }, error)
  }
  return appraiseUnder(policy, verified, { ...input, devices }, told)
}

function refused<E extends PartEvidence>(
  policy: AppraisalPolicy,
  evidence: E,
  input: AppraisalInput,
  { told, signatures }: { readonly told: readonly Told[]; readonly signatures: Signatures },
  failure: Failure,
): AttestationResult<E> {
  const failed = check(failure.code, 'hardware', trust.verificationFailed, {
    expected: 'evidence that verifies',
    found: failure.message,
    fix: fixes[failure.code as VerificationCode] ?? 'send the evidence again unchanged',
  })
  const steps = tracedVerification(evidence.kind, told, failure)
  return result<E>(policy, input, {
    kind: evidence.kind,
    platform: 'unverified',
    checks: [failed],
    steps: [...steps, ...tracedUnappraised(evidence.kind, steps)],
    failure: failure.code,
    claims: null,
    subject: null,
    parts: [],
    signatures,
    ...evidenceDigests(evidence),
  })
}
