import type { UnixSeconds } from '#core/time.js'
import type { Check } from '#core/wire/ear.js'
import type { Reason as WireReason } from '#core/wire/release.js'
import type { Tier } from '#core/wire/trust-vector.js'
import type { Decision } from '#policies/decide.js'
import { explainFor } from '#policies/disclose.js'
import { codeReason, type Reason } from '#policies/explain.js'
import type { AttestedClaims } from '#policies/facts.js'

interface Svns {
  readonly fmc: number | null
  readonly bootLoader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
}

/** What is used of the claims of verified evidence. Byte strings are lowercase hex. */
export interface AppraisalClaims {
  readonly measurement: string
  /** null when masked */
  readonly chipId: string | null
  readonly debug: boolean
  readonly product: string
  /** what the kind does not count in such numbers is left out */
  readonly tcb?: { readonly reported: Svns }
}

/** What is used of an attestation result, whatever kind of evidence it is about. */
export interface Appraised {
  readonly kind: string
  readonly platform: 'hardware' | 'simulated' | 'unverified'
  readonly status: Tier
  readonly checks: readonly Check[]
  /** code of the failure of verification; null when the evidence verified */
  readonly failure: string | null
  readonly claims: AppraisalClaims | null
  /** of composite evidence its parts, the machine first */
  readonly parts?: readonly { readonly kind: string }[]
  readonly at: UnixSeconds
}

/** Comparisons whose expected side is an owner's list of accepted values: not for a host to read (TRUST 14). */
const ownersLists = new Set([
  ...['measurement', 'host-data', 'id-key', 'author-key', 'chip-id', 'csp-id'],
  ...['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3', 'mr-seam', 'mr-config-id', 'mr-owner', 'mr-owner-config', 'compose-hash'],
  ...['xfam', 'fmspc', 'config-id', 'advisories'],
  ...['pcr3', 'pcr4', 'pcr8', 'module-id', 'vm-id'],
  ...Array.from({ length: 16 }, (_, index) => `pcr-${index}`),
  ...['devices/device-id', 'devices/driver-version', 'devices/vbios-version', 'devices/mode'],
  ...['pcr3', 'pcr4', 'pcr8', 'module-id'],
  ...['rem0', 'rem1', 'rem2', 'rem3', 'personalization-value', 'realm-hash', 'platform-config', 'platform-software'],
])
const checkPrefix = 'attest/'

/** What a verified result says, in words that belong to no vendor. */
export function attestedClaims(
  result: Appraised & { readonly claims: AppraisalClaims; readonly platform: 'hardware' | 'simulated' },
): AttestedClaims {
  return {
    // What devices a machine has is the reference values' matter: policies ask what the machine is.
    kind: result.parts?.[0]?.kind ?? result.kind,
    platform: result.platform,
    tier: result.status,
    warnings: result.checks.filter((check) => check.status === 'warning').map((check) => check.id),
    measurement: result.claims.measurement,
    debug: result.claims.debug,
    product: result.claims.product,
    tcb: reportedTcb(result.claims),
    verifiedAt: result.at,
  }
}

function reportedTcb({ tcb }: AppraisalClaims): AttestedClaims['tcb'] {
  if (tcb === undefined) return {}
  const { fmc, ...reported } = tcb.reported
  return { ...reported, ...(fmc === null ? {} : { fmc }) }
}

/** Every comparison that refuses, as a reason. */
export function appraisalReasons(result: Appraised): readonly Reason[] {
  return result.checks
    .filter((check) => check.status === 'contraindicated' || check.status === 'none')
    .map((check) =>
      codeReason(`${checkPrefix}${check.id}`, `The evidence does not meet ${check.id}.`, check.fix, [
        { expected: check.expected, actual: check.found, facts: [], head: false },
      ]),
    )
}

/** The reasons of a denial as the host may read them: what refused and what would satisfy it, but no list of the owner's. */
export function reasonsForHost(decision: Decision): readonly WireReason[] {
  return explainFor('host', decision).reasons.map((reason) =>
    ownersLists.has(reason.id.slice(checkPrefix.length)) && reason.id.startsWith(checkPrefix)
      ? { ...reason, expected: 'a value that the owner approves (not shown)' }
      : reason,
  )
}
