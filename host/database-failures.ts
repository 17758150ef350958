import { Failure } from '#core/failure.js'

/** Failures of a database, whatever its kind. */
export type DatabaseCode =
  /** a standby: what it says may be older than what was decided */
  | 'database/replica'
  /** another live process has the folder open */
  | 'database/locked'
  /** a commit would not survive a power failure, and the caller needs that it does */
  | 'database/not-durable'
  /** no connection, or the connection broke; whether a commit in flight took place is unknown */
  | 'database/unreachable'
  /** transactions kept disturbing each other; trying again later may work */
  | 'database/conflict'
  /** a row with this key exists */
  | 'database/duplicate'
  /** a row breaks a rule of its table */
  | 'database/constraint'
  /** a statement took longer than allowed */
  | 'database/timeout'
  /** the migrations could not be applied */
  | 'database/migration'
  /** everything else that a database reports */
  | 'database/failed'

const causesMax = 8

function causesOf(error: unknown): readonly unknown[] {
  const out: unknown[] = []
  for (let one = error; one !== undefined && one !== null && out.length < causesMax; ) {
    out.push(one)
    one = typeof one === 'object' && 'cause' in one ? one.cause : undefined
  }
  return out
}

function textMember(error: unknown, name: string): string | undefined {
  const value = typeof error === 'object' && error !== null ? (error as Record<string, unknown>)[name] : undefined
  return typeof value === 'string' ? value : undefined
}

/** The SQLSTATE that the database itself reported, somewhere below the library's wrapping. */
export function sqlStateOf(error: unknown): string | undefined {
  for (const one of causesOf(error)) {
    const code = textMember(one, 'code')
    if (code !== undefined && /^[0-9A-Z]{5}$/.test(code)) return code
  }
  return undefined
}

/** Serialization failure or deadlock: the database undid the whole transaction, and it may be run again. */
export function isConflict(error: unknown): boolean {
  const state = sqlStateOf(error)
  return state === '40001' || state === '40P01'
}

function codeOf(state: string): DatabaseCode {
  if (state === '23505') return 'database/duplicate'
  if (state.startsWith('23')) return 'database/constraint'
  if (state === '40001' || state === '40P01' || state === '55P03') return 'database/conflict'
  if (state === '57014' || state === '25P03') return 'database/timeout'
  if (/^(08|57P|53)/.test(state)) return 'database/unreachable'
  return 'database/failed'
}

/**
 * A database's error as a failure of ours; anything else comes back as it is.
 *
 * The library's own error quotes every parameter of the statement, keys among them: it is dropped, and only
 * SQLSTATE, table and constraint are kept.
 */
export function databaseFailure(error: unknown): unknown {
  const ours = causesOf(error).find((one) => one instanceof Failure)
  if (ours !== undefined) return ours
  const state = sqlStateOf(error)
  if (state !== undefined) {
    const source = causesOf(error).find((one) => textMember(one, 'code') === state)
    const detail = { sqlState: state, table: textMember(source, 'table'), constraint: textMember(source, 'constraint') }
    const where = detail.constraint ?? detail.table
    const message = `database reported ${state}${where === undefined ? '' : ` on ${where}`}`
    return new Failure<DatabaseCode>(codeOf(state), message, { detail })
  }
  const broken = causesOf(error).find((one) => {
    const code = textMember(one, 'code') ?? ''
    const message = textMember(one, 'message') ?? ''
    return (
      /^(ECONN|ENOTFOUND|ETIMEDOUT|EPIPE|EAI_|ENOENT|EHOST)/.test(code) ||
      /connection terminated|timeout exceeded when trying to connect|client has encountered a connection error|not queryable|pool after calling end/i.test(
        message,
      )
    )
  })
  if (broken !== undefined) {
    const code = textMember(broken, 'code')
    return new Failure<DatabaseCode>('database/unreachable', `no connection to the database${code ? ` (${code})` : ''}`)
  }
  return error
}
