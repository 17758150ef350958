import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { createAdaptorServer } from '@hono/node-server'
import { Failure } from '#core/failure.js'
import { watchConnections } from '#host/connections.js'
import type { App } from '#host/http.js'

/** Failures of listening. */
export type ListenCode = 'listen/in-use' | 'listen/denied' | 'listen/address'

export interface Listening {
  readonly url: string
  readonly port: number
  /** No new connection; requests under way are answered, for 10 s at the most; then everything is closed. */
  close(): Promise<void>
}

export interface ListenOptions {
  readonly host: string
  /** 0 for any free one */
  readonly port: number
  /** bytes of a request's head, default 16 KiB; a KBS listener takes 256 KiB, since attestation results travel there */
  readonly maxHeaderSize?: number
  /** open connections, default 1,024; one more takes the place of another */
  readonly connectionsMax?: number
  /** how long, when it is to end, requests are still taken while `/readyz` says not ready; default 0 */
  readonly unreadyMs?: number
  /** how long a reader may take nothing of its answer, default 30,000 */
  readonly stalledMs?: number
  /** bytes a second that it takes at least of an answer that is complete, default 16 KiB */
  readonly readPerSecondMin?: number
}

const drainMs = 10_000
/** For a client that still sends to read its answer: a connection reset at once would take it away. */
const unreadMs = 1000

/**
 * A request that was answered before its body had come is over. Node tells nobody when its connection closes after the
 * answer: whoever still reads the body would wait for ever, and count as a request under way.
 */
function endUnread(server: Server): void {
  server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
    response.once('close', () => {
      if (!incoming.complete) setTimeout(() => incoming.destroy(), unreadMs)
    })
  })
}

/**
 * The application answers at `url`.
 *
 * throws  listen/in-use, listen/denied, listen/address
 */
export async function listen(app: App, options: ListenOptions): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: app.hono.fetch,
    createServer,
    serverOptions: {
      maxHeaderSize: options.maxHeaderSize ?? 16 * 1024,
      // A client that sends its head or body a byte at a time is cut off.
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 2_000,
    },
  }) as Server
  const connections = watchConnections(server, {
    connectionsMax: options.connectionsMax ?? 1024,
    stalledMs: options.stalledMs ?? 30_000,
    readPerSecondMin: options.readPerSecondMin ?? 16 * 1024,
  })
  endUnread(server)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const place = `${options.host}:${options.port}`
      if (error.code === 'EADDRINUSE') {
        const hint = 'stop what listens there, or choose another port'
        reject(new Failure<ListenCode>('listen/in-use', `${place} is in use`, { detail: { hint } }))
      } else if (error.code === 'EACCES')
        reject(
          new Failure<ListenCode>('listen/denied', `${place} is not allowed`, {
            detail: { hint: 'choose a port from 1024 on' },
          }),
        )
      else reject(new Failure<ListenCode>('listen/address', `${place} cannot be listened on`, { cause: error }))
    })
    server.listen(options.port, options.host, () => resolve())
  })
  const { port, family, address } = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    port,
    close: () =>
      (closing ??= (async () => {
        app.unready()
        if (options.unreadyMs !== undefined) await pause(options.unreadyMs)
        const closed = new Promise<void>((resolve) => server.close(() => resolve()))
        await app.drain(drainMs)
        // Streams that are still answering get the same time again; connections that only wait get none.
        const idle = setInterval(() => connections.closeIdle(), 50)
        const late = setTimeout(() => server.closeAllConnections(), drainMs)
        await closed
        clearInterval(idle)
        clearTimeout(late)
        connections.stop()
      })()),
  }
}
