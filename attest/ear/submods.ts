import { deployedClaims } from '#attest/ear/deployed-claims.js'
import { type AnyClaims, type AttestationResult, check, trust } from '#attest/result.js'
import type { Json } from '#core/encoding/json.js'
import type { Check, EarPayload } from '#core/wire/ear.js'
import type { AnyEvidence, DeviceEvidence } from '#core/wire/evidence.js'

type Submod = EarPayload['submods']['cpu0']

/** One submod for each part: the machine, and of composite evidence each device. */
export function submodsOf(result: AttestationResult): EarPayload['submods'] {
  const [cpu, ...devices] = result.parts
  if (cpu === undefined) return { cpu0: submod(result, result.claims) }
  const named = devices.flatMap((part) => deviceSubmods(part as AttestationResult<DeviceEvidence>))
  return { cpu0: submod(cpu, cpu.claims), ...Object.fromEntries(named) }
}

/** Devices are judged together, so each has the verdict on all of them; its claims are its own. */
function deviceSubmods(part: AttestationResult<DeviceEvidence>): readonly (readonly [string, Submod])[] {
  const { claims } = part
  if (claims === null) return [['gpu0', submod(part, null)]]
  const counts = { gpu: 0, nvswitch: 0 }
  return claims.devices.map((device) => {
    const name = device.kind === 'switch' ? 'nvswitch' : 'gpu'
    return [`${name}${counts[name]++}`, submod(part, { ...claims, devices: [device] })]
  })
}

function submod(part: AttestationResult<AnyEvidence>, claims: AnyClaims | null): Submod {
  const { status, vector, policy } = part
  const annotated: Json = claims === null ? {} : deployedClaims(claims)
  return {
    'ear.status': status,
    ear_status: status,
    'ear.trustworthiness-vector': vector,
    ear_trustworthiness_vector: vector,
    'ear.appraisal-policy-id': policy,
    ear_appraisal_policy_ids: [policy],
    'ear.veraison.annotated-evidence': annotated,
    ear_veraison_annotated_evidence: annotated,
    claviger_claims: claims as unknown as Json,
    claviger_checks: [...part.checks, ...skippedSteps(part)],
  }
}

/**
 * Steps for which the evidence brought nothing, where the owner's values let it (`when-given`): no claim, and none of them is
 * a pass to whoever reads the token. After a failed verification the failure alone says all: what was not reached is no news.
 */
function skippedSteps({ failure, checks, steps }: AttestationResult<AnyEvidence>): readonly Check[] {
  if (failure !== null) return []
  const left = steps.filter(({ id, verdict }) => verdict === 'skip' && !checks.some((one) => one.id === id))
  return left.map(({ id, expected, found }) =>
    check(id, 'hardware', trust.noClaim, {
      expected,
      found: `skipped: ${found}`,
      fix: 'send what the step needs with the evidence',
    }),
  )
}
