import { equal, fromBase64Url, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { hmacSha256 } from '#core/crypto/hash.js'
import { labelled } from '#core/crypto/jwk.js'
import type { Envelope } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { challengeSeconds, challengesMax, challengesPerLeaseMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { sessionOfChallenge, signTicket } from '#core/wire/landmark.js'
import { apiVersion, type Challenge, type ChallengeRequest, type Renewal } from '#core/wire/release.js'
import type { Broker } from '#keybroker/broker.js'
import type { BrokerCode } from '#keybroker/failures.js'

/** What a node shows to have challenges for renewals of its lease: the same for the lease's whole life, base64url. */
export function renewalToken(callerSecret: Uint8Array, lease: string): string {
  return toBase64Url(hmacSha256(callerSecret, labelled('claviger/renewal-token/v1', utf8(lease))))
}

/**
 * A nonce that waits for evidence about one model, for one use within two minutes.
 *
 * It is given out whether or not the model is known: what is registered here is not for everyone to find out. All strangers
 * together draw from one pot; a lease that runs has one of its own, so that nobody can keep its node from renewing it.
 *
 * With it goes a ticket for landmarks, where one is asked for: leave to time this key and no proof of anything. Whose key it is
 * the evidence says that comes with the receipts.
 *
 * renewal  from whoever wants to renew a lease; one that is not the lease's own, or of a lease that has ended, counts as none
 * throws   broker/challenges, database/...
 */
export async function challenge(
  broker: Broker,
  model: string,
  renewal: Renewal | null,
  timed?: ChallengeRequest['timed'],
): Promise<Challenge> {
  const at = broker.clock()
  const lease = renewal !== null && (await isHeld(broker, model, renewal, at)) ? renewal.lease : null
  const most = lease === null ? challengesMax : challengesPerLeaseMax
  const nonce = broker.random(32)
  const expiresAt = at + challengeSeconds
  if (!(await broker.store.storeNonce(nonce, model, { lease, at, expiresAt, most })))
    throw new Failure<BrokerCode>('broker/challenges', `${most} challenges wait for an answer`)
  const answer = { version: apiVersion, broker: broker.signer.id, nonce: toBase64Url(nonce), expiresAt } as const
  return { ...answer, ticket: timed && (await ticketFor(broker, answer, timed, lease)) }
}

function ticketFor(
  { signer, clock }: Broker,
  { nonce, expiresAt }: Pick<Challenge, 'nonce' | 'expiresAt'>,
  { key, keyset, landmarks }: NonNullable<ChallengeRequest['timed']>,
  lease: string | null,
): Promise<Envelope> {
  const about = { session: sessionOfChallenge(nonce), key, keyset, lease, landmarks }
  return signTicket({ type: 'claviger/landmark-ticket/v1', ...about, issuedAt: clock(), notAfter: expiresAt }, signer)
}

/** Whether the token is that of a lease of this model which runs. Lease ids are public; the token is not. */
async function isHeld(broker: Broker, model: string, { lease, token }: Renewal, at: UnixSeconds): Promise<boolean> {
  const own = renewalToken(broker.callerSecret, lease)
  if (!equal(fromBase64Url(token, 32), fromBase64Url(own, 32))) return false
  const row = await broker.store.read((reader) => reader.loadLease(lease))
  return row !== null && row.model === model && row.endedAt === null && row.expiresAt > at
}
