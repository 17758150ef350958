import type { SignatureJwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { UnixSeconds } from '#core/time.js'
import type { Evidence } from '#core/wire/evidence.js'
import type { KbsEvidence } from '#keybroker/kbs/evidence.js'
import type { KbsClass, OperatorPolicies } from '#keybroker/kbs/policies.js'
import type { ModelKeyPath, ResourcePath } from '#keybroker/kbs/resource.js'
import type { KbsResult, KbsToken, PresentedToken } from '#keybroker/kbs/token.js'

/** A session, by the digest of its id. */
export interface KbsSession {
  readonly idDigest: Uint8Array
  readonly tee: string
  readonly nonce: string
  readonly expiresAt: UnixSeconds
}

/** Where sessions are kept; all replicas of a broker share them. */
export interface KbsSessions {
  /** sessions that wait for their evidence */
  countOpen(at: UnixSeconds): Promise<number>
  store(session: KbsSession): Promise<void>
  /** Spends the session's nonce: of all callers ever exactly one returns (I12). null when there is none to spend */
  take(idDigest: Uint8Array, at: UnixSeconds): Promise<KbsSession | null>
  finish(idDigest: Uint8Array, token: string, at: UnixSeconds): Promise<void>
  drop(idDigest: Uint8Array): Promise<void>
  /** the token of an attested session, or null */
  loadToken(
    idDigest: Uint8Array,
    at: UnixSeconds,
  ): Promise<{ readonly token: string; readonly expiresAt: UnixSeconds } | null>
}

/** Evidence that a token was issued for, kept as long as the token lives. */
export interface EvidenceStore {
  store(tokenId: string, evidence: Evidence, at: UnixSeconds, expiresAt: UnixSeconds): Promise<void>
  load(tokenId: string, at: UnixSeconds): Promise<Evidence | null>
}

/**
 * The verifier: its result, and the evidence with its collateral as the verifier takes it. Returns only when the
 * evidence is genuine under the anchors that hold for this broker, meets its reference values if it has any, and carries exactly these 64 bytes
 * of report data (a vTPM: their first 48, which are the digest) and, when given, these of host data.
 * Throws a Failure for everything else.
 */
export type VerifyKbsEvidence = (
  evidence: KbsEvidence,
  expected: { readonly reportData: Uint8Array; readonly hostData: Uint8Array | null },
  at: UnixSeconds,
) => Promise<{ readonly result: KbsResult; readonly evidence: Evidence }>

/** Whether a resource may go to the guest of a token, as the policy of now has it. */
export type ResourceDecision = (
  | { readonly allow: true }
  | { readonly allow: false; readonly reasons: readonly string[] }
) & {
  /** the policy that decided, and its digest; null for the rule that is built in */
  readonly policy?: { readonly id: string; readonly digest: string } | null
}

/** Policies of the operator's own. All replicas of a broker share them. */
export interface PolicyStore {
  /** those in force, each of them in the log; `noPolicies` when none was ever uploaded */
  load(): Promise<OperatorPolicies>
  /**
   * Others in their place, made of those that are there, and in the log on return: two who change them at the same time both have their
   * say.
   */
  change(change: (now: OperatorPolicies) => OperatorPolicies): Promise<void>
}

/** Resources that administrators put here. Model keys are not among them. */
export interface ResourceStore {
  load(path: ResourcePath): Promise<Uint8Array | null>
  /** in place of the one that was there */
  store(path: ResourcePath, resource: Uint8Array): Promise<void>
  remove(path: ResourcePath): Promise<void>
}

/** A model key as the KBS route sees it. */
export interface ModelKeyRoute {
  /** the routes that the owner's registration of this version lists, verified; null when there is no such key */
  loadDelivery(key: ModelKeyPath): Promise<readonly string[] | null>
  /**
   * Decides by the owner's policy, puts the decision into the log, and only then opens the key; the caller wipes it.
   * null when the decision was to deny.
   */
  release(key: ModelKeyPath, token: KbsToken, at: UnixSeconds): Promise<Uint8Array | null>
}

/** Everything around the KBS routes. */
export interface KbsPorts {
  readonly clock: () => UnixSeconds
  readonly random: (size: number) => Uint8Array
  /** signs tokens; ES256 for readers other than this broker */
  readonly signer: SigningKey
  readonly sessions: KbsSessions
  readonly evidence: EvidenceStore
  readonly verifyEvidence: VerifyKbsEvidence
  readonly decide: (path: ResourcePath, token: PresentedToken, at: UnixSeconds) => Promise<ResourceDecision>
  /** The decision stands durably in the log on return; called before the answer, for allow and deny alike (I3). */
  readonly record: (
    path: ResourcePath,
    token: PresentedToken,
    decision: ResourceDecision,
    at: UnixSeconds,
  ) => Promise<void>
  readonly resources: ResourceStore
  /** null: no model key leaves by this route */
  readonly models: ModelKeyRoute | null
  /** Returns only for an administrator's request. @throws kbs/admin */
  readonly authoriseAdmin: (authorization: string | undefined) => Promise<void>
  readonly policies: PolicyStore
  /** the class of the operator's own resources */
  readonly kbsClass: KbsClass
  /** the protocol's sample evidence, which anybody can write, gets tokens that are NOT HARDWARE */
  readonly dangerousAllowSample: boolean
  /** keys of other verifiers whose tokens are taken; with none of them, only our own are */
  readonly verifiers: readonly SignatureJwk[]
}
