import type { AttestationResult } from '#attest/result.js'
import type { UnixSeconds } from '#core/time.js'
import type { VerifiedInclusion } from '#core/tlog/verify.js'
import type { BrokerStanding } from '#core/wire/broker-standing.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import type { Ear } from '#core/wire/ear.js'
import type { ReleaseEntry } from '#core/wire/entries.js'
import type { Beat, Declared, Lease } from '#core/wire/lease.js'
import type { NodeDocument } from '#core/wire/node-document.js'
import type { Signed, Statement } from '#core/wire/statements.js'
import type { Trust } from '#core/wire/trust-file.js'

/** What to judge a node by. Everything is the reader's own; nothing comes from the node. */
export interface NodeTrust {
  readonly trust: Trust
  readonly policy: ClientPolicy
  /** base64url of 32 bytes that the caller sent, or null for a document that is judged without asking the node */
  readonly nonce: string | null
  /** the reader's clock; for a receipt, the broker's time in it */
  readonly at: UnixSeconds
}

/** One broker's grant to a node that was judged good. */
export interface VerifiedGrant {
  readonly lease: Lease
  readonly beat: Beat
  readonly entry: ReleaseEntry
  readonly inclusion: VerifiedInclusion
  readonly leafHash: string
  /** cosigners that the reader counts as independent */
  readonly independentWitnesses: readonly string[]
  /** what the broker proved that it is, by the reader's own values */
  readonly standing: BrokerStanding
}

/** A node that was judged good: can only be made by `verifyNode`. */
export interface VerifiedNode {
  readonly document: NodeDocument
  readonly keysetDigest: string
  readonly trustStatement: Signed<Statement<'trust'>>
  readonly result: AttestationResult
  /** the title of the runtime in the trust file that the measurement fits */
  readonly runtime: string
  readonly ear: Ear
  readonly lease: Lease
  readonly beat: Beat
  readonly entry: ReleaseEntry
  readonly inclusion: VerifiedInclusion
  readonly leafHash: string
  /** cosigners that the reader counts as independent */
  readonly independentWitnesses: readonly string[]
  /** what the broker proved that it is, by the reader's own values */
  readonly standing: BrokerStanding
  /** the grants of the other brokers, where several hold the key */
  readonly others: readonly VerifiedGrant[]
  readonly declared: Declared | null
  readonly platform: 'hardware' | 'simulated'
}
