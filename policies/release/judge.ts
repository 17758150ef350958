import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import type { Evidence } from '#core/wire/evidence.js'
import { keysetDigest } from '#core/wire/keyset.js'
import type { Declared } from '#core/wire/lease.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { ReleaseRequest } from '#core/wire/release.js'
import { type Decision, decide } from '#policies/decide.js'
import type { Reason } from '#policies/explain.js'
import { buildFacts } from '#policies/facts.js'
import { type PolicySet, policyDigest, validatePolicy } from '#policies/language/validate.js'
import { type Action, policyLanguage } from '#policies/language/vocabulary.js'
import type { Borders } from '#policies/location/borders.js'
import type { CapCode } from '#policies/location/claims.js'
import { acceptedRefusals } from '#policies/release/accepted.js'
import { type Appraised, type AppraisedNode, appraisalReasons, attestedClaims } from '#policies/release/appraised.js'
import { decideBroken, openGlass } from '#policies/release/break-glass.js'
import { establishedFor } from '#policies/release/established.js'
import type { RefusalCode } from '#policies/release/failures.js'
import type { KeptStatements } from '#policies/release/kept.js'
import {
  configRefusals,
  denial,
  keysetRefusals,
  modelRefusals,
  type ReleasePurpose,
  readCounter,
  readHost,
  verifyBinding,
} from '#policies/release/request.js'
import { type Revocable, revocableMachine, revocationRefusals } from '#policies/release/revocation.js'
import {
  type OwnerStatements,
  type VerifiedStatements,
  verifyBrokerTrusted,
  verifyOwnerStatements,
} from '#policies/release/statements.js'

/** The verifier, as a port: policies knows no kind of evidence. */
export type AppraiseEvidence<R extends Appraised> = (
  evidence: Evidence,
  anchors: { readonly simulatedRoots: readonly string[] },
  input: {
    readonly expectedReportData: Uint8Array
    /** what a vTPM has to carry, where that is not made of the report data in our own way */
    readonly expectedExtraData?: Uint8Array
    /** what these bytes are made of, where they are ours: it says which devices belong to the machine */
    readonly binding?: Binding
    readonly referenceValues: ReferenceValues
    readonly tenantClass: 'production' | 'development'
    readonly at: UnixSeconds
  },
) => Promise<R>

/** What judging needs of others. */
export interface JudgePorts<R extends Appraised> {
  readonly appraise: AppraiseEvidence<R>
  /** the map that round trips are judged on; asked for where a request brings any */
  readonly borders: Borders
  /** statements that were verified before; whoever judges once has none */
  readonly kept?: KeptStatements
}

/** Everything that a verdict is made of. A bundle carries the same. */
export interface JudgeInput {
  readonly request: ReleaseRequest
  readonly statements: OwnerStatements
  /** thumbprint of the key of the broker that decides */
  readonly broker: string
  /** the nonce that the broker gave out for this model; base64url */
  readonly nonce: string
  /** broker's clock */
  readonly at: UnixSeconds
  /** what the evidence has to be for, where it is for neither a release nor a renewal */
  readonly purpose?: ReleasePurpose
}

/**
 * What became of a request.
 *
 * refused  its evidence did not verify to an anchor for this challenge: nobody is known to have asked (SETTLED 10)
 * decided  allowed or denied, both of which stand in the log
 */
export type Verdict<R extends Appraised> =
  | { readonly stage: 'refused'; readonly code: string; readonly message: string; readonly fix: string | null }
  | Decided<R>

export interface Decided<R extends Appraised> {
  readonly stage: 'decided'
  readonly allow: boolean
  /** for the owner: it quotes the policy and says every refusal, those of code too */
  readonly decision: Decision
  readonly statements: VerifiedStatements
  readonly result: AppraisedNode<R>
  /** null when the host states nothing */
  readonly declared: Declared | null
  readonly node: Revocable
  /** where it allows only while the glass is broken: until when. Null else */
  readonly brokenUntil: UnixSeconds | null
  /** when something ends that facts of credentials rest on; null where they rest on none */
  readonly establishedUntil: UnixSeconds | null
  /** what is to be kept of where the node is said to be: why that contradicts itself; null for nothing */
  readonly contradiction: CapCode | null
  /** used since the lease was granted, as the node's TEE signed it; 0 in a first release */
  readonly inferences: number
}

