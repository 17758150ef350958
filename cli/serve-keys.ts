import type { Command } from 'commander'
import { announceKey, type KeySet, loadKeySet, retireKey, rollKeys } from '#attest/service/keys.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import { loadServices, servicePlaces } from '#cli/service-state.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { Failure } from '#core/failure.js'

/** Failures of rolling keys over. */
export type ServeKeysCode =
  /** no key was announced: nodes would refuse the results of a key that their owners have not listed */
  'serve/unannounced'

export interface KeysArguments {
  readonly state: string
  readonly unannounced?: boolean | undefined
  readonly json?: boolean | undefined
}

async function folderOf(args: KeysArguments): Promise<string> {
  await loadServices(args.state)
  return servicePlaces(args.state).verifier
}

/** Newest first: an announced key, the one that signs, those that count still. */
function statesOf({ current, publicKeys }: KeySet) {
  const at = publicKeys.findIndex((key) => thumbprint(key) === current.id)
  return publicKeys.map((key, i) => ({
    key: thumbprint(key),
    state: i < at ? ('announced' as const) : i === at ? ('signs' as const) : ('counts' as const),
  }))
}

function report(keys: KeySet, args: KeysArguments, io: Io): number {
  const states = statesOf(keys)
  if (args.json) io.stdout(`${JSON.stringify({ keys: states })}\n`)
  else for (const { key, state } of states) io.stdout(`${state.padEnd(10)} ${key}\n`)
  return exitCodes.ok
}

export async function runList(args: KeysArguments, io: Io): Promise<number> {
  return report(await loadKeySet(await folderOf(args)), args, io)
}

/** A new key is shown, and signs nothing yet. */
export async function runAnnounce(args: KeysArguments, io: Io): Promise<number> {
  const keys = await announceKey(await folderOf(args), io.now())
  io.stderr(
    `${paint(io, 'yellow', 'now:')} ask owners to run init and register again, so that their nodes know the new key; then roll\n`,
  )
  return report(keys, args, io)
}

/** The announced key signs from now on. @throws serve/unannounced */
export async function runRoll(args: KeysArguments, io: Io): Promise<number> {
  const folder = await folderOf(args)
  const isAnnounced = statesOf(await loadKeySet(folder))[0]?.state === 'announced'
  if (!isAnnounced && args.unannounced !== true) {
    const hint = 'announce one first; or add --unannounced when the current key is lost or stolen'
    throw new Failure<ServeKeysCode>('serve/unannounced', 'no key was announced', { detail: { hint } })
  }
  return report(await rollKeys(folder, io.now()), args, io)
}

/** Signatures of this key count no more. */
export async function runRetire(key: string, args: KeysArguments, io: Io): Promise<number> {
  return report(await retireKey(await folderOf(args), key), args, io)
}

export function describeKeys(serve: Command, io: Io): void {
  const keys = serve.command('keys').description("the verifier's signing keys; a running service follows them")
  const verb = (name: string, description: string, example: string) =>
    keys
      .command(name)
      .description(description)
      .requiredOption('--state <folder>', 'what `claviger serve create` made')
      .option('--json', 'print the keys as JSON')
      .addHelpText('after', `\nExample:\n  ./claviger serve keys ${example} --state services`)
  verb('list', 'every key whose signatures count', 'list').action(async (args: KeysArguments) =>
    io.exit(await runList(args, io)),
  )
  verb('announce', 'makes the next key, which is shown and signs nothing yet', 'announce').action(
    async (args: KeysArguments) => io.exit(await runAnnounce(args, io)),
  )
  verb('roll', 'the announced key signs from now on; the old one counts until it is retired', 'roll')
    .option('--unannounced', 'at once, with a key that no owner has listed: their nodes refuse its results')
    .action(async (args: KeysArguments) => io.exit(await runRoll(args, io)))
  verb('retire', 'signatures of this key count no more', 'retire THUMBPRINT')
    .argument('<key>', 'thumbprint, as list shows it')
    .action(async (key: string, args: KeysArguments) => io.exit(await runRetire(key, args, io)))
}
