import type { VerifiedNode } from '#client/node-trust.js'
import type { Steps } from '#client/steps.js'
import { refuse } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import type { Json } from '#core/encoding/json.js'
import type { UnixSeconds } from '#core/time.js'
import { documentDigest } from '#core/wire/binding.js'
import type { ClientPolicy } from '#core/wire/client-policy.js'
import { commitBody } from '#core/wire/inner.js'
import { keysetDigest, verifyKeysetRoles } from '#core/wire/keyset.js'
import {
  claimedReceipt,
  type Receipt,
  type ReceiptFile,
  receiptFileShape,
  verifyReceiptSignature,
} from '#core/wire/receipt.js'
import { weakenings } from '#core/wire/runtime-config.js'
import type { Trust } from '#core/wire/trust-file.js'

/** The steps of judging a receipt: those of its node, then its own. */
export const receiptSteps = [
  ['receipt/form', 'the file has exactly the form of claviger/receipt-file/v1'],
  ...nodeSteps,
  ['receipt/signature', 'the receipt is signed with the receipt key of the node’s attested keyset'],
  ['receipt/joined', 'model, manifest, keyset, policy, lease and log entry are those of the node'],
  ['receipt/policy', 'the node echoed the policy that the client sent'],
  ['receipt/bodies', 'request and response are the ones that the receipt commits to'],
] as const satisfies readonly (readonly [string, string])[]

/** The steps that a receipt can pass without a trust file: they show consistency, nothing more. */
export const consistencySteps = [
  ['receipt/form', 'the file has exactly the form of claviger/receipt-file/v1'],
  ['receipt/signature', 'the receipt is signed with the receipt key in the file'],
  ['receipt/digests', 'keyset and settings have the digests that the receipt names'],
] as const satisfies readonly (readonly [string, string])[]

export interface VerifiedReceipt {
  readonly receipt: Receipt
  readonly node: VerifiedNode
}

/** What to judge a receipt by. */
export interface ReceiptTrust {
  readonly trust: Trust
  /** the policy that the client sent; null to judge by the one that the receipt echoes */
  readonly policy: ClientPolicy | null
  readonly dangerousAllowSimulated: boolean
  /** bodies as they were inside the sealed channel, where the reader has them */
  readonly bodies: { readonly request: Uint8Array; readonly response: Uint8Array } | null
}

function verifyJoined(receipt: Receipt, node: VerifiedNode): void {
  const same =
    receipt.model === node.lease.model &&
    receipt.version === node.lease.version &&
    receipt.manifestDigest === node.lease.manifestDigest &&
    receipt.manifestDigest === node.entry.manifest_digest &&
    receipt.keysetDigest === node.keysetDigest &&
    receipt.trustDigest === node.trustStatement.digest &&
    receipt.policyDigest === node.entry.policy_digest &&
    receipt.accepts === node.lease.policy.accepts &&
    receipt.leafHash === node.leafHash &&
    receipt.leaseId === node.lease.id &&
    receipt.beatAt === node.beat.at &&
    receipt.platform === node.platform &&
    receipt.notHardware === (node.platform !== 'hardware') &&
    documentDigest(receipt.weakenings) === documentDigest(node.document.weakenings)
  if (!same)
    throw refuse(
      'client/receipt-splice',
      'receipt and node name different models, keysets, policies, leases or log entries',
    )
  verifyBrokerOf(receipt, node)
  verifyOthers(receipt, node)
  if (receipt.entryIndex !== node.inclusion.index) {
    throw refuse(
      'client/entry-index',
      `receipt names log entry ${receipt.entryIndex}, the proof is of ${node.inclusion.index}`,
    )
  }
}

/** The node says that its broker proved itself where, and only where, the owner demands it. @throws client/broker-standing */
function verifyBrokerOf({ broker }: Receipt, { lease, trustStatement }: VerifiedNode): void {
  const demanded = trustStatement.value.attestedBrokers?.some((one) => one.broker === lease.broker) === true
  const proven = demanded ? lease.standing : 'UNATTESTED BROKER'
  if (broker !== proven)
    throw refuse('client/broker-standing', `receipt says ${broker}, the lease and the owner's demand make it ${proven}`)
}

