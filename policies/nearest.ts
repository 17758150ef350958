import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { becomes } from '#policies/becoming.js'
import { expectationsOf, factAt } from '#policies/explain.js'
import { type Facts, parseFacts } from '#policies/facts.js'
import { type Judgement, judge } from '#policies/judge.js'
import type { Term } from '#policies/language/tree.js'
import type { Policy, PolicySet } from '#policies/language/validate.js'
import { type Action, factWord } from '#policies/language/vocabulary.js'

/** One fact that would have to be otherwise. */
export interface Change {
  /** path below `context` */
  readonly fact: string
  /** null when it is not stated */
  readonly from: Json
  /** a value with which the whole set allows */
  readonly to: string | number | boolean | readonly string[]
  /** what the rule asks for, in words: `one of "DE", "FR"` */
  readonly wanted: string
}

/** A value for a fact, and what it was chosen from. */
interface Edit {
  readonly path: string
  readonly value: Change['to']
  readonly wanted: string
}

/** Facts as a rule sees them. */
interface Situation {
  readonly facts: Facts
  readonly action: Action
}

// Bounds of the search: each round but the first of each asks Cedar once.
const permitsMax = 8
const roundsMax = 4

/**
 * The fewest facts found whose change turns a denial into a release; null when none was found.
 *
 * Every proposal is decided again, by code and by Cedar, before it is returned: what it says would allow does allow.
 * It is a search through the rules as written, not a proof that nothing smaller exists.
 *
 * judged  what these facts were judged as
 * throws  policy/engine
 */
export function nearestChange(
  set: PolicySet,
  facts: Facts,
  action: Action,
  judged: Judgement,
): readonly Change[] | null {
  const permits = set.policies.filter(({ effect }) => effect === 'permit').slice(0, permitsMax)
  const found = permits.flatMap((permit) => {
    const edits = pursue(set, permit, { facts, action }, judged)
    return edits ? [changesOf(edits, facts)] : []
  })
  found.sort((a, b) => a.length - b.length)
  return found[0] ?? null
}

function changesOf(edits: readonly Edit[], facts: Facts): readonly Change[] {
  const last = new Map(edits.map((edit) => [edit.path, edit]))
  // Whoever states the country of a place states a place: the flag beside it is no change of its own.
  const implied = ({ path }: Edit) =>
    /\.(stated|proven)$/.test(path) &&
    [...last.keys()].some((other) => other !== path && other.startsWith(groupOf(path)))
  return [...last.values()]
    .filter((edit) => !implied(edit))
    .map(({ path, value, wanted }) => ({ fact: path, from: (factAt(facts, path) ?? null) as Json, to: value, wanted }))
}

/** `place.` of `place.stated`. */
function groupOf(path: string): string {
  return path.slice(0, path.indexOf('.') + 1)
}

/** Edits under which the set allows, by way of this permit. */
function pursue(set: PolicySet, permit: Policy, start: Situation, first: Judgement): readonly Edit[] | null {
  const made: Edit[] = []
  let now = start
  for (let round = 0; ; round++) {
    const judged = round === 0 ? first : judge(set, now.facts, now.action)
    if (judged.allow) return made
    if (round === roundsMax) return null
    const { determining, errors } = judged.evaluation
    const inTheWay = new Set([...errors.map((one) => one.policyId), ...determining])
    const rules = set.policies.filter((one) => one === permit || (one.effect === 'forbid' && inTheWay.has(one.id)))
    const edits = judged.builtIn.map(({ fact, wanted }) => exactly(fact, wanted))
    for (const { term } of rules.flatMap(expectationsOf)) {
      const needed = editsFor(term, true, now)
      if (needed === null) return null
      edits.push(...needed)
    }
    const next = apply(now.facts, edits)
    if (next === null || edits.length === 0) return null
    made.push(...edits)
    now = { ...now, facts: next }
  }
}

function exactly(path: string, value: Change['to']): Edit {
  return { path, value, wanted: JSON.stringify(value) }
}

/** Values of facts that make a term come out as wanted: none when it does already, null when no way is known. */
function editsFor(term: Term, want: boolean, now: Situation): readonly Edit[] | null {
  if (termValue(term, now) === want) return []
  if (term.op === 'not') return editsFor(term.of, !want, now)
  if (term.op === 'fact') return [exactly(term.path, want)]
  if (term.op === '&&' || term.op === '||') {
    const left = editsFor(term.left, want, now)
    const right = editsFor(term.right, want, now)
    const needsBoth = (term.op === '&&') === want
    if (needsBoth) return left && right && [...left, ...right]
    if (!left || !right) return left ?? right
    return right.length < left.length ? right : left
  }
  if (term.op === 'contains') return want ? editsToContain(term.left, term.right, now) : null
  return 'left' in term ? editsToCompare(term, want) : null
}

