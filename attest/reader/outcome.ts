import { everyStepPassed } from '#attest/examine.js'
import type { FoundEvidence } from '#attest/reader/beside.js'
import { kindsWithNonce } from '#attest/reader/typed.js'
import type { Provenance } from '#attest/reference/provenance.js'
import type { AttestationResult } from '#attest/result.js'
import { formatTime } from '#core/time.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

type Result = AttestationResult<AnyEvidence>

/** The verdict in one line, as every surface words it. */
export interface Outcome {
  readonly word: string
  readonly colour: 'green' | 'yellow' | 'red'
  /** the reader may rely on it: every step passed, on hardware or on what the reader allowed to be simulated */
  readonly accepted: boolean
}

/** allowSimulated  the reader said so, with `--dangerous-allow-simulated`: NOT HARDWARE all the same */
export function outcomeOf(result: Result, allowSimulated: boolean): Outcome {
  const failed = result.steps.filter((step) => step.verdict === 'fail').length
  const skipped = result.steps.filter((step) => step.verdict === 'skip').map((step) => step.id)
  const warnings = result.steps.filter((step) => step.warning).length
  const simulated = result.platform === 'simulated'
  const against = failed > 0 || result.platform === 'unverified' || !['affirming', 'warning'].includes(result.status)
  if (against)
    return { word: `NOT VERIFIED: ${failed} ${failed === 1 ? 'step' : 'steps'} failed`, colour: 'red', accepted: false }
  const kind = simulated ? 'SIMULATED: NOT HARDWARE' : 'VERIFIED'
  if (!everyStepPassed(result))
    return {
      word: `${simulated ? `${kind}, ` : ''}PARTLY VERIFIED: skipped ${skipped.join(', ')}`,
      colour: 'yellow',
      accepted: false,
    }
  if (simulated) return { word: kind, colour: 'yellow', accepted: allowSimulated }
  return warnings === 0
    ? { word: kind, colour: 'green', accepted: true }
    : { word: `${kind}, with ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`, colour: 'yellow', accepted: true }
}

/** Who vouches for the reference values, in words. */
export function vouchedBy({ source, publisher, signedAt, digest }: Provenance): string {
  const when = signedAt === null ? '' : ` at ${formatTime(signedAt)}`
  return `reference values vouched for by ${publisher} (${source})${when}, document ${digest}`
}

/** Verdict and trace as one document: what `--json` prints, and what the console saves. */
export function verdictDocument(
  { recognised, notes }: Pick<FoundEvidence, 'recognised' | 'notes'>,
  provenance: Provenance | null,
  result: Result,
  { word, accepted }: Outcome,
) {
  const { kind, platform, status, failure, skipped, at, policy, digests, signatures, steps, claims } = result
  return {
    verdict: word,
    accepted,
    hardware: platform === 'hardware',
    complete: everyStepPassed(result),
    form: recognised.form,
    kind,
    notes,
    referenceValues: provenance,
    at,
    platform,
    status,
    failure,
    skipped,
    policy,
    digests,
    signatures,
    steps,
    claims,
  }
}

/** What the reader could add so that less is left out, by the options of the command. */
export function hintsFor(result: Result, accepted: boolean, allowSimulated: boolean): readonly string[] {
  if (result.platform === 'unverified') return []
  const skipped = (id: string) => result.steps.some((step) => step.id === id && step.verdict === 'skip')
  const name = kindsWithNonce.includes(result.kind) ? 'nonce' : 'report-data'
  const hints: string[] = []
  if (skipped('devices-digest'))
    hints.push('add --binding FILE: without it nothing says whether these devices work with this machine')
  else if (skipped('report-data'))
    hints.push(`add --${name} HEX: without it this may be the evidence of another time or key`)
  if (skipped('reference-values'))
    hints.push('add --reference-values FILE: without it nothing says whether what runs there is what you expect')
  if (result.platform === 'simulated' && !accepted && !allowSimulated)
    hints.push('add --dangerous-allow-simulated to accept simulated evidence, for development only')
  return hints
}
