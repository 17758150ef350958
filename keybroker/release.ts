import { fromBase64Url, toBase64 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { hpkeSeal } from '#core/crypto/hpke.js'
import { Failure, isFailure } from '#core/failure.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { releaseKeyThumbprint } from '#core/wire/keyset.js'
import { type Lease, signLease } from '#core/wire/lease.js'
import {
  apiVersion,
  type Reason,
  type ReleaseAnswer,
  type ReleaseRequest,
  releaseAad,
  releaseInfo,
} from '#core/wire/release.js'
import type { NamedMachine } from '#core/wire/revoked.js'
import type { Broker, IssuableResult } from '#keybroker/broker.js'
import { renewalToken } from '#keybroker/challenge.js'
import type { BrokerCode } from '#keybroker/failures.js'
import { giveBack } from '#keybroker/give-back.js'
import { type Recorded, recordDecision } from '#keybroker/grant.js'
import { makeBeat } from '#keybroker/lease.js'
import { verifyLogged } from '#keybroker/logged.js'
import { modelKeyAad } from '#keybroker/model-key.js'
import { publish, publishPending } from '#keybroker/outbox.js'
import type { Judged } from '#keybroker/place.js'
import { verifyFitFor } from '#keybroker/proof.js'
import { recordOf } from '#keybroker/shares.js'
import { keyContextOf, readStanding, verifyTenantRow } from '#keybroker/standing.js'
import type { StoredModelKey } from '#keybroker/stored.js'
import { type Appraised, reasonsForHost } from '#policies/release/appraised.js'
import { type Decided, judgeRelease } from '#policies/release/judge.js'

/** What became of a request. */
export type Outcome =
  | { readonly kind: 'granted'; readonly answer: ReleaseAnswer }
  /** it stands in the log; reasons as the host may read them */
  | {
      readonly kind: 'denied'
      readonly reasons: readonly Reason[]
      readonly entry: number
      readonly simulated: boolean
    }
  /** its evidence verified to nothing: no decision, no entry (SETTLED 10) */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string; readonly fix: string | null }

// Each round decides by statements that changed during the one before: an owner who keeps changing them waits.
const roundsMax = 5

/**
 * Releases a model key to a node, or renews its lease, if the owner's statements allow it now.
 *
 * Invariant: the key leaves only under a public key that verified evidence binds (I2), only after its entry is in the
 * log under a cosigned checkpoint (I3), and opens only with that entry's leaf (TRUST 2).
 * throws  broker/unknown-model, broker/record, broker/key, broker/unattested, broker/simulated, broker/changing, broker/rate, broker/log-proof, broker/clock, judge/..., store/nonce-unknown,
 *         store/request-reused, log/..., kek/..., database/...
 */
export async function release(broker: Broker, request: ReleaseRequest): Promise<Outcome> {
  const { model, nonce } = request.binding
  // 1 the nonce is spent, whatever follows (I12)
  await broker.store.consumeNonce(fromBase64Url(nonce, 32), model, broker.clock(), request.lease)
  for (let round = 1; round <= roundsMax; round++) {
    const at = broker.clock()
    const standing = await broker.store.read((reader) => readStanding(reader, broker, model, request.modelVersion)) // 2 what is true now (I5)
    const input = { request, statements: standing.statements, broker: broker.signer.id, nonce, at }
    const verdict = await judgeRelease<IssuableResult>(input, broker) // 3 statements, binding, evidence, policy
    if (verdict.stage === 'refused') return { ...verdict, kind: 'refused' }
    verifyTenantRow(standing.tenant, verdict.statements.tenant)
    verifyFitFor(broker, verdict.statements.trust.value)
    if (round === 1 && !(await broker.admit(standing.tenant.id, machineOf(verdict.node))))
      throw new Failure<BrokerCode>('broker/rate', 'more requests in a minute than are decided; wait')
    const ear = verdict.allow ? await issueEar(broker, verdict, request) : ''
    const judged: Judged = { verdict, standing, request, at, ear }
    if (verdict.allow) await verifyKeyThere(broker, verdict, standing.key, request.lease) // 4 a key that can leave
    const recorded = await recordDecision(broker, judged) // 5 decision, lease and entry in one step
    if (recorded.kind === 'granted')
      return { kind: 'granted', answer: await answerOrGiveBack(broker, judged, recorded) }
    if (recorded.kind === 'denied') return await denied(broker, recorded)
    if (recorded.kind === 'pending') await publishPending(broker, standing.tenant.id)
  }
  throw new Failure<BrokerCode>('broker/changing', "the owner's statements kept changing; ask again")
}

/**
 * Whom to count a request to. A node chooses its keys, so they are no name: those that hide their machine are counted
 * together, by what they run, and take no place of others.
 */
function machineOf({ platformId, measurements }: NamedMachine): string {
  return platformId ?? `hidden ${measurements[0]}`
}

function issueEar(broker: Broker, verdict: Decided<IssuableResult>, request: ReleaseRequest): Promise<string> {
  return verdict.result.issueEar({
    audience: broker.signer.id,
    nonce: request.binding.nonce,
    keyThumbprint: releaseKeyThumbprint(request.keyset),
    keysetDigest: request.binding.keyset_digest,
  })
}

