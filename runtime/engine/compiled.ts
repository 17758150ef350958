import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Failure } from '#core/failure.js'

/** Failures of finding the program that a process or thread runs. */
export type CompiledCode = 'engine/start'

/**
 * The absolute path of a compiled module, `runtime/engine/child.js`: processes and threads run from dist, also when what
 * starts them runs from the sources.
 *
 * throws  engine/start
 */
export function compiledPath(module: string): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const file = join(folder, 'package.json')
    if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown }).name === 'claviger') break
    if (dirname(folder) === folder) throw new Failure<CompiledCode>('engine/start', 'package.json was not found')
    folder = dirname(folder)
  }
  const path = join(folder, 'dist', module)
  if (!existsSync(path)) throw new Failure<CompiledCode>('engine/start', 'dist is missing: run npm run build')
  return path
}
