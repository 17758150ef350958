import type { UnixSeconds } from '#core/time.js'
import type { Measurement } from '#policies/location/prove.js'

/** What a statement about a place rests on. `rtt` is never stated: it is measured. */
export const statedBases = [
  'self',
  'measured-config',
  'cloud',
  'operator',
  'possession',
  'registry',
  'auditor',
  'asset-tag',
  'tamper',
] as const
export type StatedBasis = (typeof statedBases)[number]
export type Basis = StatedBasis | 'rtt'

export type Grade = 0 | 1 | 2 | 3 | 4 | 5

/** How long a grade lasts at most, in seconds. L0 is nothing to keep; L4 and L5 are measured again within minutes. */
export const gradeSecondsMax: Readonly<Record<Grade, number>> = {
  0: 0,
  1: 86_400,
  2: 7 * 86_400,
  3: 90 * 86_400,
  4: 600,
  5: 600,
}
/** A tag and a chassis signal are looked at again after this. */
export const tagSecondsMax = 30 * 86_400

/** How far a basis carries by itself. `possession` says whose a machine is, and tag and tamper signal only add to a place. */
export const gradeOfBasis: Readonly<Record<StatedBasis, Grade>> = {
  self: 0,
  'measured-config': 1,
  cloud: 2,
  operator: 2,
  possession: 0,
  registry: 3,
  auditor: 3,
  'asset-tag': 0,
  tamper: 0,
}

/** What somebody says of where a platform is. */
export interface LocationClaim {
  readonly basis: StatedBasis
  /** who says it, as the reader's directory names it */
  readonly issuer: string
  /** thumbprint of the key that the signature was traced to: claims under one root are one claim */
  readonly rootKey: string
  /** the company that controls the issuer; null for an authority, which nobody under test controls */
  readonly controller: string | null
  /** country or area of the jurisdiction registry */
  readonly place: string
  readonly exclave: boolean
  /** salted hash of the platform's id; null where the claim names none */
  readonly platform: string | null
  /** thumbprint of the workload's key; null where the claim names none */
  readonly workloadKey: string | null
  readonly notBefore: UnixSeconds
  readonly expires: UnixSeconds
  /** what has to be true for it to mean anything, by names */
  readonly assumes: readonly string[]
}

/** One landmark's receipt, as it was verified. */
export interface LandmarkMeasurement extends Measurement {
  /** the company that runs the landmark */
  readonly operator: string
  /** thumbprint of the key that signed the receipt */
  readonly rootKey: string
  readonly workloadKey: string
  readonly at: UnixSeconds
}

/** The node that is asked about, from its verified evidence. */
export interface Subject {
  /** salted hash of the platform's id; null where the kind has none or the host hides it */
  readonly platform: string | null
  /** thumbprint of the key that was timed, from the attested keyset */
  readonly workloadKey: string
  /** the company that runs the node; null when nobody established it, and then nobody is independent of it */
  readonly operator: string | null
}

/** A contradiction that was seen. It stands until a person clears it: a host can make one disappear by adding delay. */
export interface Contradiction {
  readonly platform: string | null
  readonly workloadKey: string
  readonly at: UnixSeconds
  readonly because: CapCode
  readonly cleared: { readonly by: string; readonly at: UnixSeconds } | null
}

/** Why a grade is not higher, or a claim was not used. */
export type CapCode =
  | 'location/no-claim'
  | 'location/not-yet-valid'
  | 'location/expired'
  /** names neither platform nor workload key */
  | 'location/unbound'
  | 'location/other-platform'
  | 'location/other-key'
  /** the platform's id is hidden, so no registry can know it */
  | 'location/masked-platform'
  /** under the root key of another claim, which is the weaker one */
  | 'location/same-root'
  /** by the operator under test, or nobody knows who that is */
  | 'location/not-independent'
  /** says a place that the registry does not know, or that is disputed */
  | 'location/place-unknown'
  /** says a place that does not belong to the target */
  | 'location/outside-target'
  | 'location/no-measurement'
  /** the round trips do not prove the target */
  | 'location/not-proved'
  /** too few companies run the landmarks */
  | 'location/landmark-operators'
  /** without one company's landmarks there is no proof, so that company alone decides */
  | 'location/landmark-decides'
  | 'location/no-tag'
  | 'location/no-tamper-signal'
  /** claims that were used name different countries */
  | 'location/claims-differ'
  /** round trips exclude the place that is claimed */
  | 'location/refuted'
  /** discs have no place in common */
  | 'location/apart'
  /** seen before, and not cleared */
  | 'location/standing'
