import type { UnixSeconds } from '#core/time.js'
import type { CredentialKind } from '#policies/credentials/kinds.js'
import type { VerifiedCredential } from '#policies/credentials/verify.js'

/** Why a credential that holds does not count for this node. */
export type NotCountedCode =
  /** two say who runs the node: nobody can tell which */
  | 'established/companies'
  /** nobody shows who runs the node, so that it is about nobody */
  | 'established/no-company'
  /** it is about another company */
  | 'established/other-company'
  /** what it permits, it permits elsewhere, or nobody shows where the node is */
  | 'established/elsewhere'
  /** it was timed by landmarks, and its owner named none whom it believes */
  | 'established/no-landmarks'
  /** its round trips were measured of another key, or for another request */
  | 'established/other-ticket'
  /** two grants say what the model may be used for: nobody can tell by which */
  | 'established/licences'
  /** it is about another model */
  | 'established/other-model'

/** A credential that holds, of this kind. */
export type Verified<K extends CredentialKind> = Extract<VerifiedCredential, { kind: K }>

/** 3 where whoever controls the issuer is the company itself. */
export function gradeOf({ issuer }: VerifiedCredential, ids: readonly string[]): 2 | 3 {
  return issuer.controlledBy !== null && ids.includes(issuer.controlledBy) ? 2 : 3
}

export const sorted = (list: readonly string[]): readonly string[] => [...new Set(list)].sort()
export const ageOf = (then: UnixSeconds, at: UnixSeconds): number => Math.max(0, at - then)

/** Facts, the credentials that they rest on, and when something else ends that they rest on. */
export interface Rests<F> {
  readonly facts: F
  readonly used: readonly VerifiedCredential[]
  readonly ends: readonly UnixSeconds[]
}