function editsToContain(set: Term, item: Term, now: Situation): readonly Edit[] | null {
  if (set.op === 'fact' && item.op === 'value' && typeof item.value === 'string') {
    const before = factAt(now.facts, set.path)
    const value = [...new Set([...(Array.isArray(before) ? (before as string[]) : []), item.value])].sort()
    return [{ path: set.path, value, wanted: `a set with ${JSON.stringify(item.value)}` }]
  }
  if (set.op !== 'set' || item.op !== 'fact') return null
  const values = set.items.flatMap((one) => (one.op === 'value' ? [one.value] : []))
  const wanted = `one of ${values.map((one) => JSON.stringify(one)).join(', ')}`
  return values[0] === undefined ? null : [{ path: item.path, value: values[0], wanted }]
}

const contrary = { '==': '!=', '!=': '==', '<': '>=', '>=': '<', '>': '<=', '<=': '>' } as const
const mirrored = { '==': '==', '!=': '!=', '<': '>', '>': '<', '<=': '>=', '>=': '<=' } as const

function editsToCompare(term: Extract<Term, { left: Term }>, want: boolean): readonly Edit[] | null {
  if (!(term.op in contrary)) return null
  const written = term.op as keyof typeof contrary
  const asked = want ? written : contrary[written]
  const [fact, other] = term.left.op === 'fact' ? [term.left, term.right] : [term.right, term.left]
  if (fact.op !== 'fact' || other.op !== 'value') return null
  const op = fact === term.left ? asked : mirrored[asked]
  const { path } = fact
  const { value } = other
  if (op === '==') return [exactly(path, value)]
  if (op === '!=') {
    const allowed = otherThan(path, value)
    return allowed === undefined ? null : [{ path, value: allowed, wanted: `other than ${JSON.stringify(value)}` }]
  }
  if (typeof value !== 'number') return null
  const bound = op === '<' ? value - 1 : op === '>' ? value + 1 : value
  return [{ path, value: bound, wanted: op.startsWith('<') ? `at most ${bound}` : `at least ${bound}` }]
}

function otherThan(path: string, value: Change['to']): Change['to'] | undefined {
  if (typeof value === 'boolean') return !value
  const domain = factWord(path)?.domain
  // Any two countries do: one of them is not the one refused.
  const values = domain === 'country' ? ['DE', 'FR'] : domain
  return values?.find((one) => one !== value)
}

/** What a term is in a situation; undefined when it reads an absent fact or is beyond this search. */
function termValue(term: Term, now: Situation): unknown {
  if (term.op === 'value') return term.value
  if (term.op === 'entity') return `${term.type}::${term.id}`
  if (term.op === 'part') return partValue(term.name, now)
  if (term.op === 'fact') return factAt(now.facts, term.path)
  if (term.op === 'set') return term.items.map((one) => termValue(one, now))
  if (term.op === 'is') return true // strict validation: no head has another type
  if (term.op === 'not') {
    const value = termValue(term.of, now)
    return typeof value === 'boolean' ? !value : undefined
  }
  if (term.op === '&&' || term.op === '||') {
    const left = termValue(term.left, now)
    return left === (term.op === '&&') ? termValue(term.right, now) : left
  }
  return 'left' in term ? compared(term.op, termValue(term.left, now), termValue(term.right, now)) : undefined
}

function partValue(name: 'principal' | 'action' | 'resource', { facts, action }: Situation): string {
  if (name === 'principal') return `Claviger::Node::${facts.node.keysetDigest}`
  return name === 'action' ? `Claviger::Action::${action}` : `Claviger::Model::${facts.model.id}`
}

function compared(op: string, left: unknown, right: unknown): boolean | undefined {
  if (left === undefined || right === undefined) return undefined
  if (op === 'contains') return Array.isArray(left) ? left.includes(right) : undefined
  // No entity has a parent, so `in` is equality with the entity or with one of a set.
  if (op === 'in') return Array.isArray(right) ? right.includes(left) : left === right
  if (Array.isArray(left) || Array.isArray(right)) return undefined
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

/** Facts with edits made; null when they would not be facts. */
function apply(facts: Facts, edits: readonly Edit[]): Facts | null {
  const out = structuredClone(facts) as unknown as Record<string, Record<string, unknown>>
  for (const { path, value } of edits) {
    const names = path.split('.')
    const group = names[0]!
    if (fixed.includes(group)) return null
    // Where an owner never said whom it believes, nothing that a node does states these facts.
    if (out[group] === undefined) return null
    const comes = becomes[group]
    const isSilent = out[group].stated === false || out[group].proven === false
    if (comes && isSilent && value !== false) out[group] = { ...comes }
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