/** Where several brokers hold the key: the receipt names the entries and leases of the others, too, in the node's order. */
function verifyOthers({ others }: Receipt, node: VerifiedNode): void {
  const shown = node.document.others === undefined ? undefined : node.others
  const same =
    others?.length === shown?.length &&
    (others ?? []).every((one, i) => {
      const grant = shown![i]!
      return (
        one.leafHash === grant.leafHash &&
        one.entryIndex === grant.inclusion.index &&
        one.leaseId === grant.lease.id &&
        one.policyDigest === grant.entry.policy_digest
      )
    })
  if (!same) throw refuse('client/receipt-splice', 'receipt and node name different brokers, leases or log entries')
}

/**
 * A receipt of a node that satisfies the reader's trust file, judged at the broker's time in it.
 *
 * throws  client/..., and the codes of core and attest for what they find wrong
 */
export async function verifyReceipt(file: Json, input: ReceiptTrust, steps: Steps): Promise<VerifiedReceipt> {
  const parsed = await steps.step('receipt/form', () => receiptFileShape(file, 'receipt'))
  const claimed = claimedReceipt(parsed.receipt)
  const asked = input.policy ?? claimed.clientPolicy
  const policy = { ...asked, dangerousAllowSimulated: input.dangerousAllowSimulated }
  const at: UnixSeconds = claimed.beatAt
  // The beat in the receipt is the one that the node had when it answered; the document may show a later one.
  const others = parsed.node.others?.map((one, i) => ({ ...one, beat: claimed.others?.[i]?.beat ?? one.beat }))
  const document = { ...parsed.node, beat: claimed.beat, others } as unknown as Json
  const node = await verifyNode(document, { trust: input.trust, policy, nonce: null, at }, steps)
  const receipt = await steps.step('receipt/signature', () =>
    verifyReceiptSignature(parsed.receipt, node.document.keyset.receipt),
  )
  await steps.step('receipt/joined', () => verifyJoined(receipt, node))
  await steps.step('receipt/policy', () => {
    if (input.policy !== null && documentDigest(receipt.clientPolicy) !== documentDigest(input.policy)) {
      throw refuse('client/receipt-policy', 'node echoed another policy than the client sent')
    }
  })
  if (input.bodies !== null) {
    const { bodies } = input
    await steps.step('receipt/bodies', () => verifyBodies(receipt, parsed, bodies))
  }
  return { receipt, node }
}

function verifyBodies(
  receipt: Receipt,
  file: ReceiptFile,
  bodies: { request: Uint8Array; response: Uint8Array },
): void {
  for (const which of ['request', 'response'] as const) {
    if (commitBody(which, bodies[which], file.openings[which]) !== receipt[which]) {
      throw refuse('client/receipt-body', `${which} is not the one that the receipt commits to`)
    }
  }
}

/** The receipt agrees with the document beside it. Without a trust file nothing more can be said (I19). */
export async function verifyConsistency(file: Json, steps: Steps): Promise<Receipt> {
  const parsed = await steps.step('receipt/form', () => receiptFileShape(file, 'receipt'))
  const receipt = await steps.step('receipt/signature', () =>
    verifyReceiptSignature(parsed.receipt, parsed.node.keyset.receipt),
  )
  await steps.step('receipt/digests', () => {
    verifyKeysetRoles(parsed.node.keyset)
    if (receipt.keysetDigest !== keysetDigest(parsed.node.keyset))
      throw refuse('client/keyset-splice', 'receipt names another keyset')
    if (documentDigest(receipt.weakenings) !== documentDigest(weakenings(parsed.node.config))) {
      throw refuse('client/weakenings', 'receipt lists other weakening settings than the node')
    }
  })
  return receipt
}
