import type { BytesCode } from '#core/bytes/bytes.js'
import type { JsonCode } from '#core/encoding/json.js'
import type { ShapeCode } from '#core/encoding/shape.js'
import type { DatabaseCode } from '#host/database-failures.js'

/** Failures of an HTTP request as such, before any service looked at it. */
export type HttpCode =
  | 'http/not-found'
  | 'http/media-type'
  /** the body is larger than the route takes */
  | 'http/body-size'
  /** the connection ended before the body did */
  | 'http/aborted'
  /** the body did not come in time, or was the slowest when others needed its place */
  | 'http/unfinished'
  /** the answer took longer than the route allows */
  | 'http/timeout'
  /** too many requests from this address */
  | 'http/rate'
  /** too many requests at the same time, or the service is ending */
  | 'http/busy'
  /** a bug of ours; the log says where */
  | 'http/internal'

export const httpStatuses: Readonly<Record<HttpCode, number>> = {
  'http/not-found': 404,
  'http/media-type': 415,
  'http/body-size': 413,
  'http/aborted': 400,
  'http/unfinished': 408,
  'http/timeout': 503,
  'http/rate': 429,
  'http/busy': 503,
  'http/internal': 500,
}

/** Statuses of input that has not the form its route asks for: part of every service's table. */
export const inputStatuses: Readonly<Record<BytesCode | JsonCode | ShapeCode, number>> = {
  'bytes/truncated': 400,
  'bytes/trailing': 400,
  'bytes/range': 400,
  'bytes/hex': 400,
  'bytes/base64': 400,
  'bytes/utf8': 400,
  'json/syntax': 400,
  'json/duplicate': 400,
  'json/number': 400,
  'json/limit': 400,
  'json/canonical': 400,
  'json/surrogate': 400,
  'shape/type': 400,
  'shape/missing': 400,
  'shape/unknown': 400,
  'shape/range': 400,
  'shape/form': 400,
}

/** Statuses of a database's failures: none of them is the caller's fault. */
export const databaseStatuses: Readonly<Record<DatabaseCode, number>> = {
  'database/locked': 503,
  'database/not-durable': 503,
  'database/replica': 503,
  'database/unreachable': 503,
  'database/conflict': 503,
  'database/timeout': 503,
  'database/duplicate': 500,
  'database/constraint': 500,
  'database/migration': 500,
  'database/failed': 500,
}

/** What a caller is told of a database's failure: nothing of its tables, its constraints, its folder or its address. */
const databaseMessages: Readonly<Record<DatabaseCode, string>> = {
  'database/locked': 'another process has the database open',
  'database/not-durable': 'a commit here would not survive a power failure',
  'database/replica': 'the database is a standby',
  'database/unreachable': 'the database is away',
  'database/conflict': 'requests disturbed each other; try again',
  'database/timeout': 'the database took too long; try again',
  'database/duplicate': 'the database refused a row',
  'database/constraint': 'the database refused a row',
  'database/migration': 'the database has not the form that this service needs',
  'database/failed': 'the database failed',
}

/**
 * What a caller is told instead of the failure's own message and detail, where these speak of what the service stands on:
 * its database, its files, its key-encryption key. Null where they speak of the request.
 */
export function neutralMessage(code: string): string | null {
  if (Object.hasOwn(databaseMessages, code)) return databaseMessages[code as DatabaseCode]
  return /^(database|file|kek)\//.test(code) ? 'a file or key of this service cannot be used' : null
}
