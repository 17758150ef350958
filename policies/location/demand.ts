import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Grade } from '#policies/location/claims.js'
import type { LocationResult } from '#policies/location/grade.js'

/** Failures of asking more of a result than it says. */
export type DemandCode =
  /** a result for the union says nothing of a country in it, and one for a country nothing that the registry would not say */
  'location-demand/target' | 'location-demand/grade' | 'location-demand/expired' | 'location-demand/contradicted'

/**
 * Returns only when a result says of this target what is asked, now.
 *
 * throws  location-demand/contradicted, location-demand/target, location-demand/grade, location-demand/expired
 */
export function verifyGrade(result: LocationResult, target: string, gradeMin: Grade, at: UnixSeconds): void {
  if (result.contradicted)
    throw new Failure<DemandCode>('location-demand/contradicted', `where the node is said to be is contradicted`)
  if (result.target !== target)
    throw new Failure<DemandCode>('location-demand/target', `the grade is for ${result.target}, expected ${target}`)
  if (result.grade < gradeMin)
    throw new Failure<DemandCode>('location-demand/grade', `grade is L${result.grade}, expected L${gradeMin} or higher`)
  if (at >= result.expires)
    throw new Failure<DemandCode>('location-demand/expired', `grade L${result.grade} lasted until ${result.expires}`)
}
