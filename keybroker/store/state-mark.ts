import { sql } from 'drizzle-orm'
import { type Connection, rowsOf } from '#host/database.js'
import { entries, proposals, statements } from '#keybroker/store/schema.js'
import type { StateMark } from '#keybroker/stored.js'

/** What is known of a tenant's public changes: each has its statement, proposal or cancellation, unless somebody took one away. */
export async function loadStateMark(db: Connection, tenant: string): Promise<StateMark> {
  const [row] = await rowsOf(
    db,
    sql`select max(entry_index) as index, count(*) as entries,
          count(*) filter (where entry_index is null) as pending,
          (select count(*) from ${statements} s join ${entries} e on e.id = s.entry and e.is_state
            where s.tenant = ${tenant} and e.tenant = ${tenant})
          + (select count(*) from ${proposals} p join ${entries} e on (e.id = p.entry or e.id = p.cancelled_entry) and e.is_state
            where p.tenant = ${tenant} and e.tenant = ${tenant}) as statements
        from ${entries} where tenant = ${tenant} and is_state`,
  )
  const number = (name: string) => Number(row?.[name] ?? 0)
  const index = row?.index
  return {
    index: index === null || index === undefined ? null : Number(index),
    pending: number('pending') > 0,
    entries: number('entries'),
    statements: number('statements'),
  }
}