async function denied(broker: Broker, recorded: Recorded & { readonly kind: 'denied' }): Promise<Outcome> {
  const { index } = await publish(broker, recorded.written.entry)
  const { verdict } = recorded
  return {
    kind: 'denied',
    reasons: reasonsForHost(verdict.decision),
    entry: index,
    simulated: verdict.result.platform === 'simulated',
  }
}

/** Nothing leaves without its proof, and what does not leave holds no place: the owner allows so many nodes at a time. */
async function answerOrGiveBack(
  broker: Broker,
  judged: Judged,
  recorded: Recorded & { readonly kind: 'granted' },
): Promise<ReleaseAnswer> {
  try {
    return await answer(broker, judged, recorded)
  } catch (error) {
    // Without its database the broker cannot; the place is free then when the lease would have ended.
    await giveBack(broker, judged, recorded).catch((trouble: unknown) => {
      if (!isFailure(trouble)) throw trouble
    })
    throw error
  }
}

async function answer(
  broker: Broker,
  judged: Judged,
  recorded: Recorded & { readonly kind: 'granted' },
): Promise<ReleaseAnswer> {
  const { verdict, request } = judged
  const { lease, key, written } = recorded
  const { proof } = await publish(broker, written.entry) // 6 in the log, cosigned (I3)
  await verifyLogged(broker, proof, written.entry.leaf, verdict.statements.trust.value) // 7 as the owner asks for
  const wrapped = request.lease === null ? await wrapKey(broker, verdict, request, written.entry.leaf, key) : null
  return {
    version: apiVersion,
    leaf: toBase64(written.entry.leaf),
    openings: written.openings,
    decision: written.decision,
    proof,
    lease: await signLease(lease, broker.signer),
    beat: await beatFor(broker, lease, request.binding.nonce),
    ear: judged.ear,
    renewalToken: renewalToken(broker.callerSecret, lease.id),
    wrapped,
  }
}

/** The first beat answers the nonce of the challenge: the runtime has no other of its own yet. */
function beatFor(broker: Broker, lease: Lease, nonce: string) {
  return makeBeat(lease, nonce, broker.clock(), broker.signer)
}

/**
 * The model key for the node's release key. It opens only with the leaf of its own entry.
 *
 * The associated data under which it was stored is built from what the owner signed, so a row that was swapped, a class
 * that was flipped or an older trust statement yields no key (I18).
 */
async function wrapKey(
  broker: Broker,
  verdict: Decided<Appraised>,
  request: ReleaseRequest,
  leaf: Uint8Array,
  stored: StoredModelKey,
): Promise<string> {
  const { registration } = verdict.statements
  const aad = modelKeyAad(keyContextOf(verdict.statements, broker.signer.id))
  const key = await unwrap(broker, stored, aad)
  const dek = registration.value.quorum === undefined ? key : recordOf(registration.value, broker, stored, key)
  try {
    const sealed = await hpkeSeal(
      request.keyset.release,
      releaseInfo(hashLeaf(leaf)),
      releaseAad(request.manifestDigest),
      dek,
    )
    return toBase64(sealed)
  } finally {
    wipe(dek)
  }
}

/**
 * The stored key unwraps now: the log shall not say that a key was released which its provider did not give out. It is wiped at
 * once, and unwrapped again after its entry is in the log; what fails in between is given back.
 *
 * stored  of the registered version; null when there is none
 * throws  broker/key, kek/..., database/...
 */
export async function verifyUnwraps(
  broker: Broker,
  { statements }: Pick<Decided<Appraised>, 'statements'>,
  stored: StoredModelKey | null,
): Promise<void> {
  if (stored === null) throw new Failure<BrokerCode>('broker/key', 'there is no key of this version')
  wipe(await unwrap(broker, stored, modelKeyAad(keyContextOf(statements, broker.signer.id))))
}

/** A renewal opens no key, and yet prolongs the use of one: not by a broker that may not use its own any more. @throws as verifyUnwraps */
async function verifyKeyThere(
  broker: Broker,
  verdict: Decided<Appraised>,
  stored: StoredModelKey | null,
  lease: string | null,
): Promise<void> {
  if (lease === null) await verifyUnwraps(broker, verdict, stored)
  else broker.kek.verifyUsable()
}

/** Failures that are the stored row's, and not those of the provider of the key-encryption key. */
const rowRefusals: readonly string[] = ['kek/unwrap', 'kek/key-id']

async function unwrap(broker: Broker, stored: StoredModelKey, aad: Uint8Array): Promise<Uint8Array> {
  try {
    return await broker.kek.unwrapDek(stored.wrapped, aad, stored.keyId)
  } catch (cause) {
    // A token or a vault that is away says nothing about the row: asking again may help.
    if (!isFailure(cause) || !rowRefusals.includes(cause.code)) throw cause
    const message = 'the stored key does not unwrap for what the owner signed'
    throw new Failure<BrokerCode>('broker/key', message, { cause })
  }
}
