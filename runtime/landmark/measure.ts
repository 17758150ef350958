/**
 * What belongs in runtime/landmark: how a node lets itself be timed by landmarks. An edge: UDP. It reports no time and chooses
 * no nonce; who holds the landmark key of the attested keyset answers, and nobody else can.
 */
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { equal, toBase64 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Ed25519Jwk, thumbprint, type X25519Jwk } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import type { Envelope } from '#core/dsse.js'
import { Failure, isFailure } from '#core/failure.js'
import {
  answerTo,
  type LandmarkCode,
  openSession,
  type Round,
  readTicket,
  sessionBytes,
  signTranscript,
  ticketParts,
  transcriptOf,
} from '#core/wire/landmark.js'
import { type Datagram, encodeDatagram, parseDatagram } from '#core/wire/landmark-datagram.js'
import { landmarkReceiptPayloadType, verifyLandmarkReceipt } from '#core/wire/landmark-receipt.js'

/** A landmark as a directory has it: where it is reached and by which keys it is known. */
export interface LandmarkAddress {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly receiptKey: Ed25519Jwk
  readonly sessionKey: X25519Jwk
}

export interface MeasureOptions {
  readonly landmark: LandmarkAddress
  /** for this key, as its broker signed it */
  readonly ticket: Envelope
  /** the landmark key of the node's keyset */
  readonly key: SigningKey
  /** in all, in ms */
  readonly timeoutMs: number
}

const repeatMs = 400

async function connected(host: string, port: number): Promise<Socket> {
  const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4' })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    // From here on the kernel drops what comes from anybody else.
    socket.connect(port, host, () => {
      socket.off('error', reject)
      resolve()
    })
  })
  return socket
}

/**
 * A landmark's receipt for this node's key: verified, of this ticket, by the key of the landmark's row.
 *
 * throws  landmark/silent, landmark/ticket-..., landmark/open-signature, landmark/full, landmark/answers,
 *         landmark/commit-signature, landmark/receipt-..., crypto/...
 */
export async function beMeasured({ landmark, ticket: envelope, key, timeoutMs }: MeasureOptions): Promise<Envelope> {
  const parts = ticketParts(envelope)
  const ticket = readTicket(parts.payload)
  const digest = sha256(parts.payload)
  const session = sessionBytes(ticket)
  const { enc, signature: openSignature, secret } = await openSession(key, landmark.sessionKey, digest, landmark.name)
  const socket = await connected(landmark.host, landmark.port)
  const rounds = new Map<number, Round>()
  let repeat: Uint8Array = encodeDatagram({ kind: 'hello', session })
  const send = (bytes: Uint8Array) => socket.send(bytes, () => undefined)

  /** An answer to each probe, at once; to one index with two nonces there is one answer. */
  function answer({ index, nonce: given }: Extract<Datagram, { kind: 'probe' }>): void {
    const before = rounds.get(index)
    if (before !== undefined && !equal(before.nonce, given)) return
    const round = before ?? { index, nonce: given.slice(), answer: answerTo(secret, index, given) }
    send(encodeDatagram({ kind: 'answer', session, index, answer: round.answer }))
    rounds.set(index, round)
    repeat = new Uint8Array(0)
  }

  /** The node's own record of the rounds that the landmark counts. A round that it did not answer is none. */
  async function standBy(counted: readonly number[]): Promise<void> {
    const own = counted.flatMap((index) => rounds.get(index) ?? [])
    if (own.length !== counted.length || own.length === 0) return
    const signature = await signTranscript(key, landmark.name, transcriptOf(digest, enc, own))
    repeat = encodeDatagram({ kind: 'commit', session, signature })
    send(repeat)
  }

  async function verified({ payload, signature }: Extract<Datagram, { kind: 'receipt' }>): Promise<Envelope> {
    const signatures = [{ keyid: thumbprint(landmark.receiptKey), sig: toBase64(signature) }]
    const receipt = { payloadType: landmarkReceiptPayloadType, payload: toBase64(payload), signatures }
    await verifyLandmarkReceipt(receipt, landmark, { ticket, digest })
    return receipt
  }

  const timers: NodeJS.Timeout[] = []
  try {
    return await new Promise<Envelope>((resolve, reject) => {
      const silent = new Failure<LandmarkCode>('landmark/silent', `landmark ${landmark.name} gave no receipt in time`)
      timers.push(setTimeout(() => reject(silent), timeoutMs))
      timers.push(setInterval(() => repeat.length > 0 && send(repeat), repeatMs))
      let isStanding = false
      socket.on('error', () => undefined)
      socket.on('message', (bytes) => {
        let got: Datagram
        try {
          got = parseDatagram(bytes)
        } catch (error) {
          if (!isFailure(error)) throw error
          return
        }
        if (!equal(got.session, session)) return
        if (got.kind === 'probe') answer(got)
        else if (got.kind === 'retry') {
          repeat = encodeDatagram({ kind: 'open', session, cookie: got.cookie, enc, openSignature, ...parts })
          send(repeat)
        } else if (got.kind === 'close' && !isStanding) {
          isStanding = true
          standBy(got.counted).catch(reject)
        } else if (got.kind === 'receipt') verified(got).then(resolve, reject)
        else if (got.kind === 'refused')
          reject(new Failure<LandmarkCode>(got.code, `landmark ${landmark.name} refused`))
      })
      send(repeat)
    })
  } finally {
    for (const timer of timers) clearTimeout(timer)
    secret.fill(0)
    socket.close()
  }
}
