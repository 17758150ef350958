import { equal, toHex, utf8 } from '#core/bytes/bytes.js'
import { Writer } from '#core/bytes/writer.js'
import { hmacSha256 } from '#core/crypto/hash.js'
import { landmarkTicketsMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'

/** Where a datagram came from. */
export interface Peer {
  readonly address: string
  readonly port: number
}

const cookieSeconds = 30

/**
 * Who asks shows first that answers reach it: nothing is kept, verified or sent to an address that did not. An address that was
 * forged cannot know what was sent to it.
 */
export function createCookies(key: Uint8Array) {
  const of = (session: Uint8Array, { address, port }: Peer, epoch: number) =>
    hmacSha256(key, new Writer().bytes(session).u32be(epoch).u16be(port).bytes(utf8(address)).done())
  return {
    cookie: (session: Uint8Array, peer: Peer, at: UnixSeconds) => of(session, peer, Math.floor(at / cookieSeconds)),
    accepts(cookie: Uint8Array, session: Uint8Array, peer: Peer, at: UnixSeconds): boolean {
      const epoch = Math.floor(at / cookieSeconds)
      return [epoch, epoch - 1].some((one) => equal(cookie, of(session, peer, one)))
    },
  }
}

/** Tickets that were used here, each until it has run out. When the memory is full nobody gets in: nothing is forgotten early. */
export function createUsed(startedAt: UnixSeconds) {
  const until = new Map<string, UnixSeconds>()
  return {
    /** Whether the ticket is new here, and remembers it. A ticket from before the start may have been used then. */
    take(
      ticketDigest: Uint8Array,
      issuedAt: UnixSeconds,
      notAfter: UnixSeconds,
      at: UnixSeconds,
    ): 'new' | 'used' | 'full' {
      const name = toHex(ticketDigest)
      if (issuedAt < startedAt || until.has(name)) return 'used'
      if (until.size >= landmarkTicketsMax) for (const [one, end] of until) if (end <= at) until.delete(one)
      if (until.size >= landmarkTicketsMax) return 'full'
      until.set(name, notAfter)
      return 'new'
    },
  }
}
