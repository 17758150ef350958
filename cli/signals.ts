import { createRequire } from 'node:module'
import { constants } from 'node:os'

type Signal = 'SIGINT' | 'SIGTERM'

/** Whoever serves and ends by itself when it is told to; empty while the process does something that is just stopped. */
const waiting = new Set<() => void>()
let heeding = false

/**
 * The process ends with this code: children and unfinished files and folders go with it. It does not wait for work in other
 * threads as `process.exit` does, which takes seconds while an RSA key is made.
 *
 * source  _exit(2)
 */
function endNow(code: number): void {
  process.emit('exit', code)
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
    koffi.load(null).func('void _exit(int)')(code)
  } catch {
    // Without it the process ends a little later.
  }
  process.exit(code)
}

function heed(signal: Signal): void {
  const told = [...waiting]
  waiting.clear()
  if (told.length === 0) endNow(128 + constants.signals[signal]) // what shells expect
  for (const stop of told) stop()
}

/**
 * From now on SIGINT and SIGTERM end this process at once, with 130 and 143; while somebody waits for `stopSignal` the first
 * signal is theirs, and the next ends the process.
 */
export function heedSignals(): void {
  if (heeding) return
  heeding = true
  process.on('SIGINT', heed)
  process.on('SIGTERM', heed)
}

/** Resolves at the next SIGINT or SIGTERM, which do not end this process by themselves then. Call it once there is something to close. */
export function stopSignal(): Promise<void> {
  heedSignals()
  return new Promise((resolve) => waiting.add(resolve))
}
