import { fromBase64Url, fromHex, toHex } from '#core/bytes/bytes.js'
import { type Ed25519Jwk, thumbprint, thumbprintShape } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { base64Url, hex, integer, literal, nullable, object, type Shaped } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds, probesAnsweredMin, probesMax } from '#core/limits.js'
import { formatTime } from '#core/time.js'
import { type LandmarkCode, landmarkNameShape, type VerifiedTicket, verifyTranscript } from '#core/wire/landmark.js'
import { idShape, timeShape } from '#core/wire/names.js'

export const landmarkReceiptPayloadType = 'application/vnd.claviger.landmark-receipt+json'

const nanoseconds = integer({ max: 60_000_000_000 })

/** What a landmark measured of one key in one session. It says how far away the key was at most, and nothing else. */
export const landmarkReceiptShape = object({
  type: literal('claviger/landmark-receipt/v1'),
  landmark: landmarkNameShape,
  session: idShape,
  /** SHA-256 of the ticket's bytes */
  ticket: hex(32),
  /** thumbprint of the key that was timed */
  key: thumbprintShape,
  keyset: hex(32),
  lease: nullable(idShape),
  sent: integer({ min: 1, max: probesMax }),
  answered: integer({ min: probesAnsweredMin, max: probesMax }),
  /** round trips on the landmark's clock; only the shortest bounds anything */
  rttNs: object({ min: nanoseconds, p50: nanoseconds, p90: nanoseconds }),
  transcript: hex(32),
  /** the timed key's signature under the transcript */
  commit: base64Url(64),
  time: timeShape,
  /** SHA-256 of the receipt that this landmark signed before: a line that it cannot rewrite unseen; null for its first */
  previousDigest: nullable(hex(32)),
})
export type LandmarkReceipt = Shaped<typeof landmarkReceiptShape>

/** A receipt in the bytes that were signed. @throws json/..., shape/... */
export function readLandmarkReceipt(payload: Uint8Array): LandmarkReceipt {
  return landmarkReceiptShape(parseCanonicalJson(payload), 'receipt')
}

/** A receipt as its landmark signs it. */
export function signLandmarkReceipt(receipt: LandmarkReceipt, key: SigningKey): Promise<Envelope> {
  return signEnvelope(landmarkReceiptPayloadType, canonicalJson(receipt), [key])
}

/** Nearest rank of sorted values. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)]!
}

/**
 * A receipt of this landmark for this ticket and the key that the ticket names, which stood by what was counted.
 *
 * trusts  that the landmark's key comes from a directory that the reader believes, and the ticket's from attested evidence
 * throws  landmark/receipt-landmark, landmark/receipt-ticket, landmark/receipt-key, landmark/receipt-rounds, landmark/receipt-time,
 *         landmark/commit-signature, dsse/type, dsse/signer, crypto/signature, json/..., shape/...
 */
export async function verifyLandmarkReceipt(
  envelope: Envelope,
  landmark: { readonly name: string; readonly receiptKey: Ed25519Jwk },
  { ticket, digest }: VerifiedTicket,
): Promise<LandmarkReceipt> {
  const { payload } = await verifyEnvelope(envelope, landmarkReceiptPayloadType, [landmark.receiptKey], 'receipt')
  const receipt = readLandmarkReceipt(payload)
  const refuse = (code: LandmarkCode, found: string, expected: string) =>
    new Failure<LandmarkCode>(code, `receipt is of ${found}, expected ${expected}`)
  if (receipt.landmark !== landmark.name) throw refuse('landmark/receipt-landmark', receipt.landmark, landmark.name)
  if (receipt.session !== ticket.session || receipt.ticket !== toHex(digest))
    throw refuse('landmark/receipt-ticket', receipt.session, ticket.session)
  const key = thumbprint(ticket.key)
  if (receipt.key !== key || receipt.keyset !== ticket.keyset || receipt.lease !== ticket.lease)
    throw refuse('landmark/receipt-key', receipt.key, key)
  if (receipt.time < ticket.issuedAt - clockSkewSeconds || receipt.time > ticket.notAfter + clockSkewSeconds)
    throw new Failure<LandmarkCode>(
      'landmark/receipt-time',
      `receipt is from ${formatTime(receipt.time)}, outside its ticket`,
    )
  const { min, p50, p90 } = receipt.rttNs
  if (receipt.answered > receipt.sent || min > p50 || p50 > p90)
    throw new Failure<LandmarkCode>(
      'landmark/receipt-rounds',
      'receipt counts more answers than probes, or its times are in no order',
    )
  await verifyTranscript(ticket.key, landmark.name, fromHex(receipt.transcript, 32), fromBase64Url(receipt.commit, 64))
  return receipt
}
