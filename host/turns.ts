import { createHash } from 'node:crypto'
import pg from 'pg'
import { databaseFailure } from '#host/database-failures.js'

/** One holder at a time among all processes that have a database open. */
export interface Turns {
  /**
   * Runs `work` while nobody else has the turn of this name. Whoever waits longest is next.
   *
   * A courtesy and no lock to build safety on: a holder that stands still for `heldMsMax`, or loses its connection, has lost the
   * turn without being told. What must not happen twice is compared and set where it is written.
   * throws  what `work` throws; database/conflict when the turn does not come in `waitMsMax`, database/unreachable
   */
  take<T>(work: () => Promise<T>): Promise<T>
  close(): Promise<void>
}

const waitMsMax = 20_000
/** Longer than any honest holder is silent, a round to the witnesses included. */
const heldMsMax = 15_000

/** The key of an advisory lock: 63 bits of a name. */
export function advisoryKey(name: string): string {
  return (createHash('sha256').update(name).digest().readBigUInt64BE(0) >> 1n).toString()
}

/** One message that takes the lock and bounds how long its holder may stand still. */
export function enterStatement(name: string): string {
  return `select pg_advisory_lock(${advisoryKey(name)}); set idle_session_timeout = ${heldMsMax}`
}

export function leaveStatement(name: string): string {
  return `set idle_session_timeout = 0; select pg_advisory_unlock(${advisoryKey(name)})`
}

/** Turns of one process for each name apart, as long as somebody waits for one. */
export function keyedTurns(): { take<T>(name: string, work: () => Promise<T>): Promise<T> } {
  const last = new Map<string, Promise<unknown>>()
  return {
    take(name, work) {
      const mine = (last.get(name) ?? Promise.resolve()).then(work)
      const settled: Promise<unknown> = mine
        .catch(() => undefined)
        .then(() => {
          if (last.get(name) === settled) last.delete(name)
        })
      last.set(name, settled)
      return mine
    },
  }
}

/** Turns of one process: a queue is the whole lock. */
export function ownTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return {
    take(work) {
      const mine = last.then(work)
      last = mine.catch(() => undefined)
      return mine
    },
    close: async () => undefined,
  }
}

/** Turns among the processes of a Postgres: a session's advisory lock on one connection of its own, which dies with its process. */
export function postgresTurns(url: string, name: string): Turns {
  const inProcess = ownTurns()
  let open: pg.Client | undefined
  let closed = false

  async function connection(): Promise<pg.Client> {
    if (open !== undefined) return open
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: 10_000,
      application_name: 'claviger',
    })
    const forget = () => {
      if (open === client) open = undefined
    }
    client.on('error', forget)
    client.on('end', forget)
    await client.connect()
    await client.query(`set lock_timeout = ${waitMsMax}`)
    return (open = client)
  }

  /** One message to the server and back. A connection that was found dead is replaced once. */
  async function enter(): Promise<pg.Client> {
    const statement = enterStatement(name)
    const known = open
    const client = await connection()
    try {
      await client.query(statement)
      return client
    } catch (error) {
      await drop(client)
      if (known === undefined || isTimeout(error)) throw error
    }
    const fresh = await connection()
    await fresh.query(statement)
    return fresh
  }

  async function drop(client: pg.Client): Promise<void> {
    if (open === client) open = undefined
    await client.end().catch(() => undefined)
  }

  return {
    take: (work) =>
      inProcess.take(async () => {
        let client: pg.Client
        try {
          client = await enter()
        } catch (error) {
          throw databaseFailure(error)
        }
        try {
          return await work()
        } finally {
          // A connection that may still hold the lock is closed, which frees it.
          const left = client.query(leaveStatement(name))
          await left.catch(() => drop(client))
          if (closed) await drop(client)
        }
      }),
    async close() {
      closed = true
      await inProcess.take(async () => open && drop(open))
    },
  }
}

function isTimeout(error: unknown): boolean {
  return (error as { readonly code?: string } | null)?.code === '55P03'
}
