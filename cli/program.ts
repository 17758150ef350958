import { type Command, CommanderError } from 'commander'
import { IdCommand } from '#cli/command.js'
import { type Io, reportError } from '#cli/output.js'
import { exitCodes } from '#cli/trouble.js'
import { build } from '#cli/version.js'
import { verifyWords } from '#cli/words.js'

interface CommandModule {
  describe(program: Command, io: Io): void
}

/** By the word that they are called with. */
const commands: Readonly<Record<string, () => Promise<CommandModule>>> = {
  keys: () => import('#cli/keys.js'),
  seal: () => import('#cli/seal.js'),
  inspect: () => import('#cli/inspect.js'),
  unseal: () => import('#cli/unseal.js'),
  runtime: () => import('#cli/runtime.js'),
  init: () => import('#cli/init.js'),
  register: () => import('#cli/register.js'),
  host: () => import('#cli/host.js'),
  run: () => import('#cli/run.js'),
  doctor: () => import('#cli/doctor.js'),
  verify: () => import('#cli/verify.js'),
  attest: () => import('#cli/attest.js'),
  console: () => import('#cli/console.js'),
  receipt: () => import('#cli/receipt.js'),
  bundle: () => import('#cli/bundle.js'),
  audit: () => import('#cli/audit.js'),
  policy: () => import('#cli/policy.js'),
  usage: () => import('#cli/usage.js'),
  lease: () => import('#cli/lease.js'),
  caller: () => import('#cli/caller.js'),
  approve: () => import('#cli/approve.js'),
  tenant: () => import('#cli/tenant.js'),
  token: () => import('#cli/token.js'),
  access: () => import('#cli/access.js'),
  proxy: () => import('#cli/proxy.js'),
  collateral: () => import('#cli/collateral.js'),
  reference: () => import('#cli/reference.js'),
  registry: () => import('#cli/registry.js'),
  sources: () => import('#cli/sources.js'),
  landmark: () => import('#cli/landmark.js'),
  credential: () => import('#cli/credential.js'),
  model: () => import('#cli/model.js'),
  serve: () => import('#cli/serve.js'),
  keybroker: () => import('#cli/keybroker.js'),
  dev: () => import('#cli/dev.js'),
  demo: () => import('#cli/demo.js'),
}

/**
 * The command line; commands get the process through `io` only.
 *
 * named  the word that was typed first: of a command that there is, no other is loaded, which takes most of the time
 */
export async function createProgram(io: Io, named?: string): Promise<Command> {
  const program = new IdCommand('claviger')
    .description('releases the key of an encrypted ONNX model only to a node that proves what it is')
    .exitOverride()
    // What was typed wrongly is told where all errors are told, with a code.
    .configureOutput({
      writeOut: (text) => io.stdout(text),
      writeErr: (text) => io.stderr(text),
      outputError: () => undefined,
    })
    .enablePositionalOptions() // --version is the program's before a command, and an option of `seal` after it
    .version(build, '-V, --version', 'shows the version of this package')
    .hook('preAction', (_, action) => verifyWords(action))
  const load = named !== undefined && Object.hasOwn(commands, named) ? commands[named] : undefined
  const modules = await Promise.all((load === undefined ? Object.values(commands) : [load]).map((one) => one()))
  for (const { describe } of modules) describe(program, io)
  return program
}

/**
 * Runs what was typed. Whatever ends it is told, and `io` has its exit code.
 *
 * before  done once the words are known to be good, before the command does anything
 */
export async function runCommandLine(
  words: readonly string[],
  io: Io,
  before: (command: Command) => Promise<void> = async () => undefined,
): Promise<void> {
  try {
    const program = await createProgram(io, words[0])
    program.hook('preAction', (_, command) => before(command))
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) io.exit(exitCodes.ok)
    else io.exit(reportError(io, error))
  }
}
