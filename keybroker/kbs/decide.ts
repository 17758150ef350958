import type { UnixSeconds } from '#core/time.js'
import { teeNames, type VerifiedTee } from '#keybroker/kbs/messages.js'
import {
  type KbsClass,
  type OperatorPolicies,
  type OperatorPolicy,
  operatorPolicyDigest,
  policyFor,
} from '#keybroker/kbs/policies.js'
import type { ResourceDecision } from '#keybroker/kbs/ports.js'
import type { ResourcePath } from '#keybroker/kbs/resource.js'
import type { KbsResult, PresentedToken } from '#keybroker/kbs/token.js'
import { guestEvidence, type ResourceFacts } from '#policies/guest/facts.js'
import {
  decideAttestation,
  decideResource,
  validateAttestationPolicy,
  validateResourcePolicy,
} from '#policies/guest/policy.js'

/** The status of a guest's result; `simulated` whatever else is said of evidence that is NOT HARDWARE (I6). */
export type ResourceTier = 'affirming' | 'warning' | 'contraindicated' | 'simulated'

type Guest = Pick<ResourceFacts, 'evidence' | 'token'>

function guestOf(token: PresentedToken, at: UnixSeconds): Guest {
  if (token.kind === 'passport') {
    const { verifier, issuedAt, tier, evidence } = token
    return { evidence: { ...evidence, tier }, token: { verifier, ageSeconds: Math.max(0, at - issuedAt) } }
  }
  const { claims } = token
  const { 'ear.status': tier, 'ear.veraison.annotated-evidence': about } = claims.submods.cpu0
  const tee = teeNames.find((name) => Object.hasOwn(about, name)) ?? ''
  const evidence = guestEvidence({
    tee,
    platform: claims.claviger_hardware === 'hardware' ? 'hardware' : 'simulated',
    claims: (about as unknown as { readonly [name: string]: KbsResult['claims'] })[tee] ?? null,
    initData: about.init_data,
  })
  return { evidence: { ...evidence, tier }, token: { verifier: 'own', ageSeconds: Math.max(0, at - claims.iat) } }
}

const deny = (...reasons: string[]) => ({ allow: false, reasons }) as const

/** The rule that is built in: the tiers that the service was started with, and this broker's own tokens alone. */
function byTier({ evidence, token }: Guest, tiers: readonly ResourceTier[]): ResourceDecision {
  if (token.verifier !== 'own') return deny('verifier-not-named')
  const tier = evidence.platform === 'simulated' ? 'simulated' : evidence.tier
  return tier !== 'none' && tiers.includes(tier) ? { allow: true } : deny(`resource-tier/${tier}`)
}

function byPolicy(policy: OperatorPolicy, kbsClass: KbsClass, facts: ResourceFacts): ResourceDecision {
  if (policy.kind === 'cedar') {
    const { allow, reasons } = decideResource(validateResourcePolicy(policy.text ?? ''), facts)
    return allow ? { allow } : { allow, reasons }
  }
  if (policy.kind === 'deny-all') return deny('deny-all')
  // Refused when it is uploaded, too; what stands in a database is looked at again.
  if (kbsClass !== 'development' || facts.token.verifier !== 'own') return deny('allow-all/development-only')
  return { allow: true }
}

/**
 * Whether a resource of the operator goes to the guest of a token, under the policies of now.
 *
 * What no policy can allow: simulated evidence outside of development, and evidence that is contraindicated or of no tier.
 */
export function decideOperatorResource(of: {
  readonly path: ResourcePath
  readonly token: PresentedToken
  readonly policies: OperatorPolicies
  readonly tiers: readonly ResourceTier[]
  readonly kbsClass: KbsClass
  readonly at: UnixSeconds
}): ResourceDecision {
  const { path, token, policies, tiers, kbsClass, at } = of
  const guest = guestOf(token, at)
  const policy = policyFor(policies, path)
  if (policy === null) return { ...byTier(guest, tiers), policy: null }
  const named = { id: policy.id, digest: operatorPolicyDigest(policy) }
  const { platform, tier, tee } = guest.evidence
  if (tee === '') return { ...deny('evidence-tee/absent'), policy: named }
  if (platform === 'simulated' && kbsClass !== 'development')
    return { ...deny('evidence-simulated/development-only'), policy: named }
  if (platform !== 'simulated' && (tier === 'contraindicated' || tier === 'none'))
    return { ...deny(`evidence-tier/${tier}`), policy: named }
  const { text, repository, type, tag } = path
  const facts = { time: at, path: { text, repository, type, tag }, ...guest }
  return { ...byPolicy(policy, kbsClass, facts), policy: named }
}

/** AR4SI, "executables": approved boot and runtime. */
const approved = 2

/**
 * The result of a guest whose evidence is genuine, under the operator's attestation policy: what it permits is affirming,
 * of what it does not nothing more is said than before. Owners' keys do not hang on it: their values are compared again.
 */
export function affirm(of: {
  readonly result: KbsResult
  readonly tee: VerifiedTee
  readonly initData: string | null
  readonly policies: OperatorPolicies
  readonly at: UnixSeconds
}): KbsResult {
  const { result, tee, initData, policies, at } = of
  const { attestation } = policies
  if (attestation === null || attestation.kind !== 'cedar' || result.status === 'affirming') return result
  const policy = validateAttestationPolicy(attestation.text ?? '')
  const { claims, platform } = result
  if (!decideAttestation(policy, guestEvidence({ tee, platform, claims, initData }), at).allow) return result
  return {
    ...result,
    status: 'affirming',
    vector: { ...result.vector, executables: approved },
    policyId: `claviger.kbs.operator.${policy.digest}`,
  }
}
