import { setFlagsFromString } from 'node:v8'
import {
  type Expr as CedarExpr,
  type DetailedError,
  type PolicyJson,
  policySetTextToParts,
  policyToJson,
  policyToText,
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
  validate,
} from '@cedar-policy/cedar-wasm/nodejs'
import { Failure } from '#core/failure.js'
import { policiesHeldMax } from '#core/limits.js'
import { Recent } from '#core/recent.js'
import type { PolicyCode } from '#policies/language/failures.js'
import type { Vocabulary } from '#policies/language/vocabulary.js'

/*
 * The only file that touches Cedar's WebAssembly module. Its calls are functions of their arguments, but for the cache
 * of parsed policies that lives inside the module and that `slotOf` bounds.
 */

// Node 20's optimising compiler writes the call into the module into the caller's own code, and ends the whole process when
// that code has to be given up during a call that returns a reference ("unreachable code"). So such calls stay calls
// (docs/decisions/cedar-calls.md).
setFlagsFromString('--no-turbo-inline-js-wasm-calls')

/** A condition as Cedar writes it in JSON. Opaque outside policies/language. */
export type Condition = CedarExpr
/** A policy as Cedar writes it in JSON. */
export type PolicyTree = PolicyJson

/** What Cedar says about a text; `start` in UTF-8 bytes of the text it was given. */
export interface Complaint {
  readonly policyId: string | null
  readonly message: string
  readonly hint: string | null
  readonly start: number | null
}

/** What Cedar answered. It is not a decision: Cedar skips a policy that fails and may still say allow. */
export interface Evaluation {
  readonly decision: 'allow' | 'deny'
  /** ids of the policies that were satisfied and determined the decision */
  readonly determining: readonly string[]
  /** ids of the policies that could not be evaluated, and why */
  readonly errors: readonly { readonly policyId: string; readonly message: string }[]
}

/** A request as Cedar sees it. */
export interface CedarRequest {
  readonly principal: string
  readonly action: string
  readonly resource: string
  readonly context: object
}

function complaint(error: DetailedError, policyId: string | null): Complaint {
  return {
    policyId,
    message: error.message,
    hint: error.help ?? error.sourceLocations?.[0]?.label ?? null,
    start: error.sourceLocations?.[0]?.start ?? null,
  }
}

/** Runs a call into the module. A trap there leaves it unusable, which is nobody's policy's fault to the caller. */
function inEngine<T>(call: () => T): T {
  try {
    return call()
  } catch (cause) {
    throw new Failure<PolicyCode>('policy/engine', 'the policy engine failed', { cause })
  }
}

/** The texts of all policies, in no order, or what is wrong. @throws policy/engine */
export function parsePolicies(text: string): { readonly texts: readonly string[] } | { readonly wrong: Complaint } {
  const answer = inEngine(() => policySetTextToParts(text))
  if (answer.type === 'failure') return { wrong: complaint(answer.errors[0]!, null) }
  return { texts: [...answer.policies, ...answer.policy_templates] }
}

/** The tree of one policy, or what is wrong; a template is refused. @throws policy/engine */
export function parsePolicy(text: string): { readonly tree: PolicyTree } | { readonly wrong: Complaint } {
  const answer = inEngine(() => policyToJson(text))
  return answer.type === 'failure' ? { wrong: complaint(answer.errors[0]!, null) } : { tree: answer.json }
}

/**
 * All that Cedar's strict validation has to say; empty when nothing. Warnings count: a policy that can never apply is a
 * rule that its author believes in and that does not exist.
 *
 * throws  policy/engine
 */
export function validatePolicies(
  policies: Readonly<Record<string, string>>,
  vocabulary: Vocabulary,
): readonly Complaint[] {
  const answer = inEngine(() =>
    validate({
      schema: vocabulary.policySchema,
      policies: { staticPolicies: { ...policies } },
      validationSettings: { mode: 'strict' },
    }),
  )
  if (answer.type === 'failure') return answer.errors.map((error) => complaint(error, null))
  // Invariant: `type: success` says only that validation ran; what it found stands in the lists.
  const ofPolicies = (found: typeof answer.validationErrors) =>
    sortedBy(
      found.map((one) => complaint(one.error, one.policyId)),
      (one) => `${one.policyId} ${one.message}`,
    )
  return [
    ...ofPolicies(answer.validationErrors),
    ...ofPolicies(answer.validationWarnings),
    ...answer.otherWarnings.map((warning) => complaint(warning, null)),
  ]
}

