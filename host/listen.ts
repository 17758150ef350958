import { constants } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import { createAdaptorServer } from '@hono/node-server'
import { Failure } from '#core/failure.js'
import { watchConnections } from '#host/connections.js'
import type { App } from '#host/http.js'

/** Failures of listening. */
export type ListenCode =
  | 'listen/in-use'
  | 'listen/denied'
  | 'listen/address'
  /** key or certificate cannot be used, or do not belong together */
  | 'listen/tls'

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
  /** with what it proves who it is; absent: it speaks plain HTTP */
  readonly tls?: ListenTls | undefined
  /** bytes a second that it takes at least of an answer that is complete, default 16 KiB */
  readonly readPerSecondMin?: number
}

/** PEM; the certificate's chain behind it. */
export interface ListenTls {
  readonly key: Buffer
  readonly cert: Buffer
}

/**
 * TLS 1.3. Clients may show a certificate, and are let in with any or none: whom a certificate makes somebody is for the owners'
 * lists to say. Sessions are not resumed: a ticket would bring back a certificate without the chain that vouched for it.
 *
 * throws  listen/tls
 */
function tlsOptions({ key, cert }: ListenTls) {
  const options = {
    key,
    cert,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: false,
    secureOptions: constants.SSL_OP_NO_TICKET,
    handshakeTimeout: 10_000,
  } as const
  try {
    createSecureContext(options)
  } catch (cause) {
    const why = (cause as { code?: string }).code ?? 'unknown'
    throw new Failure<ListenCode>('listen/tls', `key or certificate for TLS cannot be used: ${why}`, {
      detail: { hint: 'PEM is expected: the certificate, those above it behind it, and its own private key' },
    })
  }
  return options
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
 * throws  listen/in-use, listen/denied, listen/address, listen/tls
 */
export async function listen(app: App, options: ListenOptions): Promise<Listening> {
  const serverOptions = {
    maxHeaderSize: options.maxHeaderSize ?? 16 * 1024,
    // A client that sends its head or body a byte at a time is cut off.
    headersTimeout: 10_000,
    requestTimeout: 60_000,
    keepAliveTimeout: 5_000,
    connectionsCheckingInterval: 2_000,
  }
  const { fetch } = app.hono
  const server = (
    options.tls === undefined
      ? createAdaptorServer({ fetch, createServer, serverOptions })
      : createAdaptorServer({
          fetch,
          createServer: createTlsServer,
          serverOptions: { ...serverOptions, ...tlsOptions(options.tls) },
        })
  ) as Server
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
    url: `${options.tls === undefined ? 'http' : 'https'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
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
