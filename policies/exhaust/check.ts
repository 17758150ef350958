import { Failure } from '#core/failure.js'
import type { ExhaustCode } from '#policies/exhaust/failures.js'
import { type Found, type OnTried, Smallest, tryAll } from '#policies/exhaust/search.js'
import { spaceOf } from '#policies/exhaust/space.js'
import { judge, requestOf } from '#policies/judge.js'
import { evaluate } from '#policies/language/cedar.js'
import type { PolicySet } from '#policies/language/validate.js'
import { releaseVocabulary } from '#policies/language/vocabulary.js'

/** How many worlds are tried, and how many of those that are found are kept. */
export interface Bounds {
  readonly worldsMax: number
  readonly keep: number
  readonly onTried?: OnTried | undefined
}

/** A world that is allowed and that an invariant refuses, or cannot be evaluated in. */
export type Counterexample = Found & { readonly allowedBy: readonly string[]; readonly why: 'refuses' | 'error' }

/** What became of one invariant. */
export interface Invariant {
  readonly id: string
  readonly explain: string | null
  readonly holds: boolean
  /** worlds in which it does not hold, counted twice where that is so of a release and of a renewal and some rule tells them apart */
  readonly broken: number
  /** the smallest of them first */
  readonly counterexamples: readonly Counterexample[]
}

export interface Checked {
  /** worlds that the rules tell apart, each for a release and for a renewal */
  readonly worlds: number
  /** how many of them were tried one by one; of each other one group of facts alone makes the policy deny it */
  readonly tried: number
  /** how many of them the policy allows, counted in the same way */
  readonly allowed: number
  readonly invariants: readonly Invariant[]
}

/**
 * Whether the policy allows nothing that an invariant refuses: a proof, for all worlds that the rules of both can tell
 * apart. An invariant holds where its `forbid`, added to the policy, would change no decision; so one that cannot be
 * evaluated in a world that is allowed does not hold there.
 *
 * invariants  read as a policy is, with `forbid` rules alone
 * throws      exhaust/invariant, exhaust/worlds, exhaust/like, policy/engine
 */
export async function checkInvariants(policy: PolicySet, invariants: PolicySet, bounds: Bounds): Promise<Checked> {
  const permit = invariants.policies.find(({ effect }) => effect === 'permit')
  if (permit !== undefined)
    throw new Failure<ExhaustCode>('exhaust/invariant', `invariant ${permit.id} is a permit`, {
      detail: { hint: 'an invariant is a forbid: it says what must never be released' },
    })
  const space = spaceOf([policy, invariants], bounds.worldsMax, [policy])
  const texts = () => Object.fromEntries(invariants.policies.map((one) => [one.id, one.text]))
  const found = new Map(
    invariants.policies.map(({ id }) => [id, new Smallest<Pick<Counterexample, 'allowedBy' | 'why'>>(bounds.keep)]),
  )
  let allowed = 0
  await tryAll(
    space,
    (world, acts) => {
      const judged = judge(policy, world.facts, acts[0]!)
      if (!judged.allow) return
      allowed++
      const allowedBy = judged.evaluation.determining
      const answer = evaluate(releaseVocabulary, invariants.digest, texts, requestOf(world.facts, acts[0]!))
      if ('wrong' in answer)
        throw new Failure('policy/engine', `the invariants were not evaluated: ${answer.wrong.message}`)
      for (const id of answer.determining) found.get(id)!.add(world, acts, { allowedBy, why: 'refuses' })
      for (const { policyId } of answer.errors) found.get(policyId)!.add(world, acts, { allowedBy, why: 'error' })
    },
    bounds.onTried,
  )
  return {
    worlds: space.count,
    tried: space.open,
    allowed,
    invariants: invariants.policies.map(({ id, explain }) => {
      const one = found.get(id)!
      return { id, explain, holds: one.count === 0, broken: one.count, counterexamples: one.all() }
    }),
  }
}
