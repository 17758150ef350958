import { readFile } from 'node:fs/promises'
import inspector from 'node:inspector'
import type { HostState } from '#runtime/leaks.js'

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return null // Not known is not good: `findLeaks` counts it.
  }
}

/** What this machine and this process do with memory, as they say it now: after `closeProcess`, where that is called. */
export async function readHostState(): Promise<HostState> {
  const { report } = process
  return {
    swaps: await textOf('/proc/swaps'),
    corePattern: await textOf('/proc/sys/kernel/core_pattern'),
    limits: await textOf('/proc/self/limits'),
    flags: [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)],
    writesReports: report.reportOnFatalError || report.reportOnSignal || report.reportOnUncaughtException,
    hasInspector: inspector.url() !== undefined,
  }
}
