import { Failure } from '#core/failure.js'
import type { Condition, PolicyTree } from '#policies/language/cedar.js'
import type { Domain } from '#policies/language/fact-word.js'
import type { PolicyCode } from '#policies/language/failures.js'
import { inDomain, type Vocabulary } from '#policies/language/vocabulary.js'
import { countryMeant } from '#policies/registry/countries.js'

/**
 * A condition in the closed part of Cedar that our policies may use. It leaves out arithmetic (its overflow would be an
 * error), `has` (presence is a fact: `place.stated`), records, tags and extension functions (no fact has such a type).
 */
export type Term =
  | { readonly op: 'value'; readonly value: string | number | boolean }
  | { readonly op: 'entity'; readonly type: string; readonly id: string }
  | { readonly op: 'part'; readonly name: 'principal' | 'action' | 'resource' }
  | { readonly op: 'fact'; readonly path: string }
  | { readonly op: 'set'; readonly items: readonly Term[] }
  | { readonly op: 'not' | 'isEmpty'; readonly of: Term }
  | { readonly op: Binary; readonly left: Term; readonly right: Term }
  | { readonly op: 'like' | 'is'; readonly of: Term }
  | { readonly op: 'if'; readonly test: Term; readonly yes: Term; readonly no: Term }
export type Binary = '&&' | '||' | Comparison | 'contains' | 'containsAll' | 'containsAny'
export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in'

const binary: ReadonlySet<string> = new Set<Binary>([
  '&&',
  '||',
  '==',
  '!=',
  '<',
  '<=',
  '>',
  '>=',
  'in',
  'contains',
  'containsAll',
  'containsAny',
])

type Node = { readonly [name: string]: unknown }

function refuse(message: string, hint: string): Failure<PolicyCode> {
  return new Failure<PolicyCode>('policy/invalid', message, { detail: { hint } })
}

function literalOf(value: unknown): Term {
  if (typeof value === 'string' || typeof value === 'boolean') return { op: 'value', value }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw refuse('a number beyond 2^53', 'use a smaller number')
    return { op: 'value', value }
  }
  const entity = (value as { __entity?: { type: string; id: string } } | null)?.__entity
  if (entity) return { op: 'entity', type: entity.type, id: entity.id }
  throw refuse('a literal that is neither text, number, truth value nor entity', 'compare single facts')
}

/** The path below `context` that a chain of dots spells, or undefined when it starts elsewhere. */
function pathOf(node: Node): string | undefined {
  const dot = node['.'] as { left: Node; attr: string } | undefined
  if (!dot) return node.Var === 'context' ? '' : undefined
  const before = pathOf(dot.left)
  if (before === undefined) return undefined
  return before === '' ? dot.attr : `${before}.${dot.attr}`
}

function factOf(node: Node, vocabulary: Vocabulary): Term {
  const path = pathOf(node)
  if (path === undefined) throw refuse('a member of something that is not a fact', 'facts are below `context`')
  // Reading a whole record would compare absent members without an error: only single facts may be read.
  if (!vocabulary.word(path))
    throw refuse(`context.${path} is not a single fact`, 'name one fact, as context.place.country')
  return { op: 'fact', path }
}

