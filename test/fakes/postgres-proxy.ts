import { createConnection, createServer, type Socket } from 'node:net'

/** A piece of what a client and Postgres say to each other. */
export interface Piece {
  readonly to: 'server' | 'client'
  /** as it went over the wire, byte for byte in Latin-1: statements stand in it as text */
  readonly text: string
}

/** A place between a broker and its Postgres, at which a test sees what passes and lets it fail. */
export interface PostgresProxy {
  /** of the same database, through here */
  readonly url: string
  /** Told of every piece before it goes on. What it returns is waited for; `drop` keeps the piece from its receiver for ever. */
  watch: (piece: Piece) => undefined | 'drop' | Promise<undefined | 'drop'>
  /** From now on nobody is connected and nobody connects, as when the server is gone. */
  cut(): void
  /** Connections are taken again. */
  mend(): void
  close(): Promise<void>
}

const pass = () => undefined

/** url: of a Postgres at a socket in a folder, as the cluster of the tests is, or at a TCP port */
export async function proxyPostgres(url: string): Promise<PostgresProxy> {
  const target = new URL(url)
  const folder = target.searchParams.get('host')
  const reach = () =>
    folder === null
      ? createConnection(Number(target.port === '' ? 5432 : target.port), target.hostname)
      : createConnection(`${folder}/.s.PGSQL.${target.port === '' ? 5432 : target.port}`)
  const sockets = new Set<Socket>()
  let isCut = false
  const relay = (from: Socket, into: Socket, to: Piece['to']) => {
    let last: Promise<void> = Promise.resolve()
    from.on('data', (bytes) => {
      last = last.then(async () => {
        const verdict = await proxy.watch({ to, text: bytes.toString('latin1') })
        if (verdict !== 'drop') into.write(bytes)
      })
    })
    from.on('close', () => into.destroy())
    from.on('error', () => into.destroy())
  }
  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const upstream = reach()
    for (const one of [client, upstream]) {
      sockets.add(one)
      one.on('close', () => sockets.delete(one))
    }
    relay(client, upstream, 'server')
    relay(upstream, client, 'client')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const destroyAll = () => {
    for (const one of sockets) one.destroy()
  }
  const through = new URL(url)
  through.searchParams.delete('host')
  through.host = `127.0.0.1:${port}`
  const proxy: PostgresProxy = {
    url: through.href,
    watch: pass,
    cut() {
      isCut = true
      destroyAll()
    },
    mend() {
      isCut = false
      proxy.watch = pass
    },
    async close() {
      destroyAll()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
  return proxy
}
