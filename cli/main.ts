import { type Command, CommanderError } from 'commander'
import { exitCodes, processIo, reportError } from '#cli/output.js'
import { createProgram } from '#cli/program.js'
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
  const io = processIo()
  // Whoever read the output has gone, as `head` does: what was left to say is said to nobody, and is no success.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(exitCodes.failure)
  })
  heedSignals()
  heedParent(() => process.exit(exitCodes.failure))
  try {
    const program = await createProgram(io, process.argv[2])
    program.hook('preAction', async (_, command) => closeFor(command))
    await program.parseAsync(process.argv)
  } catch (error) {
    if (error instanceof CommanderError) io.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage)
    else io.exit(reportError(io, error))
  }
}

await main()
