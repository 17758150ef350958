import { sql } from 'drizzle-orm'
import { assert } from '#core/assert.js'
import type { Connection } from '#host/database.js'
import { type NamedStatement, namedRows } from '#host/named.js'
import type { TakenRate } from '#keybroker/rates.js'
import { rates } from '#keybroker/store/schema.js'

/**
 * The minute is the database's, so that processes whose clocks differ count in the same one. A clock that stepped back by less than a minute
 * counts on in the minute that it had reached. It waits for no disk: what a crash takes away was a minute's.
 */
const takeStatement: NamedStatement = {
  name: 'rates_take',
  text: `
  with clock as (
    select floor(seconds / 60)::bigint as minute, 60 - (seconds - 60 * floor(seconds / 60)) as seconds_left
      from (select extract(epoch from clock_timestamp())::float8 as seconds) now
      cross join (select set_config('synchronous_commit', 'off', true)) setting),
  taken as (
    insert into keybroker.rates as r (name, minute, used)
      select $1, clock.minute, $3::bigint from clock where $3::bigint <= $2::bigint
    on conflict (name) do update set
      minute = case when r.minute - excluded.minute in (0, 1) then r.minute else excluded.minute end,
      used = case when r.minute - excluded.minute in (0, 1) then r.used else 0 end + excluded.used
      where case when r.minute - excluded.minute in (0, 1) then r.used else 0 end + excluded.used <= $2::bigint
    returning name)
  select clock.seconds_left, exists (select from taken) as taken from clock`,
}

/** `wanted` more of what may happen for this name in a minute, if `most` are not exceeded by it: all of them or none. */
export async function takeRate(db: Connection, name: string, most: number, wanted: number): Promise<TakenRate> {
  const [row] = await namedRows(db, takeStatement, [name, most, wanted])
  const secondsLeft = Number(row?.seconds_left)
  assert(secondsLeft > 0 && secondsLeft <= 60, 'a minute has up to 60 seconds left')
  return { taken: row?.taken === true, secondsLeft }
}

/** What was counted in minutes that are over is gone. */
export async function forgetRates(db: Connection): Promise<void> {
  await db.delete(rates).where(sql`${rates.minute} < extract(epoch from clock_timestamp()) / 60 - 10`)
}
