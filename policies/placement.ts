import type { Term } from '#policies/language/tree.js'
import type { Policy, PolicySet } from '#policies/language/validate.js'

/** The least grade of a site that somebody independent of its operator vouches for, by the very platform. */
const independentGrade = 3

/**
 * Whether every release that this policy allows is to a platform which an independent party placed somewhere: it asks for
 * `context.site.grade >= 3`, in each permit or in a forbid that nothing waives. A policy that asks for it in another way than
 * by comparing the grade is not seen to: the answer is then no.
 *
 * source  ../TRUST.md 21; docs/spec/location.md, grades
 */
export function asksForPlacement({ policies }: PolicySet): boolean {
  const permits = policies.filter(({ effect }) => effect === 'permit')
  return permits.every(permitAsks) || policies.some(forbidAsks)
}

/** A permit is satisfied where all its clauses are. */
const permitAsks = ({ clauses }: Policy) => clauses.some(({ kind, term }) => implies(term, kind === 'when'))

/** A forbid about everything stands in the way unless one of its clauses fails, and an absent grade is an error, which denies. */
const forbidAsks = ({ effect, breakGlass, head, clauses }: Policy) =>
  effect === 'forbid' &&
  !breakGlass &&
  head.length === 0 &&
  clauses.length > 0 &&
  clauses.every(({ kind, term }) => implies(term, kind === 'unless'))

/** Whether a term that comes out as `value`, without an error, shows that the grade is as high. */
function implies(term: Term, value: boolean): boolean {
  if (term.op === 'not') return implies(term.of, !value)
  if (term.op === '&&' || term.op === '||') {
    const sides = [implies(term.left, value), implies(term.right, value)]
    // Both sides have the value of an `&&` that is true or an `||` that is false; of the others one side has it.
    return (term.op === '&&') === value ? sides.some(Boolean) : sides.every(Boolean)
  }
  return 'left' in term && leastGrade(term, value) >= independentGrade
}

const mirrored: Readonly<Record<string, string>> = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
}
const contrary: Readonly<Record<string, string>> = {
  '<': '>=',
  '<=': '>',
  '>': '<=',
  '>=': '<',
  '==': '!=',
  '!=': '==',
}

/** The least grade with which a comparison has this value; 0 where it says nothing of it. */
function leastGrade({ op, left, right }: Extract<Term, { left: Term }>, value: boolean): number {
  const isGrade = (term: Term) => term.op === 'fact' && term.path === 'site.grade'
  const [other, written] = isGrade(left) ? [right, op] : isGrade(right) ? [left, mirrored[op]] : [undefined, undefined]
  if (other?.op !== 'value' || typeof other.value !== 'number' || written === undefined) return 0
  const asked = value ? written : contrary[written]
  if (asked === '>=' || asked === '==') return other.value
  return asked === '>' ? other.value + 1 : 0
}
