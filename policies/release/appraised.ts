import type { UnixSeconds } from '#core/time.js'
import type { Check } from '#core/wire/ear.js'
import type { Reason as WireReason } from '#core/wire/release.js'
import type { Tier } from '#core/wire/trust-vector.js'
import type { Decision } from '#policies/decide.js'
import { explainFor } from '#policies/disclose.js'
import { codeReason, type Reason } from '#policies/explain.js'
import type { AttestedClaims } from '#policies/facts.js'

/**
 * What is asked of a machine, in words that belong to no vendor. Byte strings are lowercase hex.
 *
 * measurement   what was launched
 * measurements  every value that names software on it, `measurement` first
 * platformId    names one machine; null where its kind has no such id or the host hides it
 * tcbStatus     the vendor's word for the state of its firmware, if it has one
 * advisories    vendors' advisories that stand against it; `advisoriesTold` of which ids, or prefixes that end with a
 *               hyphen, it would name them: of any other the evidence says nothing
 * svns          reported security versions; what the kind does not count is left out
 */
export interface AppraisedMachine {
  readonly measurement: string
  readonly measurements: readonly string[]
  readonly platformId: string | null
  readonly debug: boolean
  readonly product: string
  readonly tcbStatus: string | null
  readonly advisories: readonly string[]
  readonly advisoriesTold: readonly string[]
  readonly svns: AttestedClaims['svns']
}

/** `devices` names each device; `drivers` and `vbioses` what runs on them. A node without devices has none of the three. */
export interface AppraisedDevices {
  readonly devices: readonly string[]
  readonly drivers: readonly string[]
  readonly vbioses: readonly string[]
}

/** What is used of an attestation result, whatever kind of evidence it is about. */
export interface Appraised {
  readonly kind: string
  readonly platform: 'hardware' | 'simulated' | 'unverified'
  readonly status: Tier
  readonly checks: readonly Check[]
  /** code of the failure of verification; null when the evidence verified */
  readonly failure: string | null
  /**
   * null when the evidence did not verify; `machine` null for evidence of devices alone, which says nothing of the machine
   * that asked them
   */
  readonly subject: (AppraisedDevices & { readonly machine: AppraisedMachine | null }) | null
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
  ...['rem0', 'rem1', 'rem2', 'rem3', 'personalization-value', 'realm-hash', 'platform-config', 'platform-software'],
])
const checkPrefix = 'attest/'
/** Refusals whose numbers are the owner's business with other hosts: a host reads that, not how much. */
const ownersCounts: ReadonlySet<string> = new Set(['broker/allowance-spent'])

/** A result on evidence that verified, of a machine. */
export type AppraisedNode<R extends Appraised> = R & {
  readonly subject: AppraisedDevices & { readonly machine: AppraisedMachine }
  readonly platform: 'hardware' | 'simulated'
}

/** What a verified result says, in words that belong to no vendor. */
export function attestedClaims(result: AppraisedNode<Appraised>): AttestedClaims {
  const { machine, devices } = result.subject
  return {
    // What devices a machine has is the reference values' matter: policies ask what the machine is.
    kind: result.parts?.[0]?.kind ?? result.kind,
    platform: result.platform,
    tier: result.status,
    warnings: result.checks.filter((check) => check.status === 'warning').map((check) => check.id),
    ...machine,
    devices,
    verifiedAt: result.at,
  }
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
    ownersCounts.has(reason.id)
      ? { ...reason, expected: null, actual: null }
      : ownersLists.has(reason.id.slice(checkPrefix.length)) && reason.id.startsWith(checkPrefix)
        ? { ...reason, expected: 'a value that the owner approves (not shown)' }
        : reason,
  )
}
