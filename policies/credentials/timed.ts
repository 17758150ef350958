import { fromBase64 } from '#core/bytes/bytes.js'
import { type Ed25519Jwk, thumbprint } from '#core/crypto/jwk.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { claimedTicket, sessionOfChallenge, type VerifiedTicket } from '#core/wire/landmark.js'
import { readLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import type { Presented } from '#core/wire/sources.js'
import type { NotCountedCode } from '#policies/credentials/rests.js'
import type { LandmarkMeasurement } from '#policies/location/claims.js'
import { type Landmarks, measurementOf } from '#policies/location/landmarks.js'

/** The node of a request, as landmarks time it. */
export interface Timeable {
  /** the landmark key of its attested keyset; null where it has none */
  readonly landmarkKey: Ed25519Jwk | null
  readonly keysetDigest: string
  /** of the challenge that the request answers, base64url */
  readonly challenge: string
  /** the lease that it renews; null for a first release */
  readonly lease: string | null
}

/**
 * Round trips of this node that landmarks of the owner measured after this challenge was given out. A receipt that is of another
 * key, another request or another landmark is none, and its code is told.
 *
 * landmarks  the directory that the owner signed; null where it signed none
 * trusts     that the directory was verified, and the keyset bound by verified evidence
 */
export async function timedOf(
  timed: Presented['timed'],
  landmarks: Landmarks | null,
  node: Timeable,
  at: UnixSeconds,
  refused: Set<string>,
): Promise<readonly LandmarkMeasurement[]> {
  const none = (code: string) => {
    refused.add(code)
    return []
  }
  if (timed === undefined) return []
  if (landmarks === null) return none('established/no-landmarks' satisfies NotCountedCode)
  let ticket: VerifiedTicket
  try {
    ticket = claimedTicket(timed.ticket)
  } catch (error) {
    if (!isFailure(error)) throw error
    return none(error.code)
  }
  if (!isOf(ticket, node)) return none('established/other-ticket' satisfies NotCountedCode)
  const measured: LandmarkMeasurement[] = []
  for (const envelope of timed.receipts)
    try {
      const { landmark } = readLandmarkReceipt(fromBase64(envelope.payload))
      measured.push(await measurementOf(landmarks, landmark, envelope, ticket, at))
    } catch (error) {
      if (!isFailure(error)) throw error
      refused.add(error.code)
    }
  return measured
}

/** Whether the ticket was made for this request: its session for the challenge, its key and keyset those of the evidence. */
function isOf({ ticket }: VerifiedTicket, { landmarkKey, keysetDigest, challenge, lease }: Timeable): boolean {
  return (
    landmarkKey !== null &&
    thumbprint(ticket.key) === thumbprint(landmarkKey) &&
    ticket.keyset === keysetDigest &&
    ticket.session === sessionOfChallenge(challenge) &&
    ticket.lease === lease
  )
}
