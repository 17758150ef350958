import { CommanderError } from 'commander'
import { exitCodes, processIo, reportError } from '#cli/output.js'
import { createProgram } from '#cli/program.js'

async function main(): Promise<void> {
  const io = processIo()
  try {
    await createProgram(io).parseAsync(process.argv)
  } catch (error) {
    if (error instanceof CommanderError) io.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage)
    else io.exit(reportError(io, error))
  }
}

await main()
