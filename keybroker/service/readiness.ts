import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { equal, utf8 } from '#core/bytes/bytes.js'
import { wipe } from '#core/bytes/secret.js'
import { Failure, isFailure } from '#core/failure.js'
import { type Database, rowsOf } from '#host/database.js'
import type { Broker } from '#keybroker/broker.js'
import type { KekCode } from '#keybroker/kek/kek.js'

/** What a broker stands on: each `ok`, or the code of what is wrong with it. */
export type Readiness = Readonly<Record<'database' | 'log' | 'witnesses' | 'key', string>>

export interface ReadinessOptions {
  readonly broker: Pick<Broker, 'kek' | 'heads' | 'random'>
  readonly database: Database
  /** @throws log/... when no quorum cosigns the log as it is now */
  readonly refresh: () => Promise<void>
  /** milliseconds that only go forward */
  readonly nowMs: () => number
  /** how long an answer is given again, default 5,000: whoever asks often asks nobody else often */
  readonly keptMs?: number
  /** default 3,000 */
  readonly timeoutMs?: number
}

/** A key of its own, which no model's can be taken for. */
const probeAad = utf8('claviger readiness probe v1')

async function probeKey({ kek, random }: Pick<Broker, 'kek' | 'random'>): Promise<void> {
  const probe = random(32)
  const opened = await kek.unwrapDek(await kek.wrapDek(probe, probeAad), probeAad, kek.keyId)
  const same = equal(opened, probe)
  wipe(opened, probe)
  if (!same) throw new Failure<KekCode>('kek/unwrap', 'what was wrapped does not unwrap to the same')
}

/**
 * Whether a release could be decided, logged, cosigned and wrapped now: the database answers, the database is not behind the log, a quorum
 * of witnesses cosigns it, the key-encryption key wraps and unwraps. Nothing of a tenant is looked at.
 */
export function readinessOf(options: ReadinessOptions): () => Promise<Readiness> {
  const { broker, database, refresh, nowMs, keptMs = 5000, timeoutMs = 3000 } = options
  const look = async (work: () => Promise<unknown>): Promise<string> => {
    const late = new AbortController()
    try {
      const timer = pause(timeoutMs, 'timeout', { signal: late.signal }).catch(() => 'ok')
      return await Promise.race([work().then(() => 'ok'), timer])
    } catch (error) {
      return isFailure(error) ? error.code : 'internal'
    } finally {
      late.abort()
    }
  }
  const ask = async (): Promise<Readiness> => {
    const [known, witnesses, key] = await Promise.all([
      look(() => database.read((db) => rowsOf(db, sql`select 1`))),
      look(refresh),
      look(() => probeKey(broker)),
    ])
    return { database: known, log: broker.heads.halted?.code ?? 'ok', witnesses, key }
  }
  let last: { readonly at: number; readonly answer: Promise<Readiness> } | undefined
  return () => {
    const at = nowMs()
    if (last === undefined || at - last.at >= keptMs) last = { at, answer: ask() }
    return last.answer
  }
}
