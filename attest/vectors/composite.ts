import { appraiseEvidence } from '#attest/appraise.js'
import type { AttestationResult } from '#attest/result.js'
import type { CaseInput, Judgement } from '#attest/vectors/case.js'
import { roleOf } from '#attest/vectors/judge.js'
import { parseJson } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { bindingShape, reportDataOf } from '#core/wire/binding.js'
import { evidenceShape, type PartEvidence } from '#core/wire/evidence.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

/**
 * Runs one case of a machine and its devices as the service would, under the policy of all other callers. The case holds
 * the parts of the envelope, and the binding: without `devices` the evidence is that of the machine alone, without
 * `binding` nothing is known but the report data.
 */
export async function judgeComposite(input: CaseInput): Promise<Judgement> {
  const json = (role: string) => parseJson(roleOf(input, role))
  const { simulatedRoots, collateralFloors, tenantClass, at } = input
  try {
    const cpu = json('cpu')
    const evidence = evidenceShape(
      input.roles.has('devices') ? { kind: 'composite', cpu, devices: json('devices') } : cpu,
      'evidence',
    )
    const binding = input.roles.has('binding') ? bindingShape(json('binding'), 'binding') : undefined
    const result = await appraiseEvidence(
      evidence,
      { simulatedRoots, collateralFloors },
      {
        expectedReportData: binding ? reportDataOf(binding) : input.reportData!,
        binding,
        referenceValues: referenceValuesShape(json('referenceValues'), 'referenceValues'),
        tenantClass,
        at,
      },
    )
    const refused = result.checks.find((check) => check.status === 'contraindicated')
    return {
      crypto: result.failure === null ? 'pass' : 'fail',
      overall: refused ? 'fail' : 'pass',
      code: result.failure ?? refused?.id ?? null,
      parts: result.parts.length > 0 ? result.parts : [result as AttestationResult<PartEvidence>],
    }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { crypto: 'fail', overall: 'fail', code: error.code, parts: [] }
  }
}
