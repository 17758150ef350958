import { fixes, type VerificationCode } from '#attest/fixes.js'
import { shown } from '#attest/result.js'
import { catalogue } from '#attest/steps.js'
import { foundText, type Step, type Trace, type TracedStep } from '#attest/trace.js'
import { assert } from '#core/assert.js'
import type { Failure } from '#core/failure.js'
import type { Check } from '#core/wire/ear.js'
import type { PartEvidence } from '#core/wire/evidence.js'

/** What a verification has told of itself so far. */
export interface Told {
  readonly id: string
  readonly found: string
  readonly verdict: 'pass' | 'skip'
}

/** A trace that keeps what it is told. */
export function recorder(): { readonly trace: Trace; readonly told: readonly Told[] } {
  const told: Told[] = []
  return {
    told,
    trace: (id, found, verdict) => void told.push({ id, found: foundText(found), verdict: verdict ?? 'pass' }),
  }
}

function line(step: Step, outcome: Partial<TracedStep> & Pick<TracedStep, 'verdict' | 'found'>): TracedStep {
  const { id, document, section, expected } = step
  const { found, ...rest } = outcome
  return { id, document, section, expected, warning: false, code: null, hint: '', ...rest, found: shown(found) }
}

/**
 * The steps of a verification, all of them and in order: those it told of, then the one that failed, then those that
 * were not reached. Without a failure a step of which nothing was told is a skip too: silence is no pass.
 *
 * failure  what ended the verification, or null
 */
export function tracedVerification(
  kind: PartEvidence['kind'],
  told: readonly Told[],
  failure: Failure | null,
): readonly TracedStep[] {
  const { steps } = catalogue[kind]
  const known = new Map(told.map((one) => [one.id, one]))
  for (const { id } of told)
    assert(
      steps.some((step) => step.id === id),
      `step ${id} is not in the catalogue of ${kind}`,
    )
  const last = steps.findLastIndex((step) => known.has(step.id))
  const failedAt = failure === null ? -1 : Math.min(last + 1, steps.length - 1)
  return steps.map((step, i) => {
    if (failure !== null && i === failedAt) return failed(step, failure)
    if (failure !== null && i > failedAt) return notReached(step, steps[failedAt]!.id)
    const one = known.get(step.id)
    if (one?.verdict === 'pass') return line(step, { verdict: 'pass', found: one.found })
    if (one !== undefined) return line(step, { verdict: 'skip', found: one.found || step.without || 'no input' })
    return line(step, { verdict: 'skip', found: step.without ?? 'the evidence came without the input of this step' })
  })
}

function failed(step: Step, failure: Failure): TracedStep {
  const hint = fixes[failure.code as VerificationCode] ?? 'send the evidence again unchanged'
  return line(step, { verdict: 'fail', found: failure.message, code: failure.code, hint })
}

function notReached(step: Step, by: string): TracedStep {
  return line(step, { verdict: 'skip', found: `not reached: ${by} failed` })
}

/**
 * The comparisons of an appraisal, in order: what was compared with and what was found come from the comparison itself.
 * Comparisons that the owner's reference values ask for nothing in are not among them.
 *
 * skipped  ids that were left out by name, each with the reason
 */
export function tracedChecks(
  kind: PartEvidence['kind'],
  checks: readonly Check[],
  skipped: readonly (readonly [id: string, reason: string])[] = [],
): readonly TracedStep[] {
  const stepOf = (id: string): Step => {
    const step = catalogue[kind].checks.find((one) => one.id === id)
    assert(step !== undefined, `comparison ${id} is not in the catalogue of ${kind}`)
    return step
  }
  const verdictOf = { affirming: 'pass', warning: 'pass', contraindicated: 'fail', none: 'skip' } as const
  return [
    ...checks.map((check) =>
      line(
        { ...stepOf(check.id), expected: check.expected },
        {
          verdict: verdictOf[check.status],
          found: check.found,
          warning: check.status === 'warning',
          hint: check.fix,
        },
      ),
    ),
    ...skipped.map(([id, reason]) => line(stepOf(id), { verdict: 'skip', found: reason })),
  ]
}

/** After a failed verification nothing is compared: every comparison of the kind is a skip. */
export function tracedUnappraised(kind: PartEvidence['kind'], steps: readonly TracedStep[]): readonly TracedStep[] {
  const by = steps.find((step) => step.verdict === 'fail')
  assert(by !== undefined, 'a verification that failed has a step that failed')
  return catalogue[kind].checks.map((step) => notReached(step, by.id))
}
