import { submodsOf } from '#attest/ear/submods.js'
import type { AttestationResult } from '#attest/result.js'
import { element, type Piece } from '#console/islands/element.js'
import type { AnyEvidence, Evidence } from '#core/wire/evidence.js'
import { type TrustVector, tierOf, vectorNames } from '#core/wire/trust-vector.js'

type Result = AttestationResult<AnyEvidence>

const digestNames: Readonly<Record<keyof Result['digests'], string>> = {
  policy: 'policy',
  referenceValues: 'reference values',
  collateral: 'collateral',
  evidence: 'evidence',
}

const isOfMachine = (result: Result): result is AttestationResult<Evidence> => result.kind !== 'gpu'

function vectorText(vector: TrustVector): string {
  const said = vectorNames.filter((name) => vector[name] !== 0)
  return said.map((name) => `${name} ${vector[name]} (${tierOf(vector[name])})`).join(', ') || 'nothing claimed'
}

function part(name: string, status: string, vector: TrustVector): readonly Piece[] {
  return [
    element('dt', {}, element('code', {}, name)),
    element('dd', {}, element('strong', {}, status), `: ${vectorText(vector)}`),
  ]
}

/** What would have to come for this to be an EAR: a verifier that left nothing out, and its signature. */
function standing(result: Result): string {
  if (!isOfMachine(result))
    return 'Evidence of devices alone gets no EAR: it says nothing of the machine that asked them.'
  if (result.skipped.length > 0)
    return `Of this no verifier issues an EAR, since it was left out: ${result.skipped.join(', ')}.`
  return 'This page holds no key and signs nothing: a verifier that saw the same would issue an EAR with these parts.'
}

/** What an EAR of this result says: a submod for each part with its tier and vector, and the digests that it names. */
export function earSummary(result: Result): readonly Piece[] {
  const submods = isOfMachine(result)
    ? Object.entries(submodsOf(result)).map(
        ([name, one]) => [name, one.ear_status, one.ear_trustworthiness_vector] as const,
      )
    : [['devices', result.status, result.vector] as const]
  const digests = Object.entries(result.digests).flatMap(([name, digest]) => [
    element('dt', {}, `${digestNames[name as keyof Result['digests']]} digest`),
    element('dd', {}, element('code', { class: 'hex' }, digest)),
  ])
  return [
    element('h3', {}, 'Attestation result (EAR)'),
    element('p', {}, standing(result)),
    element(
      'dl',
      { class: 'ear' },
      element('dt', {}, 'status'),
      element(
        'dd',
        {},
        element('strong', {}, result.status),
        result.skipped.length > 0 ? ', of what was compared, which is not all' : '',
      ),
      element('dt', {}, 'platform'),
      element('dd', {}, result.platform === 'hardware' ? 'hardware' : `${result.platform}: NOT HARDWARE`),
      element('dt', {}, 'appraisal policy'),
      element('dd', {}, element('code', {}, result.policy)),
      ...submods.flatMap(([name, status, vector]) => part(name, status, vector as TrustVector)),
      ...digests,
    ),
  ]
}
