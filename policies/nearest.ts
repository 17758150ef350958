import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { expectationsOf, factAt } from '#policies/explain.js'
import { type Facts, parseFacts } from '#policies/facts.js'
import { judge } from '#policies/judge.js'
import type { Term } from '#policies/language/tree.js'
import type { Policy, PolicySet } from '#policies/language/validate.js'
import { type Action, factWord } from '#policies/language/vocabulary.js'

type Value = string | number | boolean
/** One fact that would have to be otherwise. */
export interface Change {
  /** path below `context` */
  readonly fact: string
  /** null when it is not stated */
  readonly from: Json
  readonly to: Value
}

// Bounds of the search: each round asks Cedar once.
const permitsMax = 8
const roundsMax = 4

/**
 * The fewest facts found whose change turns a denial into a release; null when none was found.
 *
 * Every proposal is decided again, by code and by Cedar, before it is returned: what it says would allow does allow.
 * It is a search through the rules as written, not a proof that nothing smaller exists.
 *
 * throws  policy/engine
 */
export function nearestChange(set: PolicySet, facts: Facts, action: Action): readonly Change[] | null {
  const permits = set.policies.filter(({ effect }) => effect === 'permit').slice(0, permitsMax)
  const found = permits.flatMap((permit) => {
    const edits = pursue(set, permit, facts, action)
    return edits ? [changesOf(edits, facts)] : []
  })
  found.sort((a, b) => a.length - b.length)
  return found[0] ?? null
}

function changesOf(edits: ReadonlyMap<string, Value>, facts: Facts): readonly Change[] {
  const paths = [...edits.keys()]
  // Whoever states the country of a place states a place: the flag beside it is no change of its own.
  const implied = (path: string) =>
    path.endsWith('.stated') && paths.some((other) => other !== path && other.startsWith(path.replace('stated', '')))
  return paths
    .filter((path) => !implied(path))
    .map((fact) => ({ fact, from: (factAt(facts, fact) ?? null) as Json, to: edits.get(fact)! }))
}

/** Edits under which the set allows, by way of this permit. */
function pursue(set: PolicySet, permit: Policy, facts: Facts, action: Action): ReadonlyMap<string, Value> | null {
  const made = new Map<string, Value>()
  let state = facts
  for (let round = 0; ; round++) {
    const judged = judge(set, state, action)
    if (judged.allow) return made
    if (round === roundsMax) return null
    const { determining, errors } = judged.evaluation
    const inTheWay = new Set([...errors.map((one) => one.policyId), ...determining])
    const rules = set.policies.filter((one) => one === permit || (one.effect === 'forbid' && inTheWay.has(one.id)))
    const edits: Edit[] = judged.builtIn.map(({ fact, wanted }) => [fact, wanted])
    for (const rule of rules) {
      for (const { term } of expectationsOf(rule)) {
        const needed = editsFor(term, true, state)
        if (needed === null) return null
        edits.push(...needed)
      }
    }
    const next = apply(state, edits)
    if (next === null || edits.length === 0) return null
    for (const [path, value] of edits) made.set(path, value)
    state = next
  }
}

type Edit = readonly [path: string, value: Value]

/** Values of facts that make a term come out as wanted: none when it does already, null when no way is known. */
function editsFor(term: Term, want: boolean, facts: Facts): readonly Edit[] | null {
  if (termValue(term, facts) === want) return []
  if (term.op === 'not') return editsFor(term.of, !want, facts)
  if (term.op === 'fact') return [[term.path, want]]
  if (term.op === '&&' || term.op === '||') {
    const left = editsFor(term.left, want, facts)
    const right = editsFor(term.right, want, facts)
    const needsBoth = (term.op === '&&') === want
    if (needsBoth) return left && right && [...left, ...right]
    if (!left || !right) return left ?? right
    return right.length < left.length ? right : left
  }
  if (term.op === 'contains') return want ? editsToContain(term.left, term.right) : null
  return 'left' in term ? editsToCompare(term, want) : null
}

function editsToContain(set: Term, item: Term): readonly Edit[] | null {
  const first = set.op === 'set' ? set.items[0] : undefined
  return item.op === 'fact' && first?.op === 'value' ? [[item.path, first.value]] : null
}

