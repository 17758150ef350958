import type { UnixSeconds } from '#core/time.js'
import type { Evidence } from '#core/wire/evidence.js'
import { nothingPresented } from '#policies/credentials/establish.js'
import { buildFacts } from '#policies/facts.js'
import { acceptedRefusals } from '#policies/release/accepted.js'
import { type Appraised, type AppraisedNode, appraisalReasons, attestedClaims } from '#policies/release/appraised.js'
import { anchorsFor, type Decided, decideBy, type JudgePorts, unverified } from '#policies/release/judge.js'
import { denial, keyExchangeRefusals, licenceRefusals } from '#policies/release/request.js'
import { revocableMachine, revocationRefusals } from '#policies/release/revocation.js'
import { type OwnerStatements, verifyBrokerTrusted, verifyOwnerStatements } from '#policies/release/statements.js'

/** SHA-384 */
const kbsDigestSize = 48

/** What a verdict on the KBS route is made of. */
export interface KbsJudgeInput {
  readonly model: string
  readonly version: number
  readonly statements: OwnerStatements
  /** thumbprint of the key of the broker that decides */
  readonly broker: string
  readonly evidence: Evidence
  /** the 64 bytes that the evidence has to carry for the key to which the model key would go */
  readonly reportData: Uint8Array
  /** digest of that key: the guest has one in place of a keyset */
  readonly keyDigest: string
  readonly at: UnixSeconds
}

/** As a release is judged, but for what a client of this route cannot have: keyset, settings, a host's statement, a lease. */
export type KbsVerdict<R extends Appraised> =
  | { readonly stage: 'refused'; readonly code: string; readonly message: string; readonly fix: string | null }
  | Omit<Decided<R>, 'declared' | 'inferences'>

/**
 * Whether the owner's statements allow this model key to leave by the KBS route, at this time.
 *
 * trusts   that the caller spent the nonce, and that `appraise` is the verifier
 * throws   judge/statement-missing, judge/statement-false, judge/broker-not-trusted: there is nothing to decide by
 */
export async function judgeKbs<R extends Appraised>(
  input: KbsJudgeInput,
  ports: Omit<JudgePorts<R>, 'borders'>,
): Promise<KbsVerdict<R>> {
  const { model, version, reportData, keyDigest, at } = input
  const statements = await verifyOwnerStatements(input.statements, model, input.broker, ports.kept) // 1 what the owner signed
  const { tenant, trust, registration, policy, referenceValues, revocation } = statements
  const registered = registration.value
  verifyBrokerTrusted(trust, input.broker) // 2 the owner lets this broker decide
  const refusals = []
  const deliver = 'the owner has to list this route in the registration'
  if (!registered.delivery.includes('kbs'))
    refusals.push(denial('judge/delivery', 'The owner does not deliver it by this route.', deliver)) // 3 route (SETTLED 9)
  if (version !== registered.version || version < registered.versionFloor)
    refusals.push(denial('judge/version', 'Another version of the model is registered.', 'ask for that one'))
  refusals.push(
    ...keyExchangeRefusals(statements, null),
    ...licenceRefusals(statements, at),
    ...acceptedRefusals(statements),
  )
  if ((registered.allowance?.inferences ?? null) !== null)
    refusals.push(denial('judge/uncounted', 'The owner counts inferences, and nothing counts them here.', deliver))
  const result = await ports.appraise(input.evidence, anchorsFor(statements), {
    expectedReportData: reportData,
    // A vTPM takes the digest alone, without the zeros that fill up report data.
    expectedExtraData: reportData.subarray(0, kbsDigestSize),
    referenceValues: referenceValues.value.values,
    tenantClass: tenant.value.class,
    at,
  }) // 4 evidence, under the owner's reference values of now
  const refusal = unverified(result)
  if (refusal) return refusal
  const verified = result as AppraisedNode<R> // Invariant: `unverified` passed it
  const node = {
    ...revocableMachine(verified),
    model,
    declared: null,
    keysetDigest: keyDigest,
    version,
    leaseId: null,
  }
  refusals.push(...revocationRefusals(revocation, node), ...appraisalReasons(result)) // 5 taken back
  const decision = decideBy(policy.value.text, 'release', refusals, () =>
    buildFacts({
      at,
      keysetDigest: keyDigest,
      attested: attestedClaims(verified),
      declared: null,
      model: { id: model, version, manifestDigest: registered.manifestDigest },
      tenantClass: tenant.value.class,
      purpose: null,
      established: statements.sources === null ? undefined : nothingPresented,
    }),
  ) // 6 the owner's policy
  return {
    stage: 'decided',
    allow: decision.allow,
    decision,
    brokenUntil: null,
    establishedUntil: null,
    contradiction: null,
    statements,
    result: verified,
    node,
  }
}
