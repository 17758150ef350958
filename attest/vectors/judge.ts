import { appraiseUnder } from '#attest/appraise-under.js'
import { type VerifiedEvidence, verifyEvidence } from '#attest/kinds.js'
import { recorder, tracedVerification } from '#attest/traced.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { PartEvidence } from '#core/wire/evidence.js'
import { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'

/** The bytes of the first of these roles that the case has. @throws case/file */
export function roleOf(input: CaseInput, ...names: readonly string[]): Uint8Array {
  for (const name of names) {
    const bytes = input.roles.get(name)
    if (bytes) return bytes
  }
  throw new Failure<CaseCode>('case/file', `case has no ${names.join(' or ')}`)
}

/** Runs one case as the service would: envelope, verification, appraisal. */
export async function judge<E extends PartEvidence>(input: CaseInput, evidenceOf: () => E): Promise<Judgement> {
  const { trace, told } = recorder()
  let evidence: E
  try {
    evidence = evidenceOf()
  } catch (error) {
    if (!isFailure(error)) throw error
    return { crypto: 'fail', overall: 'fail', code: error.code, parts: [] }
  }
  const { kind } = evidence
  let verified: VerifiedEvidence<E>
  try {
    const { simulatedRoots, collateralFloors } = input
    verified = await verifyEvidence(evidence, { simulatedRoots, collateralFloors }, input.at, trace)
  } catch (error) {
    if (!isFailure(error)) throw error
    const steps = tracedVerification(kind, told, error)
    return { crypto: 'fail', overall: 'fail', code: error.code, parts: [{ kind, steps }] }
  }
  const bytes = input.roles.get('referenceValues')
  const referenceValues: ReferenceValues = bytes ? referenceValuesShape(parseJson(bytes), 'referenceValues') : {}
  const result = appraiseUnder(
    input.policy,
    verified,
    {
      expectedReportData: input.reportData ?? new Uint8Array(64),
      referenceValues,
      tenantClass: input.tenantClass,
      at: input.at,
    },
    told,
  )
  // A warning, such as the one for Milan, is not a failure.
  const refused = result.checks.find((check) => check.status === 'contraindicated')
  return {
    crypto: 'pass',
    overall: refused ? 'fail' : 'pass',
    code: refused ? refused.id : null,
    parts: [{ kind, steps: result.steps }],
  }
}
