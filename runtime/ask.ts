import type { SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { type Binding, reportDataOf } from '#core/wire/binding.js'
import { signCounter } from '#core/wire/counter.js'
import { keysetDigest } from '#core/wire/keyset.js'
import { apiVersion, type Challenge, type ReleaseRequest, type Renewal } from '#core/wire/release.js'
import { bindingOf } from '#runtime/own-values.js'
import type { Broker, SessionCode, SessionPorts } from '#runtime/ports.js'
import { proveToNode } from '#runtime/proven-broker.js'
import type { Asked, OwnValues } from '#runtime/verify-grant.js'

function verifyChallenge(challenge: Challenge, own: OwnValues, at: UnixSeconds): void {
  if (challenge.broker !== own.broker) {
    throw new Failure<SessionCode>(
      'session/broker',
      `challenge is from broker ${challenge.broker}, expected ${own.broker}`,
    )
  }
  if (challenge.expiresAt <= at - clockSkewSeconds) {
    throw new Failure<SessionCode>(
      'session/challenge-expired',
      `challenge ended at ${challenge.expiresAt}, it is ${at}`,
    )
  }
}

/** What a node renews, and what it has used of it. */
export interface OwnRenewal extends Renewal {
  readonly inferences: number
  readonly receipt: SigningKey
}

/** The node's signed count. nonce: of the challenge; null for the last word on the lease */
export function countFor(
  { lease, inferences, receipt }: Omit<OwnRenewal, 'token'>,
  own: OwnValues,
  nonce: string | null,
): Promise<Envelope> {
  const about = { broker: own.broker, lease, keysetDigest: keysetDigest(own.keyset) }
  return signCounter({ type: 'claviger/counter/v1', ...about, inferences, nonce }, receipt)
}

/**
 * What the host presents, with what landmarks measured of this node's key under the challenge's ticket. Without anybody's word of
 * where the node is, round trips say nothing, and are not measured.
 */
async function presentedFor(
  { present, timing }: AskPorts,
  binding: Binding,
  { ticket }: Challenge,
): Promise<ReleaseRequest['presented']> {
  const receipts = present && timing && ticket !== undefined ? await timing.beTimed(ticket) : []
  const shown = await present?.(binding)
  return shown && { ...shown, timed: ticket && receipts.length > 0 ? { ticket, receipts } : undefined }
}

/** What it takes to answer a challenge. */
export type AskPorts = Pick<SessionPorts, 'attester' | 'now' | 'random' | 'appraiseBroker' | 'present' | 'timing'>

/**
 * Has the broker prove itself where that is demanded, takes a challenge, makes evidence that answers it, and composes the
 * request.
 *
 * renewal  null for a first release
 */
export async function ask(
  ports: AskPorts,
  broker: Pick<Broker, 'challenge' | 'prove'>,
  own: OwnValues,
  requestId: string,
  renewal: OwnRenewal | null,
  purpose: 'claviger.release.v1' | 'claviger.renew.v1' | 'claviger.qualify.v1' = renewal === null
    ? 'claviger.release.v1'
    : 'claviger.renew.v1',
): Promise<{ readonly asked: Asked; readonly request: ReleaseRequest }> {
  const leaseId = renewal?.lease ?? null
  const named = renewal && { lease: renewal.lease, token: renewal.token }
  const proven = await proveToNode(ports, broker, own) // before the broker learns anything of this node
  const { timing } = ports
  const timed = timing && { key: timing.key, keyset: keysetDigest(own.keyset), landmarks: timing.landmarks }
  const challenge = await broker.challenge(own.model, named, timed)
  verifyChallenge(challenge, own, ports.now())
  const binding = bindingOf(own, purpose, own.broker, challenge.nonce)
  const evidence = await ports.attester.attest(reportDataOf(binding))
  const asked = { binding, evidence, leaseId, proven }
  const request = {
    version: apiVersion,
    requestId,
    binding,
    evidence,
    keyset: own.keyset,
    config: own.config,
    modelVersion: own.modelVersion,
    manifestDigest: own.manifestDigest,
    host: own.host?.declaration ?? null,
    lease: leaseId,
    counter: renewal === null ? undefined : await countFor(renewal, own, challenge.nonce),
    presented: await presentedFor(ports, binding, challenge),
  } as const
  return { asked, request }
}
