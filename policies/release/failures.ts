import type { CounterCode } from '#core/wire/counter.js'

/**
 * What belongs in policies/release: the one function that turns a request, the owner's statements and a time into a
 * verdict, for the broker that decides and for whoever repeats the decision offline (I7). No store, no log, no key.
 */

/**
 * Why a request is not a decision: it is refused before its evidence was verified (SETTLED 10). What the evidence
 * itself has wrong keeps the code of the verifier.
 */
export type RefusalCode =
  /** a statement that the owner must have made is not there: the model is not registered, or a record was taken away */
  | 'judge/statement-missing'
  /** a stored statement is not what the owner signed, or belongs to another owner or model (I18) */
  | 'judge/statement-false'
  | 'judge/broker-not-trusted'
  | 'judge/purpose'
  | 'judge/audience'
  | 'judge/binding-model'
  | 'judge/nonce'
  | 'judge/keyset-digest'
  | 'judge/config-digest'
  | 'judge/trust-digest'
  | 'judge/devices-digest'
  /** the evidence verified, but is about devices alone: whoever has a device can have it answer anything */
  | 'judge/no-machine'
  /** the evidence verified, but binds something else: an answer to another challenge, sent again */
  | 'judge/report-data'

/** Why a decision is a denial, beside the owner's policy and the reference values: refusals that stand in code. */
export type DenialCode =
  | 'judge/keyset-role'
  | 'judge/keyset-expired'
  /** the owner lets the key leave under a hybrid key exchange alone, and this node or route has none */
  | 'judge/key-exchange'
  | 'judge/delivery'
  | 'judge/config-model'
  | 'judge/config-broker'
  | 'judge/config-inspection'
  | 'judge/config-plain'
  | 'judge/config-simulated'
  | 'judge/config-unconfined'
  | 'judge/config-leaks'
  /** the policy of a production tenant would take any genuine chip, and its owner did not sign that it may */
  | 'judge/any-genuine-chip'
  | 'judge/manifest'
  | 'judge/version'
  | 'judge/version-floor'
  | 'judge/revoked-model'
  | 'judge/revoked-measurement'
  | 'judge/revoked-platform'
  /** a platform is revoked, and the node names none: it may be that one */
  | 'judge/hidden-platform'
  | 'judge/revoked-device'
  | 'judge/revoked-driver'
  | 'judge/revoked-vbios'
  | 'judge/revoked-advisory'
  /** an advisory is revoked, and evidence of this kind does not say whether it stands */
  | 'judge/hidden-advisory'
  | 'judge/revoked-host'
  /** a host, or an operator, is revoked, and the node names none */
  | 'judge/hidden-host'
  | 'judge/revoked-operator'
  | 'judge/hidden-operator'
  | 'judge/revoked-keyset'
  | 'judge/revoked-version'
  | 'judge/revoked-lease'
  /** the owner's licence for this version has ended */
  | 'judge/licence-ended'
  /** the owner counts inferences, which nothing does on this route */
  | 'judge/uncounted'
  /** a renewal without the node's count; one that its TEE did not sign for this lease and challenge has the count's own code */
  | 'judge/counter-missing'
  | CounterCode
  | 'judge/host-missing'
  | 'judge/host-statement'
  | 'judge/facts'
  | 'judge/policy'
