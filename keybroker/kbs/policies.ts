import { fromUtf8, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { list, literal, nullable, object, oneOf, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { policySizeMax } from '#core/limits.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import { isOwnersRepository, type ResourcePath } from '#keybroker/kbs/resource.js'
import { validateAttestationPolicy, validateResourcePolicy } from '#policies/guest/policy.js'
import { policyDigest } from '#policies/language/validate.js'

/**
 * The class of the operator's own resources, fixed when the service starts: simulated guests, and a policy that allows
 * everybody, have no effect in `production`.
 */
export type KbsClass = 'production' | 'development'

/** The name that clients know the policy of all resources by. */
export const wholePolicyId = 'resource-policy'
/** The one class of evidence that is verified here; a client's attestation policy is called this by default. */
export const attestationPolicyId = 'default_cpu'
const policiesMax = 64

const policyShape = object({
  id: string({ max: 400 }),
  kind: oneOf('cedar', 'allow-all', 'deny-all'),
  /** Cedar text; null for the two that are recognised */
  text: nullable(string({ max: policySizeMax })),
})
/** A policy of the operator's own. */
export type OperatorPolicy = Shaped<typeof policyShape>

const policiesShape = object({
  type: literal('claviger/kbs-policies/v1'),
  attestation: nullable(policyShape),
  resource: list(policyShape, { max: policiesMax }),
})
/** All policies of the operator's own. They stand and fall together: leaving one out of them is not possible unseen. */
export type OperatorPolicies = Shaped<typeof policiesShape>

export const noPolicies: OperatorPolicies = { type: 'claviger/kbs-policies/v1', attestation: null, resource: [] }

export function encodePolicies(policies: OperatorPolicies): Uint8Array {
  return canonicalJson(policies)
}

/** @throws json/..., shape/... */
export function parsePolicies(bytes: Uint8Array): OperatorPolicies {
  return policiesShape(parseCanonicalJson(bytes), 'policies')
}

const digestOf = (bytes: Uint8Array) => toHex(sha256(bytes))

/**
 * The Rego texts that are recognised, by the SHA-256 of their exact bytes; no Rego is evaluated.
 *
 * source  trustee kbs/sample_policies/allow_all.rego and deny_all.rego: those of v0.19.0 and later, then those of v0.9.0 and later
 */
const knownRego: Readonly<Record<string, 'allow-all' | 'deny-all'>> = {
  '65e44d6ed8635ff231bae649fb747c1d310c32969d52342e612d6a3997a208b1': 'allow-all',
  b3861e9e9b8a2fa695e43afe1518b5d49825a84ac2c7b341e3b46ca9d576ed6e: 'allow-all',
  '1dcb1fc7f5e461db45d9bf4386eb3c9ab6002392317b73dd74e8cdd2948ab124': 'deny-all',
  f1fb88b65a28f888a9278dc294534afccffca13064729844b61ca61f69f3f1cf: 'deny-all',
}

function refuse(message: string, hint: string, cause?: unknown): Failure<KbsCode> {
  return new Failure<KbsCode>('kbs/policy-language', `${message}; hint: ${hint}`, { cause, detail: { hint } })
}
const writeCedar = 'write it in Cedar and send it with "type": "cedar" (docs/spec/kbs.md, "Policies of the operator")'

const segment = '[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}'
const idForm = new RegExp(`^${segment}/(?:\\*|${segment}/(?:\\*|${segment}))$`)

/** What an uploaded policy says, before anything is stored. */
export interface UploadedPolicy {
  readonly type: string
  readonly id: string
  readonly bytes: Uint8Array
}

function readRego(bytes: Uint8Array, id: string, kbsClass: KbsClass): OperatorPolicy {
  const kind = knownRego[digestOf(bytes)]
  if (kind === undefined) throw refuse('policies in Rego are not evaluated here, and not stored', writeCedar)
  if (kind === 'allow-all' && kbsClass !== 'development')
    throw refuse('a policy that allows everybody everything is for development only', writeCedar)
  return { id, kind, text: null }
}

function readCedar(bytes: Uint8Array, id: string, validate: (text: string) => unknown): OperatorPolicy {
  try {
    const text = fromUtf8(bytes)
    validate(text)
    return { id, kind: 'cedar', text }
  } catch (error) {
    if (!isFailure(error) || error.code === 'policy/engine') throw error
    const { line, hint } = error.detail ?? {}
    const where = typeof line === 'number' ? ` in line ${line}` : ''
    throw refuse(`${error.message}${where}`, typeof hint === 'string' ? hint : 'see docs/spec/kbs.md', error)
  }
}

function readPolicy(
  { type, id, bytes }: UploadedPolicy,
  kbsClass: KbsClass,
  validate: (text: string) => unknown,
): OperatorPolicy {
  if (type === 'rego') return readRego(bytes, id, kbsClass)
  if (type === 'cedar') return readCedar(bytes, id, validate)
  throw refuse(`policies of type ${JSON.stringify(type)} are not known`, 'the types are cedar and rego')
}

/**
 * The operator's policies with this one for resources among them, in the place of the one of the same id.
 *
 * id       `resource-policy` for all of them, `repository/*`, `repository/type/*`, or one path
 * throws   kbs/policy-language; policy/engine
 */
export function withResourcePolicy(now: OperatorPolicies, sent: UploadedPolicy, kbsClass: KbsClass): OperatorPolicies {
  if (sent.id !== wholePolicyId && !idForm.test(sent.id))
    throw refuse(
      `there can be no policy ${JSON.stringify(sent.id)}`,
      `a policy is for ${wholePolicyId}, repository/*, repository/type/* or repository/type/tag`,
    )
  if (isOwnersRepository(sent.id.split('/', 1)[0]!))
    throw new Failure<KbsCode>('kbs/policy-deny', 'this repository belongs to an owner of models')
  const policy = readPolicy(sent, kbsClass, validateResourcePolicy)
  const others = now.resource.filter((one) => one.id !== sent.id)
  if (others.length >= policiesMax) throw refuse(`there are ${policiesMax} policies already`, 'put rules together')
  return { ...now, resource: [...others, policy].sort((a, b) => (a.id < b.id ? -1 : 1)) }
}

/**
 * The operator's policies with this one for attestation, in the place of the one before.
 *
 * throws   kbs/policy-language for every id but `default_cpu`: nobody here judges other classes of evidence
 */
export function withAttestationPolicy(
  now: OperatorPolicies,
  sent: UploadedPolicy,
  kbsClass: KbsClass,
): OperatorPolicies {
  if (sent.id !== attestationPolicyId)
    throw refuse(
      `evidence of class ${JSON.stringify(sent.id)} is not judged here`,
      `the policy is ${attestationPolicyId}`,
    )
  return { ...now, attestation: readPolicy(sent, kbsClass, validateAttestationPolicy) }
}

/** A policy that was set, and the one of its id before it. */
export interface PolicyChange {
  readonly decides: 'resource' | 'attestation'
  readonly policy: OperatorPolicy
  readonly previous: OperatorPolicy | null
}

/** What is another in `after`; null where it says what `before` says. Policies are only ever set, and one at a time. */
export function changeOf(before: OperatorPolicies, after: OperatorPolicies): PolicyChange | null {
  const isOther = (one: OperatorPolicy, old: OperatorPolicy | null) => one.kind !== old?.kind || one.text !== old.text
  const { attestation } = after
  if (attestation !== null && isOther(attestation, before.attestation))
    return { decides: 'attestation', policy: attestation, previous: before.attestation }
  for (const policy of after.resource) {
    const previous = before.resource.find((one) => one.id === policy.id) ?? null
    if (isOther(policy, previous)) return { decides: 'resource', policy, previous }
  }
  return null
}

/** As decisions name it. */
export const operatorPolicyDigest = ({ text, kind }: OperatorPolicy): string => policyDigest(text ?? kind)

/** The policy in force for a resource: of those that fit its path the most specific; null when none does. */
export function policyFor(policies: OperatorPolicies, path: ResourcePath): OperatorPolicy | null {
  const { repository, type, text } = path
  for (const id of [text, `${repository}/${type}/*`, `${repository}/*`, wholePolicyId]) {
    const found = policies.resource.find((one) => one.id === id)
    if (found) return found
  }
  return null
}
