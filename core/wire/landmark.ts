import { fromBase64, fromBase64Url, fromHex, toBase64, toBase64Url, toHex, utf8 } from '#core/bytes/bytes.js'
import { Writer } from '#core/bytes/writer.js'
import { hmacSha256, sha256 } from '#core/crypto/hash.js'
import { type RecipientKey, setupRecipient, setupSender } from '#core/crypto/hpke.js'
import { type Ed25519Jwk, ed25519Jwk, labelled, type X25519Jwk } from '#core/crypto/jwk.js'
import { type SigningKey, sign, verifySignature } from '#core/crypto/sign.js'
import { type Envelope, signEnvelope, verifyEnvelope } from '#core/dsse.js'
import { canonicalJson, parseCanonicalJson } from '#core/encoding/json.js'
import { hex, list, literal, nullable, object, type Shape, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { clockSkewSeconds, ticketLandmarksMax, ticketSecondsMax, ticketSizeMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { idShape, timeShape } from '#core/wire/names.js'

/** Failures of tickets, sessions and receipts. Those that a landmark tells have numbers: docs/spec/landmark.md. */
export type LandmarkCode =
  | 'landmark/datagram'
  | 'landmark/ticket-size'
  /** not signed by a broker whom the landmark serves */
  | 'landmark/ticket-signer'
  | 'landmark/ticket-expired'
  | 'landmark/ticket-not-yet-valid'
  | 'landmark/ticket-lifetime'
  /** the ticket names other landmarks */
  | 'landmark/ticket-landmark'
  /** the ticket was used here before, or may have been: it is older than the landmark's memory */
  | 'landmark/ticket-used'
  /** the session was not opened by the key that the ticket names */
  | 'landmark/open-signature'
  /** more sessions or tickets than the landmark keeps */
  | 'landmark/full'
  /** too few probes were answered */
  | 'landmark/answers'
  /** the transcript was not signed by the key that the ticket names */
  | 'landmark/commit-signature'
  /** the landmark said nothing in time */
  | 'landmark/silent'
  | 'landmark/receipt-landmark'
  | 'landmark/receipt-ticket'
  | 'landmark/receipt-key'
  | 'landmark/receipt-rounds'
  /** from a time at which its ticket could not be used */
  | 'landmark/receipt-time'

/** Of a landmark: short, since a ticket that names several has to fit a datagram. */
export const landmarkNameShape: Shape<string> = string({ max: 32, form: /^[a-z0-9][a-z0-9._-]*$/ })

export const ticketPayloadType = 'application/vnd.claviger.landmark-ticket+json'

/** A broker's leave to be timed: for this key, at these landmarks, in one session, for a few minutes. */
export const landmarkTicketShape = object({
  type: literal('claviger/landmark-ticket/v1'),
  session: idShape,
  /** the node's landmark key, from its attested keyset */
  key: ed25519Jwk,
  /** digest of that keyset: joins a receipt to evidence and lease */
  keyset: hex(32),
  lease: nullable(idShape),
  landmarks: list(landmarkNameShape, { min: 1, max: ticketLandmarksMax }),
  issuedAt: timeShape,
  notAfter: timeShape,
})
export type LandmarkTicket = Shaped<typeof landmarkTicketShape>

/**
 * The session of a ticket that belongs to a challenge: its nonce was nobody's before, so whoever was timed in it was timed
 * after the broker gave it out.
 *
 * nonce    of the challenge, base64url
 * returns  16 bytes, lowercase hex
 */
export function sessionOfChallenge(nonce: string): string {
  return toHex(sha256(labelled('claviger/landmark-challenge/v1', fromBase64Url(nonce, 32))).subarray(0, 16))
}

/** A ticket in the bytes that were signed. @throws landmark/ticket-size, json/..., shape/... */
export function readTicket(payload: Uint8Array): LandmarkTicket {
  if (payload.length > ticketSizeMax)
    throw new Failure<LandmarkCode>(
      'landmark/ticket-size',
      `ticket has ${payload.length} bytes, at most ${ticketSizeMax}`,
    )
  return landmarkTicketShape(parseCanonicalJson(payload), 'ticket')
}

/** A ticket as its broker gives it out. Ed25519, so that it fits a datagram as it is. @throws landmark/ticket-size */
export async function signTicket(ticket: LandmarkTicket, broker: SigningKey): Promise<Envelope> {
  const payload = canonicalJson(ticket)
  readTicket(payload)
  return signEnvelope(ticketPayloadType, payload, [broker])
}

/** A ticket, with the digest by which everything of its session names it. */
export interface VerifiedTicket {
  readonly ticket: LandmarkTicket
  readonly digest: Uint8Array
}

/**
 * A ticket of one of these brokers, in its time, for this landmark.
 *
 * landmark  null for who only asks what it says
 * at        null for who judges receipts afterwards: those say when they are from
 * throws    landmark/ticket-..., dsse/type, dsse/signer, crypto/signature, json/..., shape/...
 */
export async function verifyTicket(
  envelope: Envelope,
  brokers: readonly Ed25519Jwk[],
  landmark: string | null,
  at: UnixSeconds | null,
): Promise<VerifiedTicket> {
  const { payload } = await verifyEnvelope(envelope, ticketPayloadType, brokers, 'ticket')
  const ticket = readTicket(payload)
  const { issuedAt, notAfter } = ticket
  if (notAfter <= issuedAt || notAfter - issuedAt > ticketSecondsMax)
    throw new Failure<LandmarkCode>(
      'landmark/ticket-lifetime',
      `ticket holds ${notAfter - issuedAt} s, at most ${ticketSecondsMax}`,
    )
  if (at !== null && issuedAt > at + clockSkewSeconds)
    throw new Failure<LandmarkCode>('landmark/ticket-not-yet-valid', `ticket is from ${formatTime(issuedAt)}`)
  if (at !== null && at >= notAfter)
    throw new Failure<LandmarkCode>('landmark/ticket-expired', `ticket was valid until ${formatTime(notAfter)}`)
  if (landmark !== null && !ticket.landmarks.includes(landmark))
    throw new Failure<LandmarkCode>(
      'landmark/ticket-landmark',
      `ticket names ${ticket.landmarks.join(', ')}, not ${landmark}`,
    )
  return { ticket, digest: sha256(payload) }
}

/**
 * What a ticket says, for who judges receipts by landmarks that he believes: they answered a broker whom they serve. Which
 * one that was says nothing of where a key is, so its signature is not asked for here.
 *
 * throws  landmark/ticket-size, bytes/base64, json/..., shape/...
 */
export function claimedTicket({ payloadType, payload }: Envelope): VerifiedTicket {
  literal(ticketPayloadType)(payloadType, 'ticket')
  const bytes = fromBase64(payload)
  return { ticket: readTicket(bytes), digest: sha256(bytes) }
}

/** The secret of one session, as both sides derive it: HPKE's exporter (RFC 9180, "Secret Export"). 32 bytes. */
const sessionInfo = (ticketDigest: Uint8Array, landmark: string) =>
  labelled('claviger/landmark-session/v1', ticketDigest, utf8(landmark))
const probeContext = utf8('claviger/landmark-probe/v1')

/** The node's side of a session: what it sends, and the secret with which it answers. @throws crypto/key */
export async function openSession(
  key: SigningKey,
  sessionKey: X25519Jwk,
  ticketDigest: Uint8Array,
  landmark: string,
): Promise<{ readonly enc: Uint8Array; readonly signature: Uint8Array; readonly secret: Uint8Array }> {
  const sender = await setupSender(sessionKey, sessionInfo(ticketDigest, landmark))
  const secret = await sender.exportSecret(probeContext, 32)
  const signature = await sign(key, openMessage(ticketDigest, landmark, sender.enc))
  return { enc: sender.enc, signature, secret }
}

const openMessage = (ticketDigest: Uint8Array, landmark: string, enc: Uint8Array) =>
  labelled('claviger/landmark-open/v1', ticketDigest, enc, utf8(landmark))

/**
 * The landmark's side: the secret of a session that the ticket's own key opened.
 *
 * throws  landmark/open-signature, crypto/hpke-open
 */
export async function acceptSession(
  { ticket, digest }: VerifiedTicket,
  landmark: string,
  recipient: RecipientKey,
  enc: Uint8Array,
  signature: Uint8Array,
): Promise<Uint8Array> {
  try {
    await verifySignature(ticket.key, openMessage(digest, landmark, enc), signature, 'session')
  } catch (cause) {
    throw new Failure<LandmarkCode>('landmark/open-signature', 'session was not opened by the key of its ticket', {
      cause,
    })
  }
  const context = await setupRecipient(recipient, enc, sessionInfo(digest, landmark))
  return context.exportSecret(probeContext, 32)
}

/** The answer to a probe: only who has the session's secret can give it, and only after the nonce was sent. 32 bytes. */
export function answerTo(secret: Uint8Array, index: number, nonce: Uint8Array): Uint8Array {
  return hmacSha256(secret, new Writer().u16be(index).bytes(nonce).done())
}

/** One probe that was answered. */
export interface Round {
  readonly index: number
  readonly nonce: Uint8Array
  readonly answer: Uint8Array
}

/** Names every probe that counts of one session, in the order of their indices. 32 bytes. */
export function transcriptOf(ticketDigest: Uint8Array, enc: Uint8Array, rounds: readonly Round[]): Uint8Array {
  const writer = new Writer()
  for (const { index, nonce, answer } of rounds) writer.u16be(index).bytes(nonce).bytes(answer)
  return sha256(labelled('claviger/landmark-rounds/v1', ticketDigest, enc, writer.done()))
}

const commitMessage = (landmark: string, transcript: Uint8Array) =>
  labelled('claviger/landmark-commit/v1', transcript, utf8(landmark))

/** The node stands by the rounds that count, with the key that was timed. 64 bytes. */
export function signTranscript(key: SigningKey, landmark: string, transcript: Uint8Array): Promise<Uint8Array> {
  return sign(key, commitMessage(landmark, transcript))
}

/** Returns only when the key stood by the rounds. @throws landmark/commit-signature */
export async function verifyTranscript(
  key: Ed25519Jwk,
  landmark: string,
  transcript: Uint8Array,
  signature: Uint8Array,
): Promise<void> {
  try {
    await verifySignature(key, commitMessage(landmark, transcript), signature, 'transcript')
  } catch (cause) {
    throw new Failure<LandmarkCode>('landmark/commit-signature', 'transcript was not signed by the key of its ticket', {
      cause,
    })
  }
}

/** A ticket as it stands in a datagram. */
export interface TicketParts {
  readonly payload: Uint8Array
  /** 32 bytes: the thumbprint of the broker's key */
  readonly keyId: Uint8Array
  /** 64 bytes */
  readonly signature: Uint8Array
}

/** The envelope that these parts are of. */
export function ticketEnvelope({ payload, keyId, signature }: TicketParts): Envelope {
  const signatures = [{ keyid: toBase64Url(keyId), sig: toBase64(signature) }]
  return { payloadType: ticketPayloadType, payload: toBase64(payload), signatures }
}

/** The parts of an envelope with one signature. @throws landmark/ticket-signer, bytes/base64 */
export function ticketParts({ payload, signatures }: Envelope): TicketParts {
  const [one, ...more] = signatures
  if (one === undefined || more.length > 0)
    throw new Failure<LandmarkCode>(
      'landmark/ticket-signer',
      `ticket has ${signatures.length} signatures, expected one`,
    )
  return { payload: fromBase64(payload), keyId: fromBase64Url(one.keyid, 32), signature: fromBase64(one.sig, 64) }
}

/** The 16 bytes of a session's id. */
export const sessionBytes = (ticket: Pick<LandmarkTicket, 'session'>): Uint8Array => fromHex(ticket.session, 16)
