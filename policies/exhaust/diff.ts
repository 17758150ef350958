import type { Bounds } from '#policies/exhaust/check.js'
import { type Found, Smallest, tryAll } from '#policies/exhaust/search.js'
import { spaceOf } from '#policies/exhaust/space.js'
import { type Judgement, judge } from '#policies/judge.js'
import type { PolicySet } from '#policies/language/validate.js'

/** A world whose verdict is another under the new policy. */
export type Changed = Found & {
  readonly now: 'allowed' | 'denied'
  /** rules of the old and of the new policy, or of code, that decided; none where nothing permitted */
  readonly before: readonly string[]
  readonly after: readonly string[]
}

export interface Difference {
  /** worlds that the rules tell apart, each for a release and for a renewal */
  readonly worlds: number
  /** how many of them were tried one by one; of each other one group of facts alone makes both policies deny it */
  readonly tried: number
  /** denied before, and allowed now; counted twice where some rule tells release and renewal apart and both are */
  readonly loosened: number
  /** allowed before, and denied now */
  readonly tightened: number
  /** the smallest of each first: those that are allowed now before those that are denied */
  readonly changed: readonly Changed[]
}

/**
 * Where two policies decide differently, among all worlds that the rules of both can tell apart. None is a proof that they
 * decide alike.
 *
 * throws  exhaust/worlds, exhaust/like, policy/engine
 */
export async function diffPolicies(before: PolicySet, after: PolicySet, bounds: Bounds): Promise<Difference> {
  const space = spaceOf([before, after], bounds.worldsMax, [before, after])
  const loosened = new Smallest<Omit<Changed, keyof Found>>(bounds.keep)
  const tightened = new Smallest<Omit<Changed, keyof Found>>(bounds.keep)
  await tryAll(
    space,
    (world, acts) => {
      const [old, now] = [judge(before, world.facts, acts[0]!), judge(after, world.facts, acts[0]!)]
      if (old.allow === now.allow) return
      const by = { before: rulesOf(old), after: rulesOf(now) }
      if (now.allow) loosened.add(world, acts, { now: 'allowed', ...by })
      else tightened.add(world, acts, { now: 'denied', ...by })
    },
    bounds.onTried,
  )
  return {
    worlds: space.count,
    tried: space.open,
    loosened: loosened.count,
    tightened: tightened.count,
    changed: [...loosened.all(), ...tightened.all()],
  }
}

function rulesOf({ builtIn, evaluation }: Judgement): readonly string[] {
  return [
    ...builtIn.map(({ id }) => id),
    ...evaluation.errors.map(({ policyId }) => policyId),
    ...evaluation.determining,
  ]
}
