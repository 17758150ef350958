import type pg from 'pg'
import { Failure } from '#core/failure.js'
import type { DatabaseCode } from '#host/database-failures.js'

/** Called with each new connection of a pool; the connection is closed when it calls back with an error. @throws database/replica */
export function verifyPrimary(client: pg.PoolClient, done: (error?: Error) => void): void {
  client.query('select pg_is_in_recovery() as standby').then(
    ({ rows }) => done(rows[0]?.standby === false ? undefined : refuseStandby()),
    (error: Error) => done(error),
  )
}

function refuseStandby(): Failure<DatabaseCode> {
  return new Failure<DatabaseCode>('database/replica', 'the database is a standby, whose state may be old', {
    detail: { hint: 'name the primary in --database-url; what routes between hosts has to choose the one that writes' },
  })
}
