import { formatDuration, type Io, paint } from '#cli/output.js'
import type { OnProgress, Progress } from '#convert/progress.js'

const barWidth = 24
const refreshMs = 100

/** `512 B`, `1.0 MiB`, `3.2 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return power === 0 ? `${bytes} B` : `${(bytes / 1024 ** power).toFixed(1)} ${units[power]}`
}

function bar({ what, done, total }: Progress, seconds: number): string {
  const part = total === 0 ? 1 : done / total
  const filled = Math.round(part * barWidth)
  const speed = seconds > 0 ? `${formatBytes(Math.round(done / seconds))}/s` : ''
  const line = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)} ${String(Math.floor(part * 100)).padStart(3)} %`
  return `${line}  ${formatBytes(done)} of ${formatBytes(total)}  ${speed}  ${what.slice(-40)}`
}

export interface ProgressBar {
  readonly onProgress: OnProgress
  /** `whole` false when the work failed: then nothing is said to be done */
  end(whole?: boolean): void
}

/**
 * A progress bar on a terminal, redrawn at most ten times a second; nothing elsewhere, where it would fill a log.
 *
 * `end` takes the bar away, so that what is printed next stands alone.
 */
export function progressBar(io: Io): ProgressBar {
  const begun = performance.now()
  let drawn = Number.NEGATIVE_INFINITY
  let last: Progress | null = null
  return {
    onProgress(progress) {
      last = progress
      const now = performance.now()
      if (!io.isTerminal || (now - drawn < refreshMs && progress.done < progress.total)) return
      drawn = now
      io.stderr(`\r\x1b[2K${bar(progress, (now - begun) / 1000)}`)
    },
    end(whole = true) {
      if (!io.isTerminal || last === null) return
      const summary = `${formatBytes(last.done)} in ${formatDuration(performance.now() - begun)}`
      io.stderr(whole ? `\r\x1b[2K${paint(io, 'dim', summary)}\n` : '\r\x1b[2K')
    },
  }
}

const lineMs = 10_000

/**
 * The progress of something that people wait for: a bar on a terminal, elsewhere a line when it begins, about every ten seconds
 * while it goes on, and when it is done. Nothing at all when it never began.
 *
 * what  such as `fetching the model`
 */
export function progressLines(io: Io, what: string, nowMs: () => number = () => performance.now()): ProgressBar {
  if (io.isTerminal) return progressBar(io)
  let begun: number | null = null
  let told = 0
  let last: Progress = { what: '', done: 0, total: 0 }
  const rate = (now: number) => formatBytes(Math.round(last.done / Math.max(0.001, (now - (begun ?? now)) / 1000)))
  return {
    onProgress(progress) {
      last = progress
      const now = nowMs()
      if (begun === null) {
        begun = told = now
        io.stderr(`${what}: ${formatBytes(progress.total)}\n`)
      } else if (now - told >= lineMs) {
        told = now
        io.stderr(`${what}: ${formatBytes(progress.done)} of ${formatBytes(progress.total)}, ${rate(now)}/s\n`)
      }
    },
    end(whole = true) {
      if (begun === null || !whole) return
      const now = nowMs()
      io.stderr(`${what}: done, ${formatBytes(last.done)} in ${formatDuration(now - begun)}, ${rate(now)}/s\n`)
    },
  }
}
