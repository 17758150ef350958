import { sql } from 'drizzle-orm'
import { type Finding, failed, finding, looking } from '#cli/doctor/finding.js'
import type { ServiceState } from '#cli/service-state.js'
import { isFailure } from '#core/failure.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import { parseNote, verifyNote } from '#core/tlog/note.js'
import { parseVkey } from '#core/tlog/vkey.js'
import { type Database, rowsOf } from '#host/database.js'
import { describeDurability, verifyDurable } from '#host/durability.js'
import { pendingMigrations } from '#host/migrations.js'
import { storeMigrations } from '#keybroker/store/open.js'
import { listTenants } from '#keybroker/store/tenants.js'
import { logMigrations, openLogReader } from '#transparency/storage/open.js'

/** Whether tables are as this build has them: of both owners, before anything of theirs is read. */
async function lookAtTables(database: Database): Promise<readonly Finding[]> {
  const pending = {
    broker: await pendingMigrations(database, storeMigrations),
    log: await pendingMigrations(database, logMigrations),
  }
  const behind = Object.entries(pending).filter(([, count]) => count > 0)
  const ahead = Object.entries(pending).filter(([, count]) => count < 0)
  if (ahead.length > 0) {
    const message = `the tables of ${ahead.map(([name]) => name).join(' and ')} are of a newer build than this one`
    return [finding('migrations', 'warning', message, 'run the build that is newest on this database')]
  }
  if (behind.length === 0) return [finding('migrations', 'ok', 'the tables are those of this build')]
  const text = behind.map(([name, count]) => `${count} of the ${name}`).join(', ')
  return [
    finding('migrations', 'warning', `migrations wait: ${text}`, 'back the database up; the next start applies them'),
  ]
}

async function lookAtDurability(database: Database, hasTables: boolean): Promise<readonly Finding[]> {
  const text = await describeDurability(database)
  const tenants = hasTables ? await database.read((db) => listTenants(db)) : []
  const production = tenants.filter((tenant) => tenant.class === 'production').length
  try {
    await verifyDurable(database)
    return [finding('durability', 'ok', text)]
  } catch (error) {
    if (!isFailure(error) || error.code !== 'database/not-durable') throw error
    const fix = 'use Postgres with fsync and synchronous_commit on'
    if (production > 0)
      return [failed('durability', error, 'fault', `${fix}: there are ${production} production tenants`)]
    return [finding('durability', 'note', `${text}; no production tenant is taken in`, fix)]
  }
}

const clockMaxSeconds = 5

/** How far a clock is from another's; `asked` and `answered` bound when the other read its own. */
export function clockFinding(whose: string, theirs: number, asked: number, answered: number): Finding {
  const off = theirs < asked ? theirs - asked : theirs > answered ? theirs - answered : 0
  const message = `the clock of ${whose} is ${Math.abs(off).toFixed(1)} s ${off < 0 ? 'behind' : 'ahead of'} this one`
  const fix = 'set this clock by NTP: timedatectl set-ntp true'
  if (Math.abs(off) <= clockMaxSeconds) return finding('clock', 'ok', `the clock of ${whose} agrees`)
  // The broker itself releases nothing when it is a minute from its witnesses (TRUST 15).
  return finding('clock', Math.abs(off) > 60 ? 'fault' : 'warning', message, fix)
}

async function lookAtClock(database: Database): Promise<readonly Finding[]> {
  if (database.dialect === 'pglite') return []
  const asked = Date.now() / 1000
  const [row] = await database.read((db) => rowsOf(db, sql`select extract(epoch from clock_timestamp()) as now`))
  return [clockFinding('Postgres', Number(row?.now), asked, Date.now() / 1000)]
}

/** The newest checkpoint is signed by the log that was created with the services. */
async function lookAtLog(database: Database, state: ServiceState): Promise<readonly Finding[]> {
  const reader = await openLogReader(database)
  if (reader.vkey !== state.log) {
    const message = `the database holds the log ${reader.vkey}, these services were created with ${state.log}`
    return [finding('log', 'fault', message, 'give the state folder and the database that belong together')]
  }
  let text: string
  try {
    text = await reader.checkpoint()
  } catch (error) {
    if (!isFailure(error) || error.code !== 'log/index') throw error
    return [finding('log', 'note', 'the log has no cosigned checkpoint yet')]
  }
  const signed = await verifyNote(parseNote(text), [parseVkey(state.log)])
  if (signed.length === 0) {
    const fix = 'somebody changed the database: restore it from a backup'
    return [finding('log', 'fault', "the newest checkpoint is not signed by the services' log", fix)]
  }
  return [finding('log', 'ok', `the log has ${parseCheckpoint(text).size} entries under its newest checkpoint`)]
}

/** Everything that is seen in the database alone. Nothing is migrated: what cannot be read before is not looked at. */
export async function lookAtDatabase(
  database: Database,
  state: ServiceState,
): Promise<{ readonly findings: readonly Finding[]; readonly hasTables: boolean }> {
  const tables = await looking('migrations', () => lookAtTables(database))
  const hasTables = tables.every((one) => one.state === 'ok')
  const skipped = finding('log', 'skipped', 'the tables are not those of this build')
  const findings = [
    finding('database', 'ok', `it answers: ${database.dialect}`),
    ...tables,
    ...(await looking('durability', () => lookAtDurability(database, hasTables))),
    ...(await looking('clock', () => lookAtClock(database))),
    ...(hasTables ? await looking('log', () => lookAtLog(database, state)) : [skipped]),
  ]
  return { findings, hasTables }
}
