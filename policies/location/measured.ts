import type { TargetArea } from '#policies/location/area.js'
import type { LandmarkMeasurement, Subject } from '#policies/location/claims.js'
import type { Land } from '#policies/location/land.js'
import { type AreaVerdict, judgeArea } from '#policies/location/prove.js'
import type { Cap } from '#policies/location/usable.js'

/** How much agreement a proof by landmarks needs. */
export interface LandmarkRules {
  /** companies that run landmarks, other than the node's: never fewer than two, whatever is asked */
  readonly operatorsMin: number
  /** with the landmarks of any so many of them away the target is still proved: so many may lie */
  readonly liarsTolerated: 0 | 1
}
/** Three companies, of which one may lie about times, or stand elsewhere than its landmark's row says. */
export const landmarkRules: LandmarkRules = { operatorsMin: 3, liarsTolerated: 1 }

export interface MeasuredProof {
  readonly radiusKm: number
  /** the measurements that count */
  readonly used: readonly LandmarkMeasurement[]
}

/** One measurement a landmark's key: the quickest, since light can be late and never early. */
function oncePerRoot(measurements: readonly LandmarkMeasurement[]): readonly LandmarkMeasurement[] {
  const byRoot = new Map<string, LandmarkMeasurement>()
  for (const one of measurements) {
    const before = byRoot.get(one.rootKey)
    if (before === undefined || one.rttNs < before.rttNs) byRoot.set(one.rootKey, one)
  }
  return [...byRoot.values()]
}

/**
 * Whether round trips prove a target, by landmarks that nobody under test controls; else why not.
 *
 * trusts  that every receipt was verified, and by a directory that the reader believes
 */
export function measuredProof(
  map: readonly Land[],
  area: TargetArea,
  measurements: readonly LandmarkMeasurement[],
  subject: Subject,
  rules: LandmarkRules,
): MeasuredProof | readonly Cap[] {
  if (measurements.length === 0) return [{ code: 'location/no-measurement', about: area.code }]
  const caps: Cap[] = []
  // Whoever runs the node does not witness for it; nobody is independent of an operator whom nobody knows.
  const independent = oncePerRoot(measurements).filter((one) => {
    const isFree = subject.operator !== null && one.operator !== subject.operator
    if (!isFree) caps.push({ code: 'location/not-independent', about: `landmark ${one.landmark}` })
    return isFree
  })
  const operators = [...new Set(independent.map(({ operator }) => operator))]
  const needed = Math.max(2, rules.operatorsMin)
  if (operators.length < needed)
    return [...caps, { code: 'location/landmark-operators', about: `${operators.length} of ${needed}` }]
  const whole = judgeArea(map, area, independent)
  if (whole.verdict !== 'proved') return [...caps, { code: 'location/not-proved', about: area.code }]
  if (rules.liarsTolerated > 0) {
    const decisive = operators.find(
      (liar) =>
        judgeArea(
          map,
          area,
          independent.filter(({ operator }) => operator !== liar),
        ).verdict !== 'proved',
    )
    if (decisive !== undefined) return [...caps, { code: 'location/landmark-decides', about: decisive }]
  }
  return { radiusKm: whole.radiusKm, used: independent }
}

/** Which part of a refutation it is, where measurements refute an area. */
export function refutation(map: readonly Land[], area: TargetArea, measurements: readonly LandmarkMeasurement[]) {
  const found: AreaVerdict = judgeArea(map, area, measurements)
  return found.verdict === 'refuted' ? found.because : null
}
