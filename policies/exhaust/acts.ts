import { conditionTerms } from '#policies/exhaust/asked.js'
import type { Term } from '#policies/language/tree.js'
import type { PolicySet } from '#policies/language/validate.js'
import { type Action, actions } from '#policies/language/vocabulary.js'

/** Acts that no rule tells apart. */
export type Acts = readonly Action[]

/** A release and a renewal: as one where every rule that asks for an act takes both, each by itself otherwise. */
export function actsOf(sets: readonly PolicySet[]): readonly Acts[] {
  const terms = sets.flatMap(({ policies }) => policies.flatMap(conditionTerms))
  return terms.some(tellsApart) ? actions.map((one) => [one]) : [actions]
}

function tellsApart(term: Term): boolean {
  if (term.op === 'part') return term.name === 'action'
  if (term.op === 'in' && term.left.op === 'part' && takesBoth(term.right)) return false
  if (term.op === 'set') return term.items.some(tellsApart)
  if (term.op === 'if') return [term.test, term.yes, term.no].some(tellsApart)
  if ('left' in term) return tellsApart(term.left) || tellsApart(term.right)
  return 'of' in term && term.op !== 'is' && tellsApart(term.of)
}

function takesBoth(term: Term): boolean {
  const ids = term.op === 'set' ? term.items.flatMap((one) => (one.op === 'entity' ? [one.id] : [])) : []
  return actions.every((one) => ids.includes(one))
}
