import { rmSync } from 'node:fs'

const paths = new Set<string>()
let watching = false

/**
 * A file or folder that is being made and is nobody's yet: a process that is asked to end takes it away. One that is killed
 * cannot. Call what is returned when the path is finished or gone.
 */
export function markUnfinished(path: string): () => void {
  if (!watching) {
    watching = true
    process.on('exit', () => {
      for (const one of paths) {
        try {
          // A child that is being killed may still write there for a moment.
          rmSync(one, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
        } catch {
          // Somebody else writes there.
        }
      }
    })
  }
  paths.add(path)
  return () => void paths.delete(path)
}
