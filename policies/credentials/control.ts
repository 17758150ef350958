import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { CredentialCode, CredentialOf } from '#policies/credentials/kinds.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { jurisdictionsOf } from '#policies/registry/resolve.js'

/** Who controls a company, seen from a group of countries. Counted here, since a policy cannot count. */
export interface Control {
  /** the group that counts as inside */
  readonly inside: string
  /** largest single share of a controller outside, hundredths of a percent */
  readonly maxOutsideBp: number
  /** all shares outside together, what nobody disclosed included */
  readonly sumOutsideBp: number
  /** whether anybody outside can veto */
  readonly outsideVeto: boolean
  /** of that, what is held by nobody whom the credential names */
  readonly sumUndisclosedBp: number
  /** countries of all controllers, sorted, each once */
  readonly countries: readonly string[]
  /** whether every controller is inside */
  readonly allInside: boolean
}

/**
 * The shares of controllers outside of a group. null when the controllers are not disclosed: nothing is known then.
 *
 * What is held by nobody whom the credential names counts as outside, in the sum and as one holder: it might be.
 * throws  credential/shares when they add up to more than the whole, registry/unknown for a country that is none
 */
export function controlOf(
  { claims }: CredentialOf<'operator-control'>,
  inside: string,
  registry: RegistryContent,
  at: UnixSeconds,
): Control | null {
  const { controllers } = claims
  if (controllers === undefined) return null
  const total = controllers.reduce((sum, { shareBp }) => sum + shareBp, 0)
  // Each share is rounded up, so that as many hundredths of a percent as there are holders may be too much.
  if (total > 10_000 + controllers.length)
    throw new Failure<CredentialCode>('credential/shares', `shares add up to ${total} of 10,000`)
  const isInside = (code: string) =>
    jurisdictionsOf(registry, { code, exclave: false, at, shown: [] }).codes.includes(inside)
  const outside = controllers.filter(({ country }) => !isInside(country))
  const undisclosed = Math.max(0, 10_000 - total)
  return {
    inside,
    maxOutsideBp: Math.max(undisclosed, ...outside.map(({ shareBp }) => shareBp)),
    sumOutsideBp: undisclosed + outside.reduce((sum, { shareBp }) => sum + shareBp, 0),
    outsideVeto: outside.some(({ veto }) => veto),
    sumUndisclosedBp: undisclosed,
    countries: [...new Set(controllers.map(({ country }) => country))].sort(),
    allInside: outside.length === 0 && undisclosed === 0,
  }
}

/** Certifications that still hold, as `scheme:level`, sorted; null when they are not disclosed. */
export function certificationsOf(
  { claims }: CredentialOf<'operator-control'>,
  at: UnixSeconds,
): readonly string[] | null {
  if (claims.certifications === undefined) return null
  return [
    ...new Set(claims.certifications.filter(({ exp }) => at < exp).map(({ scheme, level }) => `${scheme}:${level}`)),
  ].sort()
}
