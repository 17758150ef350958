import type { Command } from 'commander'
import { exitCodes, processIo, sayError } from '#cli/output.js'
import { runCommandLine } from '#cli/program.js'
import { heedSignals } from '#cli/signals.js'
import { heedParent } from '#host/process.js'

/**
 * Before a command does anything, its memory is closed: most hold a key sooner or later, and one that forgot would look like
 * one that did not. Only a node that was told to stay readable stays so, and says it in its document.
 */
async function closeFor(command: Command): Promise<void> {
  if (command.opts().dangerousAllowInspection === true) return
  const { closeMemory } = await import('#runtime/engine/closed.js')
  closeMemory()
}

async function main(): Promise<void> {
  const words = process.argv.slice(2)
  const io = processIo(words)
  // Whoever read the output has gone, as `head` does: what was left to say is said to nobody, and is no success. Of a disk
  // that is full and the like the reader is told; where nobody can be told, the exit code says it.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') sayError(io, Object.assign(error, { path: 'standard output' }))
    process.exit(exitCodes.failure)
  })
  process.stderr.on('error', () => process.exit(exitCodes.failure))
  heedSignals()
  heedParent(() => process.exit(exitCodes.failure))
  await runCommandLine(words, io, closeFor)
}

await main()
