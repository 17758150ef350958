import { parseJson } from '#core/encoding/json.js'
import type { Shape } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { DatabaseConfig } from '#host/database.js'

/** Failures of a configuration. */
export type ConfigCode = 'config/invalid'

const configSizeMax = 1024 * 1024

/**
 * A service's configuration, read once at its start: JSON of exactly this shape, unknown names refused. Secrets stand in
 * files that it names.
 *
 * throws  config/invalid, which says where
 */
export function parseConfig<T>(bytes: Uint8Array, shape: Shape<T>, source: string): T {
  try {
    return shape(parseJson(bytes, configSizeMax), '')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<ConfigCode>('config/invalid', `${source}: ${error.message}`, {
      ...(error.detail === undefined ? {} : { detail: error.detail }),
      cause: error,
    })
  }
}

/** Where a service keeps its tables: a Postgres URL when there is one, else PGlite in `folder`. @throws config/invalid */
export function databaseConfig(url: string | undefined, folder: string): DatabaseConfig {
  if (url === undefined || url === '') return { folder }
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new Failure<ConfigCode>('config/invalid', 'the database URL does not begin with postgres://')
  }
  return { url }
}
