import { Failure } from '#core/failure.js'
import { runProgram } from '#host/process.js'

/** Failures of putting the chain together. */
export type ChainCode = 'chain/step' | 'chain/closing'

/**
 * A command of the owner has run, as a process that held what only owners hold (weights, model keys, age identities, which
 * that library takes as strings) and is gone: none of it was ever in this process, which stays and runs a node.
 *
 * progress  shows on the terminal how far it has come
 * returns   what it printed as its result
 * throws    chain/step with what it said, process/absent
 */
export async function runByOwner(args: readonly string[], progress = false): Promise<string> {
  const { code, out, err } = await runProgram('cli/main.js', args, progress)
  if (code === 0) return out
  const message = `claviger ${args[0]} ended with ${code ?? 'a signal'}`
  throw new Failure<ChainCode>('chain/step', message, { detail: { said: err } })
}