/**
 * Whether the owner's statements allow this request, at this time: the one function that says so, for the broker when it
 * releases or renews, and for whoever repeats its decision from a bundle (I7).
 *
 * trusts   that the caller spent the nonce, and that `appraise` is the verifier; nothing else of the request is believed
 * returns  a value: what is wrong with a request is a normal outcome
 * throws   judge/statement-missing, judge/statement-false, judge/broker-not-trusted: there is nothing to decide by.
 *          judge/purpose, judge/audience, judge/binding-model, judge/nonce, judge/keyset-digest, judge/config-digest,
 *          judge/trust-digest, judge/devices-digest: the request is not an answer to this challenge
 */
export async function judgeRelease<R extends Appraised>(input: JudgeInput, ports: JudgePorts<R>): Promise<Verdict<R>> {
  const { request, broker } = input
  const statements = await verifyOwnerStatements(input.statements, request.binding.model, broker, ports.kept) // 1 what the owner signed
  return judgeUnder(statements, input, ports)
}

/**
 * What these statements say of a request, from the second step on: by others than the owner made, as in a dry run of a
 * policy, it is a verdict that nobody reached.
 *
 * trusts  that `statements` came out of verifyOwnerStatements, but for what the caller wants to try
 * throws  as judgeRelease
 */
export async function judgeUnder<R extends Appraised>(
  statements: VerifiedStatements,
  input: Omit<JudgeInput, 'statements'>,
  ports: JudgePorts<R>,
): Promise<Verdict<R>> {
  const { request, broker, at } = input
  const { model } = request.binding
  const purpose: ReleasePurpose =
    input.purpose ?? (request.lease === null ? 'claviger.release.v1' : 'claviger.renew.v1')
  const { tenant, trust, registration, policy, referenceValues, revocation } = statements
  const tenantClass = tenant.value.class
  verifyBrokerTrusted(trust, broker) // 2 the owner lets this broker decide
  verifyBinding(request, { purpose, broker, model, nonce: input.nonce, trustDigest: trust.digest }) // 3 one challenge
  const refusals: Reason[] = [
    ...keysetRefusals(request, at), // 4 keys of the node
    ...configRefusals(request, broker, tenantClass), // 5 settings of the host
    ...modelRefusals(request, statements, at), // 6 model, version, manifest
    ...acceptedRefusals(statements), // what the owner leaves open
  ]
  const host = await readHost(request) // 7 what the host says of itself
  const counter = await readCounter(request) // and the node of what it used
  const expectedReportData = reportDataOf(request.binding)
  const result = await ports.appraise(request.evidence, anchorsFor(statements), {
    expectedReportData,
    binding: request.binding,
    referenceValues: referenceValues.value.values,
    tenantClass,
    at,
  }) // 8 evidence, under the owner's reference values of now
  const refusal = unverified(result)
  if (refusal) return refusal
  const verified = result as AppraisedNode<R> // Invariant: `unverified` passed it
  const node: Revocable = {
    ...revocableMachine(verified),
    model,
    declared: host.declared,
    keysetDigest: keysetDigest(request.keyset),
    version: registration.value.version,
    leaseId: request.lease,
  }
  refusals.push(
    ...host.reasons,
    ...counter.reasons,
    ...revocationRefusals(revocation, node),
    ...appraisalReasons(result),
  ) // 9 taken back
  const established = await establishedFor(
    statements,
    request,
    verified,
    host.declared?.place ?? null,
    at,
    ports.borders,
  ) // 10 what others signed
  const action: Action = request.lease === null ? 'release' : 'renew'
  const decision = decideBy(policy.value.text, action, refusals, () =>
    buildFacts({
      at,
      keysetDigest: node.keysetDigest,
      attested: attestedClaims(verified),
      declared: host.declared,
      model: { id: model, version: request.modelVersion, manifestDigest: request.manifestDigest },
      tenantClass,
      purpose: request.config.purpose ?? null,
      established: established?.facts,
    }),
  ) // 11 the owner's policy
  const glass = request.lease === null && refusals.length === 0 ? openGlass(statements, at) : null // only of a release
  const broken = glass && decideBroken(decision, policy.value.text, glass) // 12 rules that are waived for now
  const final = broken ?? decision
  return {
    stage: 'decided',
    allow: final.allow,
    decision: final,
    brokenUntil: broken && glass ? glass.until : null,
    establishedUntil: established?.until ?? null,
    contradiction: established?.contradiction ?? null,
    statements,
    result: verified,
    declared: host.declared && { ...host.declared },
    node,
    inferences: counter.inferences,
  }
}

