import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { isFailure } from '#core/failure.js'
import { isConflict, sqlStateOf } from '#host/database-failures.js'
import { enterStatement, leaveStatement } from '#host/turns.js'

/** What a transaction that the database gives up is tried in all, and between two tries a moment that grows. */
export const triesMax = 12
/** Full jitter, so that the rivals of this try do not meet again. */
export const pauseAfter = (tries: number) => pause(Math.random() * Math.min(200, 2 ** tries))

/**
 * Runs `work` in a transaction on a connection of the pool that alone has the queue of this name. To enter the queue and to begin
 * is one message to the server, to commit and to leave another.
 *
 * throws  what `work` throws, and the errors of the database as they are
 */
export async function transactionInQueue<T>(
  pool: pg.Pool,
  name: string,
  isolation: string,
  work: (client: pg.PoolClient) => Promise<T>,
  began: (tries: number) => void,
): Promise<T> {
  const begin = `begin isolation level ${isolation}`
  const client = await pool.connect()
  let broken = true
  try {
    // The lock outlives the small transaction in which it is taken; the other one sees what is true once it is held.
    await client.query(`begin; ${enterStatement(name)}; commit; ${begin}`)
    for (let tries = 1; ; tries++) {
      let isOpen = true
      began(tries)
      try {
        const result = await work(client)
        isOpen = false
        await commitAndLeave(client, name)
        broken = false
        return result
      } catch (error) {
        // What the database, or we, refused leaves the connection as it was.
        if (sqlStateOf(error) === undefined && !isFailure(error)) throw error
        if (isOpen) await client.query('rollback')
        if (isConflict(error) && tries < triesMax) {
          await pauseAfter(tries)
          await client.query(begin)
          continue
        }
        await client.query(leaveStatement(name))
        broken = false
        throw error
      }
    }
  } finally {
    client.release(broken) // a connection that may still hold the lock is closed, which frees it
  }
}

async function commitAndLeave(client: pg.PoolClient, name: string): Promise<void> {
  const results = (await client.query(`commit; ${leaveStatement(name)}`)) as unknown as readonly pg.QueryResult[]
  // A transaction in which a statement failed is rolled back, and that is no error to the server.
  if (results[0]?.command !== 'COMMIT') throw new Error('the transaction was rolled back')
}
