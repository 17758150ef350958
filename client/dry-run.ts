import { appraiseEvidence } from '#attest/appraise.js'
import type { AttestationResult } from '#attest/result.js'
import { judged } from '#client/steps.js'
import { bundleSteps, type VerifiedBundle, verifyBundle } from '#client/verify-bundle.js'
import type { Json } from '#core/encoding/json.js'
import type { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { Reason } from '#core/wire/release.js'
import type { Trust } from '#core/wire/trust-file.js'
import { explainFor } from '#policies/disclose.js'
import type { Borders } from '#policies/location/borders.js'
import { judgeUnder } from '#policies/release/judge.js'

/** What is tried in place of what stood. */
export interface Tried {
  readonly policy?: string | undefined
  readonly values?: ReferenceValues | undefined
}

/** What a logged decision would have been. */
export interface Tryout {
  readonly entry: number
  readonly at: UnixSeconds
  readonly kind: 'release' | 'renewal' | 'denial'
  readonly was: 'allow' | 'deny'
  readonly would: 'allow' | 'deny'
  /** why it was denied, and why it would be; as the owner may read them */
  readonly before: readonly string[]
  readonly reasons: readonly Reason[]
}

/**
 * What the decision in a bundle would have been under another policy or other reference values, all else as it was: same
 * request, evidence, time and other statements. The bundle is judged first, by the reader's own trust file, and what does not
 * verify is tried by nothing.
 *
 * borders  the map, for decisions that rest on round trips of landmarks
 */
export async function tryBundle(
  file: Json,
  trust: Trust,
  tried: Tried,
  borders: Borders,
): Promise<{ readonly ok: true; readonly tryout: Tryout } | { readonly ok: false; readonly failure: Failure }> {
  const verdict = await judged(bundleSteps, (steps) => verifyBundle(file, trust, steps, borders))
  if (!verdict.ok) return { ok: false, failure: verdict.failure }
  return { ok: true, tryout: await tryOne(verdict.value, trust, tried, borders) }
}

async function tryOne(found: VerifiedBundle, trust: Trust, tried: Tried, borders: Borders): Promise<Tryout> {
  const { bundle, entry, inclusion, verdict } = found
  const { policy, referenceValues } = verdict.statements
  const statements = {
    ...verdict.statements,
    policy: { ...policy, value: { ...policy.value, text: tried.policy ?? policy.value.text } },
    referenceValues: {
      ...referenceValues,
      value: { ...referenceValues.value, values: tried.values ?? referenceValues.value.values },
    },
  }
  const { request, at } = bundle
  const { audience, nonce } = request.binding
  const again = await judgeUnder<AttestationResult>(
    statements,
    { request, broker: audience, nonce, at },
    {
      borders,
      appraise: (evidence, anchors, input) => {
        const simulatedRoots = anchors.simulatedRoots.filter((root) => trust.simulatedRoots.includes(root))
        return appraiseEvidence(evidence, { simulatedRoots, collateralFloors: trust.collateralFloors }, input)
      },
    },
  )
  const was = entry.kind === 'denial' ? 'deny' : 'allow'
  const before = entry.kind === 'denial' ? entry.reasons : []
  const place = { entry: inclusion.index, at, kind: entry.kind, was, before } as const
  if (again.stage === 'refused') {
    const none = { law: null, expected: null, actual: null }
    const reason: Reason = { id: again.code, effect: 'code', explain: again.message, remedy: again.fix, ...none }
    return { ...place, would: 'deny', reasons: [reason] }
  }
  // What the broker counted, as nodes and leases, is not in a policy: such a denial stays one.
  const counted = was === 'deny' && verdict.allow
  const { reasons } = explainFor('owner', again.decision)
  return { ...place, would: again.allow && !counted ? 'allow' : 'deny', reasons: counted ? [] : reasons }
}
