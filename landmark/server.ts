import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { fromBase64, toBase64Url, toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { type Ed25519Jwk, thumbprint } from '#core/crypto/jwk.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { acceptSession, ticketEnvelope, verifyTicket, verifyTranscript } from '#core/wire/landmark.js'
import {
  type Datagram,
  encodeDatagram,
  parseDatagram,
  type RefusalCode,
  refusalCodes,
} from '#core/wire/landmark-datagram.js'
import { type LandmarkReceipt, signLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import { networkOf } from '#host/network-of.js'
import { createRateLimit } from '#host/rate-limit.js'
import { createCookies, createUsed, type Peer } from '#landmark/door.js'
import { type Measured, Session } from '#landmark/session.js'
import type { LandmarkKeys, ReceiptLine } from '#landmark/state.js'

export interface LandmarkOptions {
  readonly keys: LandmarkKeys
  readonly line: ReceiptLine
  /** whose tickets are answered: nobody else is timed */
  readonly brokers: readonly Ed25519Jwk[]
  readonly host: string
  readonly port: number
  /** probes of a session */
  readonly probes: number
  /** sessions at the same time, at most `landmarkSessionsMax` */
  readonly sessionsMax: number
  /** openings of one address or IPv6 network in a minute; a hello costs one HMAC and is answered by less than it has */
  readonly opensPerMinute: number
  readonly now: () => UnixSeconds
  /** one line for each session that ends: never an address or a key */
  /** what is nobody's fault outside, such as a full disk: the service goes on, the session does not */
  readonly onTrouble: (error: unknown) => void
  readonly onEnd?: (end: { readonly session: string; readonly code: RefusalCode | 'ok' | 'left' }) => void
}

export interface LandmarkServer {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

/** Random spacing between probes, in ms: nobody can foresee when a nonce leaves. */
const spacingMs = { min: 4, max: 20 }
/** How long answers are waited for after the last probe, how often the end is told, and how long a session lives in all, in ms. */
const tailMs = 1000
const tailStepMs = 20
const tellMs = 400
const sessionMs = 20_000
const verifyingMax = 16

interface Running {
  readonly peer: Peer
  readonly session: Session
  readonly sessionId: Uint8Array
  measured: Measured | null
  /** what is sent when the node stands by the rounds; undefined while that is not so */
  receipt: Promise<Uint8Array> | undefined
  timer: NodeJS.Timeout
  readonly end: NodeJS.Timeout
}

type Opening = Extract<Datagram, { kind: 'open' }>

const isSame = (a: Peer, b: Peer) => a.address === b.address && a.port === b.port

/** Serves tickets of these brokers at a UDP address until it is closed. */
export async function startLandmark(options: LandmarkOptions): Promise<LandmarkServer> {
  const socket = createSocket({ type: isIPv6(options.host) ? 'udp6' : 'udp4' })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(options.port, options.host, () => {
      socket.off('error', reject)
      resolve()
    })
  })
  const sessions = new Sessions(socket, options)
  socket.on('message', (bytes, remote) => {
    // First of all: whatever follows is no part of the round trip.
    const nowNs = process.hrtime.bigint()
    sessions.receive(bytes, { address: remote.address, port: remote.port }, nowNs)
  })
  // An address that refuses datagrams is reported to the socket; the service goes on.
  socket.on('error', () => undefined)
  const { address, port } = socket.address()
  return {
    host: address,
    port,
    close: async () => {
      sessions.leave()
      await new Promise<void>((resolve) => socket.close(resolve))
    },
  }
}

/** The sessions of one socket. */
class Sessions {
  readonly #socket: Socket
  readonly #options: LandmarkOptions
  readonly #running = new Map<string, Running>()
  readonly #cookies = createCookies(randomBytes(32))
  readonly #used: ReturnType<typeof createUsed>
  readonly #opens: ReturnType<typeof createRateLimit>
  #verifying = 0

  constructor(socket: Socket, options: LandmarkOptions) {
    this.#socket = socket
    this.#options = options
    this.#used = createUsed(options.now())
    const nowMs = () => Number(process.hrtime.bigint() / 1_000_000n)
    this.#opens = createRateLimit({ perMinute: options.opensPerMinute, nowMs })
  }

  receive(bytes: Uint8Array, peer: Peer, nowNs: bigint): void {
    let datagram: Datagram
    try {
      datagram = parseDatagram(bytes)
    } catch (error) {
      if (!isFailure(error)) throw error
      return // Anybody may send anything: what is no datagram of ours is not answered.
    }
    const { kind, session } = datagram
    if (kind === 'hello')
      this.#send({ kind: 'retry', session, cookie: this.#cookies.cookie(session, peer, this.#options.now()) }, peer)
    if (kind === 'open') this.#opening(datagram, peer)
    const id = toHex(session)
    const one = this.#running.get(id)
    if (one === undefined || !isSame(one.peer, peer)) return
    if (kind === 'answer') one.session.answer(datagram.index, datagram.answer, nowNs)
    if (kind === 'commit') this.#commit(id, one, datagram.signature)
  }

  leave(): void {
    for (const id of [...this.#running.keys()]) this.#end(id, 'left')
  }

  #send(datagram: Datagram, { address, port }: Peer): void {
    this.#socket.send(encodeDatagram(datagram), port, address, () => undefined)
  }

  #end(id: string, code: RefusalCode | 'ok' | 'left'): void {
    const one = this.#running.get(id)
    if (one === undefined) return
    clearTimeout(one.timer)
    clearTimeout(one.end)
    this.#running.delete(id)
    this.#options.onEnd?.({ session: id, code })
  }

  #refuse(id: string, one: Running, code: RefusalCode): void {
    this.#send({ kind: 'refused', session: one.sessionId, code }, one.peer)
    this.#end(id, code)
  }

  #opening(datagram: Opening, peer: Peer): void {
    const id = toHex(datagram.session)
    const before = this.#running.get(id)
    if (before !== undefined && isSame(before.peer, peer)) return
    // Cheap first: the cookie, then how often, then how many at the same time; signatures last.
    if (!this.#cookies.accepts(datagram.cookie, datagram.session, peer, this.#options.now())) return
    if (!this.#opens.allow(networkOf(peer.address)) || this.#verifying >= verifyingMax) return
    this.#verifying++
    this.#open(id, datagram, peer)
      .catch((error: unknown) => {
        if (!isFailure(error)) {
          this.#options.onTrouble(error)
          return
        }
        const code = refusalCodes.find((one) => one === error.code) ?? 'landmark/ticket-signer'
        this.#send({ kind: 'refused', session: datagram.session, code }, peer)
        this.#options.onEnd?.({ session: id, code })
      })
      .finally(() => {
        this.#verifying--
      })
  }

  /** The ticket of an opening, verified, and its session begun. Nothing is kept of one that is refused. */
  async #open(id: string, { payload, keyId, signature, session, enc, openSignature }: Opening, peer: Peer) {
    const { brokers, keys, now } = this.#options
    const at = now()
    const ticket = await verifyTicket(ticketEnvelope({ payload, keyId, signature }), brokers, keys.name, at)
    if (ticket.ticket.session !== id)
      throw new Failure<RefusalCode>('landmark/open-signature', 'session is of another ticket')
    const secret = await acceptSession(ticket, keys.name, keys.sessionKey, enc, openSignature)
    if (this.#running.size >= this.#options.sessionsMax)
      throw new Failure<RefusalCode>('landmark/full', 'too many sessions at the same time')
    const { issuedAt, notAfter } = ticket.ticket
    // Taken only now, by the ticket's own key: whoever saw the ticket pass cannot use it up.
    const taken = this.#running.has(id) ? 'used' : this.#used.take(ticket.digest, issuedAt, notAfter, at)
    if (taken !== 'new')
      throw new Failure<RefusalCode>(
        taken === 'full' ? 'landmark/full' : 'landmark/ticket-used',
        'ticket was used here',
      )
    const one: Running = {
      peer,
      session: new Session(ticket, enc.slice(), secret),
      sessionId: session.slice(),
      measured: null,
      receipt: undefined,
      timer: setTimeout(() => this.#probe(id, one), 0),
      end: setTimeout(() => this.#end(id, one.receipt === undefined ? 'left' : 'ok'), sessionMs),
    }
    this.#running.set(id, one)
  }

  /** One probe after another, then a while for what is under way, then the rounds that count. */
  #probe(id: string, one: Running): void {
    if (one.session.sent >= this.#options.probes) {
      this.#await(id, one, tailMs)
      return
    }
    const nonce = randomBytes(16)
    // The clock starts before the datagram leaves and stops after one arrived: never the other way round.
    const index = one.session.probe(nonce, process.hrtime.bigint())
    this.#send({ kind: 'probe', session: one.sessionId, index, nonce }, one.peer)
    const spread = (randomBytes(1)[0]! / 255) * (spacingMs.max - spacingMs.min)
    one.timer = setTimeout(() => this.#probe(id, one), spacingMs.min + spread)
  }

  #await(id: string, one: Running, leftMs: number): void {
    const isOver = leftMs <= 0 || one.session.answered === one.session.sent
    one.timer = setTimeout(
      () => (isOver ? this.#close(id, one) : this.#await(id, one, leftMs - tailStepMs)),
      tailStepMs,
    )
  }

  #close(id: string, one: Running): void {
    one.measured ??= one.session.close()
    if (one.measured === null) {
      this.#refuse(id, one, 'landmark/answers')
      return
    }
    const { counted } = one.measured
    if (one.receipt === undefined) this.#send({ kind: 'close', session: one.sessionId, counted }, one.peer)
    one.timer = setTimeout(() => this.#close(id, one), tellMs)
  }

  #commit(id: string, one: Running, signature: Uint8Array): void {
    if (one.measured === null) return
    // One signature is verified, once: a second commit is answered with what the first gave.
    one.receipt ??= this.#receipt(one, one.measured, signature.slice())
    one.receipt.then(
      (bytes) => {
        if (this.#running.get(id) === one) this.#socket.send(bytes, one.peer.port, one.peer.address, () => undefined)
      },
      (error: unknown) => {
        if (!isFailure(error)) {
          this.#options.onTrouble(error)
          this.#end(id, 'left')
        } else if (this.#running.get(id) === one) this.#refuse(id, one, 'landmark/commit-signature')
      },
    )
  }

  async #receipt(one: Running, { transcript, rttNs, counted }: Measured, commit: Uint8Array): Promise<Uint8Array> {
    const { keys, line, now } = this.#options
    const { ticket, digest } = one.session.ticket
    await verifyTranscript(ticket.key, keys.name, transcript, commit)
    const made = await line.add(async (previousDigest) => {
      const receipt: LandmarkReceipt = {
        type: 'claviger/landmark-receipt/v1',
        landmark: keys.name,
        session: ticket.session,
        ticket: toHex(digest),
        key: thumbprint(ticket.key),
        keyset: ticket.keyset,
        lease: ticket.lease,
        sent: one.session.sent,
        answered: counted.length,
        rttNs,
        transcript: toHex(transcript),
        commit: toBase64Url(commit),
        time: now(),
        previousDigest,
      }
      const envelope = await signLandmarkReceipt(receipt, keys.receiptKey)
      return { payload: fromBase64(envelope.payload), signature: fromBase64(envelope.signatures[0]!.sig) }
    })
    return encodeDatagram({ kind: 'receipt', session: one.sessionId, ...made })
  }
}
