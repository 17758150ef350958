import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { networkOf } from '#host/network-of.js'

export interface ConnectionLimits {
  /** open connections; one more takes the place of another */
  readonly connectionsMax: number
  /** how long a reader may take nothing of an answer that waits for it */
  readonly stalledMs: number
  /** bytes a second that a reader takes at least, of an answer that is complete */
  readonly readPerSecondMin: number
}

export interface Connections {
  /** Closes those on which nothing is asked. Node does not count a connection as idle before its first request; here it is. */
  closeIdle(): void
  /** The watch over slow readers ends. */
  stop(): void
}

interface Connection {
  readonly network: string
  /** answers that are not taken whole yet */
  readonly answers: Map<ServerResponse, Progress>
  /** when it was last of use: it was opened, or an answer was taken whole */
  usedAt: number
}

/** How far the reader of an answer has come. */
interface Progress {
  /** since when nothing was taken, or since when the answer waits complete; null while nothing waits */
  since: number | null
  /** bytes that waited then */
  waiting: number
}

const sweepMs = 1000

/**
 * Watches over a server's connections, so that no stranger keeps others out with many that do nothing.
 *
 * When all places are taken, a new connection takes the place of one of the network that has most: one on which nothing is
 * asked, the longest idle first. While nobody is idle, a network with most connections gets no more. A reader who takes
 * nothing of an answer for `stalledMs`, or an answer that is complete slower than `readPerSecondMin`, is cut off: what
 * waits for it is memory.
 */
export function watchConnections(server: Server, limits: ConnectionLimits): Connections {
  const open = new Map<Socket, Connection>()
  /** connections whose TLS handshake goes on, by their client's end: the socket that requests come on is another one */
  const shaking = new Map<string, Socket>()
  const endOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`

  server.on('connection', (socket: Socket) => {
    const network = networkOf(socket.remoteAddress ?? 'unknown')
    if (open.size >= limits.connectionsMax && !makeRoom(open, network)) {
      socket.destroy()
      return
    }
    open.set(socket, { network, answers: new Map(), usedAt: performance.now() })
    const end = endOf(socket)
    if (server instanceof TlsServer) shaking.set(end, socket)
    socket.once('close', () => {
      open.delete(socket)
      if (shaking.get(end) === socket) shaking.delete(end)
    })
  })
  server.on('secureConnection', (secure: Socket) => {
    const socket = shaking.get(endOf(secure))
    const connection = socket && open.get(socket)
    if (socket === undefined || connection === undefined) {
      secure.destroy()
      return
    }
    shaking.delete(endOf(secure))
    open.delete(socket)
    open.set(secure, connection)
    secure.once('close', () => open.delete(secure))
  })
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const connection = open.get(socket)
    connection?.answers.set(response, { since: null, waiting: 0 })
    response.once('close', () => {
      connection?.answers.delete(response)
      if (connection !== undefined) connection.usedAt = performance.now()
    })
  })
  const sweep = setInterval(() => {
    const now = performance.now()
    for (const [socket, { answers }] of open)
      for (const [response, progress] of answers) if (isTooSlow(response, progress, limits, now)) socket.destroy()
  }, sweepMs)
  sweep.unref()
  return {
    closeIdle() {
      for (const [socket, { answers }] of open) if (answers.size === 0) socket.destroy()
    },
    stop: () => clearInterval(sweep),
  }
}

type Open = readonly [Socket, Connection]

const longestIdle = (some: readonly Open[]): Open | undefined =>
  some.reduce<Open | undefined>((found, one) => (found && found[1].usedAt <= one[1].usedAt ? found : one), undefined)

/** Whether a place is free now for one of `newcomer`. */
function makeRoom(open: Map<Socket, Connection>, newcomer: string): boolean {
  const counts = new Map<string, number>()
  for (const { network } of open.values()) counts.set(network, (counts.get(network) ?? 0) + 1)
  const most = Math.max(...counts.values())
  const all: readonly Open[] = [...open]
  const ofMost = (some: readonly Open[]) => some.filter(([, { network }]) => counts.get(network) === most)
  const idle = all.filter(([, { answers }]) => answers.size === 0)
  // While nobody is idle, one of a smaller network is let in for the oldest of the largest.
  const isSmaller = (counts.get(newcomer) ?? 0) + 1 < most
  const victim = longestIdle(ofMost(idle)) ?? longestIdle(idle) ?? (isSmaller ? ofMost(all)[0] : undefined)
  if (victim === undefined) return false
  open.delete(victim[0])
  victim[0].destroy()
  return true
}

/** Whether the reader takes less than it has to. Remembers in `progress` how far it has come. */
function isTooSlow(response: ServerResponse, progress: Progress, limits: ConnectionLimits, now: number): boolean {
  const isComplete = response.writableEnded && !response.writableFinished
  if (!isComplete && !response.writableNeedDrain) {
    progress.since = null
    return false
  }
  const waiting = response.writableLength
  if (progress.since === null || (!isComplete && waiting < progress.waiting)) {
    progress.since = now
    progress.waiting = waiting
    return false
  }
  const allowedMs = limits.stalledMs + (isComplete ? (progress.waiting / limits.readPerSecondMin) * 1000 : 0)
  return now - progress.since > allowedMs
}