function sortedBy<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  return [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** Cedar text of a condition. @throws policy/engine */
export function conditionText(condition: Condition): string {
  const known = conditionTexts.get(condition)
  if (known !== undefined) return known
  const text = textOf(condition)
  conditionTexts.set(condition, text)
  return text
}

// Nobody changes a condition that was read, so its text stays.
const conditionTexts = new WeakMap<Condition, string>()

function textOf(condition: Condition): string {
  const answer = inEngine(() => policyToText(permitWhen(condition)))
  if (answer.type === 'failure') throw new Failure<PolicyCode>('policy/engine', 'a parsed condition has no text')
  return answer.text.replace(/^permit\(principal, action, resource\) when \{\s*/, '').replace(/\s*\};$/, '')
}

/** The policy that permits exactly where the condition holds. */
export function permitWhen(condition: Condition): PolicyTree {
  const any = { op: 'All' } as const
  return {
    effect: 'permit',
    principal: any,
    action: any,
    resource: any,
    conditions: [{ kind: 'when', body: condition }],
  }
}

// Cedar keeps every parsed set for the life of the process, by id, and drops one only when another takes its id. So an id
// whose set makes room is given the empty set, and used again. Invariant: `slots` and `free` hold each id once.
const free: string[] = []
const slots = new Recent<string>({ costMax: policiesHeldMax }, (id) => {
  inEngine(() => preparsePolicySet(id, { staticPolicies: {} }))
  free.push(id)
})
let slotCount = 0

/** The id under which Cedar holds the policies named by `key`, parsed anew when it does not. */
function slotOf(key: string, policies: () => Readonly<Record<string, string | PolicyTree>>): string | Complaint {
  const held = slots.get(key)
  if (held !== undefined) return held
  const all = policies()
  const id = free.pop() ?? `slot${slotCount++}`
  const answer = inEngine(() => preparsePolicySet(id, { staticPolicies: { ...all } }))
  if (answer.type === 'failure') {
    free.push(id)
    return complaint(answer.errors[0]!, null)
  }
  slots.set(key, id, costOf(all))
  return id
}

/** In characters of text, or of the tree as JSON. */
function costOf(policies: Readonly<Record<string, string | PolicyTree>>): number {
  return Object.values(policies).reduce(
    (sum, one) => sum + (typeof one === 'string' ? one : JSON.stringify(one)).length,
    0,
  )
}

const schemasReady = new Set<string>()
function readySchema({ name, requestSchema }: Vocabulary): void {
  if (schemasReady.has(name)) return
  const answer = inEngine(() => preparseSchema(name, requestSchema))
  if (answer.type === 'failure') throw new Failure<PolicyCode>('policy/engine', answer.errors[0]!.message)
  schemasReady.add(name)
}

/**
 * Cedar's answer to a request, which was validated against the request schema of the vocabulary.
 *
 * key       names the policies within the vocabulary: the same key always means the same policies
 * returns   the evaluation, or what Cedar found wrong with request or policies
 * throws    policy/engine
 */
export function evaluate(
  vocabulary: Vocabulary,
  key: string,
  policies: () => Readonly<Record<string, string | PolicyTree>>,
  request: CedarRequest,
): Evaluation | { readonly wrong: Complaint } {
  readySchema(vocabulary)
  const slot = slotOf(`${vocabulary.name} ${key}`, policies)
  if (typeof slot !== 'string') return { wrong: slot }
  const principal = { type: vocabulary.principal, id: request.principal }
  const resource = { type: vocabulary.resource, id: request.resource }
  const answer = inEngine(() =>
    statefulIsAuthorized({
      principal,
      action: { type: 'Claviger::Action', id: request.action },
      resource,
      context: request.context as Parameters<typeof statefulIsAuthorized>[0]['context'],
      // Invariant: both entities that a request names are present; nothing else can be named (no attributes, no parents).
      entities: [principal, resource].map((uid) => ({ uid, attrs: {}, parents: [] })),
      preparsedPolicySetId: slot,
      preparsedSchemaName: vocabulary.name,
      validateRequest: true,
    }),
  )
  if (answer.type === 'failure') return { wrong: complaint(answer.errors[0]!, null) }
  const { decision, diagnostics } = answer.response
  return {
    decision,
    // Cedar keeps them in hash tables that differ from call to call; a decision is the same each time it is made.
    determining: [...diagnostics.reason].sort(),
    errors: sortedBy(
      diagnostics.errors.map((one) => ({ policyId: one.policyId, message: one.error.message })),
      (one) => one.policyId,
    ),
  }
}
