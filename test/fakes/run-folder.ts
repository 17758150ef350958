import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** a folder of this run: what its tests note here is told at its end */
    runFolder: string
  }
}

/** The folder of this run, the same in all its workers. */
export function runFolder(): string {
  return inject('runFolder')
}

/** Notes one line for the end of the run. */
export function note(kind: 'databases' | 'skips', line: string): void {
  appendFileSync(join(runFolder(), kind), `${line}\n`)
}

/** The lines noted so far in a run's folder, each once. */
export function notesOf(folder: string, kind: 'databases' | 'skips'): readonly string[] {
  try {
    return [...new Set(readFileSync(join(folder, kind), 'utf8').split('\n').filter(Boolean))].sort()
  } catch {
    return []
  }
}