const contrary = { '==': '!=', '!=': '==', '<': '>=', '>=': '<', '>': '<=', '<=': '>' } as const
const mirrored = { '==': '==', '!=': '!=', '<': '>', '>': '<', '<=': '>=', '>=': '<=' } as const

function editsToCompare(term: Extract<Term, { left: Term }>, want: boolean): readonly Edit[] | null {
  if (!(term.op in contrary)) return null
  const written = term.op as keyof typeof contrary
  const asked = want ? written : contrary[written]
  const [fact, value] = term.left.op === 'fact' ? [term.left, term.right] : [term.right, term.left]
  if (fact.op !== 'fact' || value.op !== 'value') return null
  const op = fact === term.left ? asked : mirrored[asked]
  const literal = value.value
  if (op === '==' || ((op === '<=' || op === '>=') && typeof literal === 'number')) return [[fact.path, literal]]
  if (op === '!=') {
    const other = otherThan(fact.path, literal)
    return other === undefined ? null : [[fact.path, other]]
  }
  return typeof literal === 'number' ? [[fact.path, literal + (op === '<' ? -1 : 1)]] : null
}

function otherThan(path: string, value: Value): Value | undefined {
  if (typeof value === 'boolean') return !value
  const domain = factWord(path)?.domain
  return Array.isArray(domain) ? domain.find((one) => one !== value) : undefined
}

/** What a term is under facts; undefined when it reads an absent fact or is beyond this search. */
function termValue(term: Term, facts: Facts): unknown {
  if (term.op === 'value') return term.value
  if (term.op === 'fact') return factAt(facts, term.path)
  if (term.op === 'not') return negated(termValue(term.of, facts))
  if (term.op === '&&' || term.op === '||') {
    const stops = term.op === '||'
    const left = termValue(term.left, facts)
    return left === !stops ? termValue(term.right, facts) : left
  }
  if (term.op === 'contains' && term.left.op === 'set') {
    const item = termValue(term.right, facts)
    return item === undefined ? undefined : term.left.items.some((one) => one.op === 'value' && one.value === item)
  }
  return 'left' in term ? compared(term.op, termValue(term.left, facts), termValue(term.right, facts)) : undefined
}

function negated(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? !value : undefined
}

function compared(op: string, left: unknown, right: unknown): boolean | undefined {
  if (left === undefined || right === undefined) return undefined
  if (op === '==') return left === right
  if (op === '!=') return left !== right
  if (typeof left !== 'number' || typeof right !== 'number') return undefined
  if (op === '<') return left < right
  if (op === '<=') return left <= right
  if (op === '>') return left > right
  return op === '>=' ? left >= right : undefined
}

// A node cannot have another of these: where they refuse, nothing it does helps.
const fixed = ['time', 'model', 'node', 'tenant']

// What else a statement says when one comes to be: enough to decide, and none of it is shown as a change.
const statement = { stated: true, basis: 'declared', grade: 0, issuer: 'A'.repeat(43), ageSeconds: 0 }
const becomes: Readonly<Record<string, object>> = {
  place: { ...statement, country: 'AQ' },
  operator: { ...statement, country: 'AQ', name: 'Example' },
  purpose: { stated: true, name: 'example' },
}

/** Facts with edits made; null when they would not be facts. */
function apply(facts: Facts, edits: readonly Edit[]): Facts | null {
  const out = structuredClone(facts) as unknown as Record<string, Record<string, unknown>>
  for (const [path, value] of edits) {
    const names = path.split('.')
    const group = names[0]!
    if (fixed.includes(group)) return null
    if (group in becomes && out[group]?.stated === false && value !== false) out[group] = { ...becomes[group] }
    let at = out as Record<string, unknown>
    for (const name of names.slice(0, -1)) at = at[name] as Record<string, unknown>
    at[names.at(-1)!] = value
  }
  try {
    return parseFacts(out as unknown as Json)
  } catch (error) {
    // Facts that cannot be, such as a grade that nothing founds yet, are no way out: the search ends here.
    if (isFailure(error)) return null
    throw error
  }
}