/**
 * Roots that stand for no vendor.
 *
 * Invariant: a production tenant has none, whatever its owner, a request or a database says (I6).
 */
export function anchorsFor(statements: VerifiedStatements): { readonly simulatedRoots: readonly string[] } {
  const development = statements.tenant.value.class === 'development'
  return { simulatedRoots: development ? statements.trust.value.simulatedRoots : [] }
}

/** The comparison of every kind of evidence that says whether it answers this challenge, wherever the kind binds it. */
const boundCheck = 'report-data'

/** A request is no decision while its evidence is nobody's, or an answer to some other challenge. */
export function unverified(
  result: Appraised,
): { stage: 'refused'; code: string; message: string; fix: string | null } | null {
  if (result.failure === null && result.subject !== null && result.platform !== 'unverified') {
    if (result.subject.machine === null) {
      const message = 'evidence is about devices alone'
      const fix = 'send evidence of the machine, with that of its devices'
      return { stage: 'refused', code: 'judge/no-machine' satisfies RefusalCode, message, fix }
    }
    const bound = result.checks.filter(({ id }) => id === boundCheck)
    if (bound.length > 0 && bound.every(({ status }) => status === 'affirming')) return null
    const message = 'evidence binds other report data than that of this request'
    const fix = 'make evidence for this challenge, with the keys and settings that are sent'
    return { stage: 'refused', code: 'judge/report-data' satisfies RefusalCode, message, fix }
  }
  const [failed] = result.checks
  const message = `evidence does not verify: ${failed?.found ?? 'it was not verified'}`
  return { stage: 'refused', code: result.failure ?? 'judge/report-data', message, fix: failed?.fix ?? null }
}

/** The policy's decision, in which a refusal of code stands first and is never outvoted. */
export function decideBy(
  text: string,
  action: Action,
  refusals: readonly Reason[],
  factsOf: () => Decision['facts'] & {},
): Decision {
  const nothing = (reason: Reason): Decision => ({
    type: 'claviger/decision/v1',
    allow: false,
    action,
    language: policyLanguage,
    policyDigest: policyDigest(text),
    factsDigest: null,
    facts: null,
    reasons: [...refusals, reason],
    errors: [],
    nearest: null,
  })
  let policy: PolicySet
  try {
    policy = validatePolicy(text)
  } catch (error) {
    if (!isFailure(error)) throw error
    return nothing(denial('judge/policy', `The policy cannot be read: ${error.message}.`, 'ask the owner'))
  }
  let facts: ReturnType<typeof factsOf>
  try {
    facts = factsOf()
  } catch (error) {
    if (!isFailure(error)) throw error
    return nothing(denial('judge/facts', `There are no facts: ${error.message}.`, 'correct the host statement'))
  }
  const decision = decide({ policy, facts, action })
  if (refusals.length === 0) return decision
  // A permit is no reason for a denial.
  const rest = decision.allow ? [] : decision.reasons
  return { ...decision, allow: false, reasons: [...refusals, ...rest], nearest: null }
}
