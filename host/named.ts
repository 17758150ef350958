import type { Connection } from '#host/database.js'

/** A statement that never changes: a server that knows its name does not read and plan it again. One name, one text. */
export interface NamedStatement {
  /** of at most 63 bytes */
  readonly name: string
  /** with `$1` for the first parameter */
  readonly text: string
}

export type NamedValue = string | number | boolean | null | Uint8Array | readonly NamedValue[]

/**
 * The rows of a named statement: bytes as a Buffer or Uint8Array, bigints as the driver has them.
 *
 * Postgres keeps it under its name for as long as the connection lasts; PGlite reads it anew each time.
 */
export async function namedRows(
  db: Connection,
  { name, text }: NamedStatement,
  values: readonly NamedValue[],
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const query = { sql: text, params: values.map(toDriver) }
  const result = await db._.session.prepareQuery(query, undefined, name, false).execute()
  return (result as { readonly rows: readonly Readonly<Record<string, unknown>>[] }).rows
}

function toDriver(value: NamedValue): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length)
  return Array.isArray(value) ? value.map(toDriver) : value
}

/** A column of bytes, in memory of its own. */
export function bytesOf(value: unknown): Uint8Array {
  return new Uint8Array(value as Uint8Array)
}
