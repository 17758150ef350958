import { toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure, isFailure } from '#core/failure.js'
import { annotationLengthMax, policiesHeldMax } from '#core/limits.js'
import { Recent } from '#core/recent.js'
import {
  type Complaint,
  type Condition,
  type PolicyTree,
  parsePolicies,
  parsePolicy,
  validatePolicies,
} from '#policies/language/cedar.js'
import type { PolicyCode } from '#policies/language/failures.js'
import { offsetOfByte, policyFailure, type Span, scanPolicies } from '#policies/language/scan.js'
import { headConditions, type Term, termOf } from '#policies/language/tree.js'
import { releaseVocabulary, type Vocabulary } from '#policies/language/vocabulary.js'

declare const validated: unique symbol

/** One rule of a policy set. */
export interface Policy {
  readonly id: string
  readonly effect: 'permit' | 'forbid'
  /** the act that the rule is made for, as its author cites it */
  readonly law: string | null
  /** the rule in plain language */
  readonly explain: string | null
  /** what would satisfy it */
  readonly remedy: string | null
  /** while the glass is broken it does not refuse: `@breakglass`, on a forbid alone */
  readonly breakGlass: boolean
  readonly text: string
  /** its head's conditions on principal, action and resource, then its when and unless clauses */
  readonly head: readonly Condition[]
  readonly clauses: readonly Clause[]
}

export interface Clause {
  readonly kind: 'when' | 'unless'
  readonly condition: Condition
  readonly term: Term
}

/** A policy text that was validated under a vocabulary. Only `validateUnder` makes one. */
export interface ValidatedText {
  readonly text: string
  /** lowercase hex of SHA-256 over the exact text in UTF-8 */
  readonly digest: string
  readonly policies: readonly Policy[]
}

/** An owner's policy text that was validated. Only `validatePolicy` makes one. */
export interface PolicySet extends ValidatedText {
  readonly [validated]: true
}

const idForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/
const annotationNames = ['id', 'law', 'explain', 'remedy', 'breakglass']

/** The digest that names a policy text. */
export function policyDigest(text: string): string {
  return toHex(sha256(utf8(text)))
}

/**
 * The policies of an owner's text, which uses only words of our schema, in strict validation without a warning.
 *
 * text    at most 64 KiB of UTF-8, 1 to 100 policies
 * throws  policy/syntax, policy/invalid, policy/limit (each with line, column and hint in `detail`), policy/engine
 * source  Cedar 4.5, "Policy syntax", "Policy validation"; docs/spec/policy.md
 */
export function validatePolicy(text: string): PolicySet {
  const known = recent.get(text)
  if (known) return known
  const set = validateUnder(text, releaseVocabulary) as PolicySet
  recent.set(text, set, text.length)
  return set
}

// A broker reads the owner's text again at every decision, and reading costs five times what deciding does. The same text
// always gives the same set, which nobody can change, so remembering them changes no outcome.
const recent = new Recent<PolicySet>({ costMax: policiesHeldMax })

/** The same for a text in the words of `vocabulary`. @throws as validatePolicy */
export function validateUnder(text: string, vocabulary: Vocabulary): ValidatedText {
  const spans = scanPolicies(text) // 1 bounds, before Cedar's parser sees the text
  const texts = verifySyntax(text, spans) // 2 Cedar and our scanner read the same policies
  const policies = texts.map((one, i) => readPolicy(text, spans[i]!, one, vocabulary)) // 3 our part of the language
  verifyIds(text, spans, policies) // 4 each rule has a name of its own
  verifyTypes(text, spans, policies, vocabulary) // 5 strict validation under the schema
  return { text, digest: policyDigest(text), policies }
}

function verifySyntax(text: string, spans: readonly Span[]): readonly string[] {
  const parsed = parsePolicies(text)
  if ('wrong' in parsed) throw failureAt('policy/syntax', text, 0, parsed.wrong)
  const texts = spans.map((span) => text.slice(span.start, span.end))
  // Cedar returns the policies sorted by an id of its own, so the two lists are compared as sets.
  if (parsed.texts.length === 0) throw new Failure<PolicyCode>('policy/invalid', 'text holds no policy')
  if (JSON.stringify([...parsed.texts].sort()) !== JSON.stringify([...texts].sort()))
    throw new Failure<PolicyCode>('policy/syntax', 'text can be read in two ways')
  return texts
}

function failureAt(code: PolicyCode, text: string, from: number, wrong: Complaint): Failure<PolicyCode> {
  const within = wrong.start === null ? 0 : offsetOfByte(text.slice(from), wrong.start)
  return policyFailure(code, text, from + within, wrong.message, wrong.hint)
}

function readPolicy(whole: string, span: Span, text: string, vocabulary: Vocabulary): Policy {
  const parsed = parsePolicy(text)
  if ('wrong' in parsed) throw failureAt('policy/syntax', whole, span.start, parsed.wrong)
  const { tree } = parsed
  try {
    const clauses = tree.conditions.map(({ kind, body }) => ({
      kind,
      condition: body,
      term: termOf(body, vocabulary),
    }))
    return { ...readAnnotations(tree), effect: tree.effect, text, head: headConditions(tree), clauses }
  } catch (error) {
    if (!isFailure(error)) throw error
    throw policyFailure('policy/invalid', whole, span.start, error.message, error.detail?.hint as string)
  }
}

function readAnnotations(tree: PolicyTree): Pick<Policy, 'id' | 'law' | 'explain' | 'remedy' | 'breakGlass'> {
  const given = new Map(Object.entries(tree.annotations ?? {}))
  for (const [name, value] of given) {
    if (!annotationNames.includes(name))
      throw new Failure<PolicyCode>('policy/invalid', `unknown annotation @${name}`, {
        detail: { hint: `the annotations are ${annotationNames.map((one) => `@${one}`).join(', ')}` },
      })
    if (name === 'breakglass') {
      if (tree.effect === 'forbid' && (value === null || value === '')) continue
      throw new Failure<PolicyCode>('policy/invalid', '@breakglass stands on a forbid, and has no value')
    }
    if (typeof value !== 'string' || value === '' || value.length > annotationLengthMax)
      throw new Failure<PolicyCode>('policy/invalid', `@${name} needs 1 to ${annotationLengthMax} characters`)
  }
  const id = given.get('id')
  if (id === undefined || !idForm.test(id))
    throw new Failure<PolicyCode>('policy/invalid', `a policy needs an @id of the form ${idForm.source}`, {
      detail: { hint: 'put @id("my-rule") before it: the log and the host see the rule under this name' },
    })
  return {
    id,
    law: given.get('law') ?? null,
    explain: given.get('explain') ?? null,
    remedy: given.get('remedy') ?? null,
    breakGlass: given.has('breakglass'),
  }
}

function verifyIds(text: string, spans: readonly Span[], policies: readonly Policy[]): void {
  const seen = new Set<string>()
  policies.forEach(({ id }, i) => {
    if (seen.has(id))
      throw policyFailure('policy/invalid', text, spans[i]!.start, `@id ${JSON.stringify(id)} occurs twice`)
    seen.add(id)
  })
}

function verifyTypes(text: string, spans: readonly Span[], policies: readonly Policy[], vocabulary: Vocabulary): void {
  const texts = Object.fromEntries(policies.map((policy) => [policy.id, policy.text]))
  const [wrong] = validatePolicies(texts, vocabulary)
  if (!wrong) return
  const at = policies.findIndex((policy) => policy.id === wrong.policyId)
  throw failureAt('policy/invalid', text, at < 0 ? 0 : spans[at]!.start, wrong)
}
