import type { UnixSeconds } from '#core/time.js'
import { commit } from '#core/wire/commitment.js'
import { encodeEntry } from '#core/wire/entries.js'
import { type EntryWriter, newOpening, pendingEntry } from '#keybroker/entries.js'
import { type KbsClass, operatorPolicyDigest, type PolicyChange } from '#keybroker/kbs/policies.js'
import type { NewEntry } from '#keybroker/stored.js'

/** The entry of a policy that the operator set. Its opening stays beside it: whoever holds it shows which policy it was. */
export function writeOperatorPolicy(
  { decides, policy, previous }: PolicyChange,
  kbsClass: KbsClass,
  at: UnixSeconds,
  writer: EntryWriter,
): NewEntry {
  const openings = { policy: newOpening(writer.random) }
  const leaf = encodeEntry({
    kind: 'kbs-policy',
    type: 'claviger/entry/v1',
    at,
    class: kbsClass,
    decides,
    policy: commit('policy', policy, openings.policy),
    policy_digest: operatorPolicyDigest(policy),
    previous_digest: previous && operatorPolicyDigest(previous),
    broker: writer.standing,
  })
  return pendingEntry(null, 'kbs-policy', false, leaf, { policy, openings }, at, writer)
}
