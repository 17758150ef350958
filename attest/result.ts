/**
 * What belongs in attest: the verifier (RFC 9334). Evidence, reference values, anchors and time go in, an attestation
 * result comes out, signed as an EAR where asked for. Pure but for service/, which serves it over HTTP. It decides no
 * release and knows no key broker.
 */

import type { AzureSnpClaims, AzureTdxClaims } from '#attest/azure/claims.js'
import type { Signatures } from '#attest/caches.js'
import type { CcaClaims } from '#attest/cca/claims.js'
import type { GpuClaims } from '#attest/gpu/claims.js'
import type { NitroClaims } from '#attest/nitro/claims.js'
import type { SgxClaims } from '#attest/sgx/claims.js'
import type { SnpClaims } from '#attest/snp/claims.js'
import type { Subject } from '#attest/subject.js'
import type { TdxClaims } from '#attest/tdx/claims.js'
import type { TracedStep } from '#attest/trace.js'
import { assert } from '#core/assert.js'
import type { UnixSeconds } from '#core/time.js'
import type { Check } from '#core/wire/ear.js'
import type { AnyEvidence, DeviceEvidence, Evidence, PartEvidence } from '#core/wire/evidence.js'
import { type Tier, type TrustVector, tierOf, type VectorName, vectorNames } from '#core/wire/trust-vector.js'

export type TenantClass = 'production' | 'development'

/**
 * Invariant: a class decides what simulated evidence is worth (I6). One that is none (left out, or spelled otherwise where
 * nobody compiles types) is a bug of the caller before anything is judged by it.
 */
export function assertTenantClass(tenantClass: TenantClass): void {
  const known: readonly unknown[] = ['production', 'development']
  assert(known.includes(tenantClass), 'the tenant class is production or development')
}

/** `unverified` when verification failed: such evidence says nothing about its platform. */
export type Platform = 'hardware' | 'simulated' | 'unverified'
/** The neutral claims of each kind of evidence of a machine. */
export type Claims = SnpClaims | TdxClaims | SgxClaims | NitroClaims | CcaClaims | AzureSnpClaims | AzureTdxClaims
/** The neutral claims of evidence of devices beside it. */
type DeviceClaims = GpuClaims
export type AnyClaims = Claims | DeviceClaims
/** Of composite evidence they are those of its machine; each part has its own. */
export type ClaimsOf<E extends AnyEvidence> = E extends DeviceEvidence ? DeviceClaims : Claims

/**
 * A verdict on evidence. It is a value: evidence that is bad is a normal outcome. Of devices it is one only where it is
 * asked for by type, so that no verdict on a device is taken for one on the machine that it is in.
 */
export interface AttestationResult<E extends AnyEvidence = Evidence> {
  readonly kind: E['kind']
  readonly platform: Platform
  readonly tenantClass: TenantClass
  /** the worst tier of the vector; release nothing on `contraindicated` or `none` */
  readonly status: Tier
  readonly vector: TrustVector
  /** every comparison made, good ones too, in order */
  readonly checks: readonly Check[]
  /** the trace: every step of the verification and every comparison, passed, failed or skipped, in order */
  readonly steps: readonly TracedStep[]
  /** comparisons that the appraisal policy left out by name and that were not made; empty under the default policy */
  readonly skipped: readonly string[]
  /** why verification failed; null when it did not */
  readonly failure: string | null
  /** null when verification failed: unverified claims do not leave the verifier */
  readonly claims: ClaimsOf<E> | null
  /** null when verification failed */
  readonly subject: Subject | null
  /** of composite evidence the verdict on each part, its machine first; empty for any other */
  readonly parts: readonly AttestationResult<PartEvidence>[]
  readonly at: UnixSeconds
  /**
   * signatures that this call verified and found good: of the machine and its devices, every time anew, and of vendors, whose
   * certificates, lists and collateral a caller may remember from an earlier call
   */
  readonly signatures: Signatures
  readonly policy: string
  /** SHA-256 of canonical JSON, hex */
  readonly digests: {
    readonly policy: string
    readonly referenceValues: string
    readonly collateral: string
    readonly evidence: string
  }
}

/** Values of draft-ietf-rats-ar4si, "Trustworthiness Claims", as this verifier gives them. */
export const trust = {
  noClaim: 0,
  approved: 2,
  approvedBoot: 3,
  knownVulnerabilities: 32,
  untrustworthy: 96,
  unrecognised: 97,
  verificationFailed: 99,
} as const

/** One comparison; `fix` says what the host or owner can do about it, and is dropped when nothing is wrong. */
export function check(
  id: string,
  claim: VectorName,
  value: number,
  text: { readonly expected: string; readonly found: string; readonly fix: string },
): Check {
  const status = tierOf(value)
  const [expected, found] = [shown(text.expected), shown(text.found)]
  return { id, claim, value, status, expected, found, fix: status === 'affirming' ? '' : text.fix }
}

/** What is shown is bounded, since some of it was written by the host; what is compared is not. */
export function shown(text: string): string {
  return text.length > 1900 ? `${text.slice(0, 1900)}...` : text
}

/** For each claim the worst value that a check gave it; 0, no claim, where there was no check. */
export function vectorOf(checks: readonly Check[]): TrustVector {
  const vector: Record<string, number> = Object.fromEntries(vectorNames.map((name) => [name, 0]))
  // Within one tier the higher number is the weaker statement (2 approved, 3 approved boot only).
  for (const { claim, value } of checks) vector[claim] = Math.max(vector[claim]!, value)
  return vector as unknown as TrustVector
}
