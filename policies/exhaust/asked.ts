import { Failure } from '#core/failure.js'
import type { ExhaustCode } from '#policies/exhaust/failures.js'
import { type Term, termOf } from '#policies/language/tree.js'
import type { Policy, PolicySet } from '#policies/language/validate.js'
import { releaseVocabulary } from '#policies/language/vocabulary.js'

/** One fact that rules read, with what they compare it with. */
export interface Asked {
  readonly path: string
  /** literals that it is compared with, directly or by way of a fact that it is compared with */
  readonly values: ReadonlySet<string | number | boolean>
  /** facts that are compared with one another, this one included: as many values beside the literals tell them apart */
  readonly peers: ReadonlySet<string>
}

/** Facts that are compared with each other share their literals: they are one class. */
interface Class {
  readonly paths: Set<string>
  readonly values: Set<string | number | boolean>
}

const parts = { principal: 'node.keysetDigest', resource: 'model.id' } as const

/**
 * Every fact that these policies read, by path in order of appearance.
 *
 * A rule of this language only compares facts with literals and with one another. So whether it holds depends on nothing
 * of a fact but which of these literals it is, or contains, or lies between.
 *
 * throws  exhaust/like
 */
export function askedOf(sets: readonly PolicySet[]): readonly Asked[] {
  const classes = new Map<string, Class>()
  const classOf = (path: string): Class => {
    const found = classes.get(path)
    if (found !== undefined) return found
    const made = { paths: new Set([path]), values: new Set<string | number | boolean>() }
    classes.set(path, made)
    return made
  }
  const link = (terms: readonly Term[]) => {
    const [first, ...others] = terms.flatMap((term) => pathOf(term) ?? []).map(classOf)
    if (first === undefined) return
    for (const one of others) join(classes, first, one)
    for (const term of terms) if (term.op === 'value') first.values.add(term.value)
    for (const term of terms) if (term.op === 'entity') first.values.add(term.id)
  }
  // Sets of which a rule asks what else is in them.
  const wholes = new Set<string>()
  const visit = (term: Term): void => {
    for (const one of wholesOf(term)) if (one.op === 'fact') wholes.add(one.path)
    if (term.op === 'like') throw patternFailure()
    if (term.op === 'not') visit(term.of)
    else if (term.op === 'if') for (const one of [term.test, term.yes, term.no]) visit(one)
    else if (term.op === '&&' || term.op === '||') for (const one of [term.left, term.right]) visit(one)
    else if ('left' in term) link([...leavesOf(term.left, visit), ...leavesOf(term.right, visit)])
    else link(leavesOf(term.op === 'isEmpty' ? term.of : term, visit))
  }
  for (const set of sets) for (const policy of set.policies) for (const term of conditionTerms(policy)) visit(term)
  // An area lies in its country: whoever asks about both tells countries apart by areas too.
  const area = classes.get('site.area')
  if (area !== undefined && classes.has('site.country')) {
    for (const one of [...area.values]) if (typeof one === 'string') area.values.add(one.slice(0, 2))
    join(classes, area, classOf('site.country'))
  }
  for (const [set, member] of Object.entries(alwaysIn))
    if (wholes.has(set) || (classes.get(set)?.paths.size ?? 0) > 1) join(classes, classOf(set), classOf(member))
  return [...classes].map(([path, { paths, values }]) => ({ path, values, peers: paths }))
}

/** A place is among its own jurisdictions, and what was launched among all that is measured: no such set is without it. */
const alwaysIn = {
  'site.jurisdictions': 'site.area',
  'company.jurisdictions': 'company.seat',
  'evidence.measurements': 'evidence.measurement',
} as const

/** Operands that are compared as wholes: other elements count, beside those that a rule names. */
function wholesOf(term: Term): readonly Term[] {
  if (term.op === 'isEmpty') return [term.of]
  if (term.op === '==' || term.op === '!=') return [term.left, term.right]
  return term.op === 'containsAll' ? [term.right] : []
}

/** The conditions of a rule: those of its head, and its clauses. */
export function conditionTerms({ head, clauses }: Policy): readonly Term[] {
  return [...head.map((one) => termOf(one, releaseVocabulary)), ...clauses.map(({ term }) => term)]
}

function join(classes: Map<string, Class>, into: Class, other: Class): void {
  if (into === other) return
  for (const value of other.values) into.values.add(value)
  for (const path of other.paths) {
    into.paths.add(path)
    classes.set(path, into)
  }
}

/** The facts and literals of an operand. What is a condition of its own in it is visited as one. */
function leavesOf(term: Term, visit: (condition: Term) => void): readonly Term[] {
  if (term.op === 'set') return term.items.flatMap((one) => leavesOf(one, visit))
  if (term.op === 'if') {
    visit(term.test)
    return [...leavesOf(term.yes, visit), ...leavesOf(term.no, visit)]
  }
  if (['fact', 'value', 'entity', 'part'].includes(term.op)) return [term]
  if (term.op !== 'is') visit(term)
  return []
}

/** Who asks and what for are facts too: the keys of the node, and the model. Both acts are always tried. */
function pathOf(term: Term): string | null {
  if (term.op === 'fact') return term.path
  return term.op === 'part' && term.name !== 'action' ? parts[term.name] : null
}

function patternFailure(): Failure<ExhaustCode> {
  return new Failure<ExhaustCode>('exhaust/like', 'a rule compares with a pattern, and its matches cannot be listed', {
    detail: { hint: 'write the texts that are meant, as ["a", "b"].contains(context.company.name)' },
  })
}