/** The term of a condition in these words. @throws policy/invalid */
export function termOf(condition: Condition, vocabulary: Vocabulary): Term {
  const inside = (one: Condition) => termOf(one, vocabulary)
  const node = condition as unknown as Node
  const [op] = Object.keys(node)
  const body = node[op!] as Node
  if (op === 'Value') return literalOf(node[op])
  if (op === '.') return factOf(node, vocabulary)
  if (op === 'Var') {
    const name = node[op] as string
    if (name === 'context') throw refuse('`context` as a whole', 'name one fact, as context.place.country')
    return { op: 'part', name: name as 'principal' | 'action' | 'resource' }
  }
  if (op === 'Set') return { op: 'set', items: (node[op] as Condition[]).map(inside) }
  if (op === '!') return { op: 'not', of: inside(body.arg as Condition) }
  if (op === 'isEmpty') return { op: 'isEmpty', of: inside(body.arg as Condition) }
  if (op === 'like') return { op: 'like', of: inside(body.left as Condition) }
  if (op === 'is') {
    if (body.in !== undefined) throw refuse('`is … in`', 'compare with ==')
    return { op: 'is', of: inside(body.left as Condition) }
  }
  if (op === 'if-then-else') {
    const part = (name: string) => inside(body[name] as Condition)
    return { op: 'if', test: part('if'), yes: part('then'), no: part('else') }
  }
  if (op !== undefined && binary.has(op)) {
    const left = inside(body.left as Condition)
    const right = inside(body.right as Condition)
    verifyDomain(left, right, vocabulary)
    verifyDomain(right, left, vocabulary)
    return { op: op as Binary, left, right }
  }
  if (op === 'has') throw refuse('`has`', 'whether a fact is there is a fact: write context.place.stated')
  if (op !== undefined && ['+', '-', '*', 'neg'].includes(op)) throw refuse('arithmetic', 'write the number itself')
  throw refuse(`\`${op}\``, 'use comparisons, sets, like, &&, ||, ! and if-then-else on single facts')
}

/** A text that is compared with a closed fact must be one that the fact can have. */
function verifyDomain(fact: Term, other: Term, vocabulary: Vocabulary): void {
  if (fact.op !== 'fact') return
  const domain = vocabulary.word(fact.path)?.domain
  if (domain === undefined) return
  for (const item of other.op === 'set' ? other.items : [other]) {
    if (item.op !== 'value' || typeof item.value !== 'string' || inDomain(domain, item.value)) continue
    throw refuse(`context.${fact.path} is never ${JSON.stringify(item.value)}`, domainHint(domain, item.value))
  }
}

function domainHint(domain: Domain, value: string): string {
  if (domain !== 'country') return `it is one of ${domain.join(', ')}`
  const meant = countryMeant(value)
  return meant ? `did you mean ${meant}?` : 'countries are ISO 3166-1 alpha-2 codes, as DE'
}

/** The paths of all facts that a term reads, in order, each once. */
export function factsOf(term: Term): readonly string[] {
  if (term.op === 'fact') return [term.path]
  if (term.op === 'set') return unique(term.items.flatMap(factsOf))
  if (term.op === 'if') return unique([term.test, term.yes, term.no].flatMap(factsOf))
  if ('left' in term) return unique([term.left, term.right].flatMap(factsOf))
  return 'of' in term ? factsOf(term.of) : []
}

/** Which of principal, action and resource a term reads. */
export function partsOf(term: Term): readonly ('principal' | 'action' | 'resource')[] {
  if (term.op === 'part') return [term.name]
  if (term.op === 'set') return term.items.flatMap(partsOf)
  if (term.op === 'if') return [term.test, term.yes, term.no].flatMap(partsOf)
  if ('left' in term) return [term.left, term.right].flatMap(partsOf)
  return 'of' in term ? partsOf(term.of) : []
}

function unique(paths: readonly string[]): readonly string[] {
  return [...new Set(paths)]
}

/** What a policy's head asks of principal, action and resource, as conditions. */
export function headConditions(tree: PolicyTree): readonly Condition[] {
  return (['principal', 'action', 'resource'] as const).flatMap((name) => {
    const head = tree[name] as {
      op: string
      entity?: Entity
      entities?: readonly Entity[]
      entity_type?: string
      in?: unknown
    }
    const left = { Var: name }
    const literal = (entity: Entity) => ({ Value: { __entity: '__entity' in entity ? entity.__entity : entity } })
    if (head.op === 'All') return []
    if (head.op === 'is' && head.entity_type !== undefined && head.in === undefined)
      return [{ is: { left, entity_type: head.entity_type } }]
    if (head.entities) return [{ in: { left, right: { Set: head.entities.map(literal) } } }]
    if (head.entity && (head.op === '==' || head.op === 'in'))
      return [{ [head.op]: { left, right: literal(head.entity) } } as Condition]
    throw refuse(`the head's condition on ${name}`, 'compare with == or in')
  })
}
type Entity =
  | { readonly type: string; readonly id: string }
  | { readonly __entity: { readonly type: string; readonly id: string } }
