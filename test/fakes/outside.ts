/**
 * What belongs in test/fakes: what several suites build on: minters of evidence under throwaway roots, doubles of
 * neighbours, throwaway databases, finders of needles. No test stands here, but those of the finders.
 */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { postgresBinaries } from './postgres-cluster.js'
import { note } from './run-folder.js'

/** What tests need from outside of the repository, by name. */
export type OutsideName = 'postgres' | 'chromium' | 'softhsm2' | 'openssl' | 'model' | 'vectors'

const root = join(import.meta.dirname, '../..')

function onPath(...names: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(':').filter(Boolean)
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(existsSync)
}

const places: Readonly<Record<OutsideName, () => string | undefined>> = {
  postgres: () => process.env.CLAVIGER_TEST_DATABASE_URL ?? postgresBinaries(),
  chromium: () => onPath('chromium', 'chromium-browser', 'google-chrome'),
  softhsm2: () => ['/usr/lib/softhsm/libsofthsm2.so', '/usr/local/lib/softhsm/libsofthsm2.so'].find(existsSync),
  openssl: () => onPath('openssl'),
  // A fetch that was cut short leaves the folder of models without the model in it.
  model: () =>
    [join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'claviger', 'models')].find((folder) =>
      existsSync(join(folder, 'moonshine-tiny', 'config.json')),
    ),
  // The only two places looked at.
  vectors: () => [process.env.CLAVIGER_VECTORS_DIR ?? join(root, '../shared/vectors')].find(existsSync),
}

/**
 * Where the thing is, or undefined: then the caller's tests are skipped, and the last lines of the run count them.
 * `CLAVIGER_TEST_REQUIRE=a,b` turns such a skip into a failure.
 */
export function outside(name: OutsideName): string | undefined {
  const place = places[name]()
  if (place !== undefined) return place
  const required = (process.env.CLAVIGER_TEST_REQUIRE ?? '').split(',').map((one) => one.trim())
  if (required.includes(name)) throw new Error(`${name} is required (CLAVIGER_TEST_REQUIRE) and not here`)
  note('skips', name)
  return undefined
}
