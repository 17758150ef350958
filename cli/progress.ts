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

/**
 * A progress bar on a terminal, redrawn at most ten times a second; nothing elsewhere, where it would fill a log.
 *
 * `end` takes the bar away, so that what is printed next stands alone.
 */
export function progressBar(io: Io): { readonly onProgress: OnProgress; end(): void } {
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
    end() {
      if (!io.isTerminal || last === null) return
      const summary = `${formatBytes(last.done)} in ${formatDuration(performance.now() - begun)}`
      io.stderr(`\r\x1b[2K${paint(io, 'dim', summary)}\n`)
    },
  }
}
