/**
 * What belongs in client/report: what an owner shows others of a model: under which law and by which rules its key was given out, on what
 * evidence, and what nobody knows. Gathered through ports, verified, and written as Markdown or HTML; no I/O and no clock.
 */

import type { UnixSeconds } from '#core/time.js'
import type { PolicyHeader } from '#policies/language/header.js'
import type { Policy } from '#policies/language/validate.js'
import type { Belonging } from '#policies/registry/resolve.js'

/** A report on one model: docs/spec/policy-report.md. */
export interface Report {
  readonly type: 'claviger/policy-report/v1'
  readonly model: string
  readonly madeAt: UnixSeconds
  /** both ends count */
  readonly since: UnixSeconds
  readonly until: UnixSeconds
  /** one for each broker that was asked: each decides and logs for itself */
  readonly brokers: readonly AtBroker[]
}

export interface AtBroker {
  readonly url: string
  readonly key: string
  readonly standing: string
  readonly class: 'production' | 'development'
  readonly version: number
  readonly versionFloor: number
  readonly manifestDigest: string
  readonly delivery: readonly string[]
  /** names of the brokers among whom the key is split; empty where this one holds the whole */
  readonly splitAmong: readonly string[]
  /** the one in force first; then others by which decisions of the period were made */
  readonly policies: readonly ReportedPolicy[]
  /** null where the owner never said whom it believes about places and companies */
  readonly sources: ReportedSources | null
  /** the newest first */
  readonly decisions: readonly ReportedDecision[]
  /** what the decisions of the period rested on, by group of facts */
  readonly evidence: readonly Tally[]
  /** the oldest first */
  readonly changes: readonly ReportedChange[]
  /** what the operator of the broker wrote about itself, the oldest first */
  readonly acts: readonly { readonly entry: number; readonly at: UnixSeconds; readonly says: string }[]
  /** entries that are the owner's by the log, and whose bundle does not verify: nothing of them is counted */
  readonly notVerified: readonly NotVerified[]
  readonly log: ReportedLog
}

export interface ReportedPolicy {
  readonly isInForce: boolean
  readonly name: string
  readonly sequence: number
  /** SHA-256 of the text */
  readonly digest: string
  /** SHA-256 of the owner's statement */
  readonly statement: string
  readonly signedBy: string
  readonly signedAt: UnixSeconds
  readonly accepts: string | null
  /** the entry by which it took effect; null where it does not stand in the part of the log that was read */
  readonly effect: { readonly entry: number; readonly at: UnixSeconds } | null
  /** decisions of the period that were made by it */
  readonly decisions: number
  readonly header: PolicyHeader | null
  readonly rules: readonly ReportedRule[]
}

type RuleText = Pick<Policy, 'id' | 'effect' | 'law' | 'explain' | 'remedy' | 'breakGlass' | 'text'>

export interface ReportedRule extends RuleText {
  /** paths below `context` */
  readonly facts: readonly string[]
  readonly counts: RuleCounts
}

/** In how many decisions of the period the rule allowed, refused, or was not satisfied. */
export interface RuleCounts {
  readonly allowed: number
  readonly refused: number
  readonly notSatisfied: number
}

export interface ReportedSources {
  readonly sequence: number
  readonly signedAt: UnixSeconds
  readonly inside: string
  readonly registry: ReportedDocument
  readonly directory: ReportedDocument
  readonly issuers: readonly {
    readonly id: string
    readonly title: string
    readonly controlledBy: string | null
    readonly kinds: readonly string[]
  }[]
  /** of places that decisions of the period were about: by which act each belongs to what, by this registry at the time of the report */
  readonly belongings: readonly Belonging[]
}

export interface ReportedDocument {
  readonly name: string
  readonly version: number
  readonly issuedAt: UnixSeconds
  readonly validUntil: UnixSeconds
  readonly digest: string
  /** why the keepers of the reader's trust file did not sign it; null where they did */
  readonly refused: string | null
}

export interface ReportedDecision {
  readonly entry: number
  readonly at: UnixSeconds
  readonly act: 'release' | 'renewal' | 'denial' | 'kbs'
  readonly allow: boolean
  readonly platform: 'hardware' | 'simulated'
  readonly policyDigest: string
  readonly reasons: readonly { readonly id: string; readonly effect: 'permit' | 'forbid' | 'no-permit' | 'code' }[]
  /** rules were waived while the glass was broken */
  readonly isBroken: boolean
  /** where the node stood and who ran it, by whose word */
  readonly where: string
  readonly whom: string
}

export interface ReportedChange {
  readonly entry: number
  readonly at: UnixSeconds
  readonly state: 'in force' | 'proposed' | 'called off'
  /** kind of the statement */
  readonly change: string
  readonly sequence: number
  /** the code and the note that its owner gave; null for none */
  readonly why: { readonly code: string; readonly note: string } | null
  /** one line each */
  readonly says: readonly string[]
}

export interface NotVerified {
  readonly entry: number
  readonly code: string
  readonly message: string
}

/** How far the log was read, and what stands in it. */
export interface ReportedLog {
  readonly origin: string
  readonly size: number
  readonly cosigners: readonly string[]
  /** index of the first entry that was read */
  readonly from: number
  /** whether it was read back to the begin of the period */
  readonly isWhole: boolean
  /** leaves among them that are no entry */
  readonly unreadable: number
  /** decisions of the owner's in the period that are about other models, by the broker's word alone */
  readonly others: number
  /** decisions of the period that stand in the log and that the broker did not name when it was asked */
  readonly unnamed: readonly number[]
  /** decisions that the broker named and that were not looked at, since there are more than was asked for */
  readonly notLookedAt: number
}

/** How often something was so. */
export interface Tally {
  readonly group: string
  readonly says: string
  readonly allowed: number
  readonly denied: number
}
