import type { Command } from 'commander'
import { CollateralStore } from '#attest/collateral/store.js'
import type { VerifiedItem } from '#attest/endorsements/item.js'
import { openSources, type SourceArguments } from '#cli/collateral-sources.js'
import { repeated, sha256Text } from '#cli/option-values.js'
import { type Io, paint, printable } from '#cli/output.js'
import { type StateArguments, stateOptions } from '#cli/serve-create.js'
import { loadServices, openServiceDatabase } from '#cli/service-state.js'
import type { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import type { Log } from '#host/log.js'

export interface JsonOption {
  readonly json?: boolean | undefined
}
/** Roots of simulated machines, whose documents a store keeps apart. */
export interface RootsOption {
  readonly simulatedRoot: readonly string[]
}

/** A command says in its result what went wrong; there is no log beside it. */
const noLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** The store of services, while `work` runs. @throws serve/absent, serve/database, database/locked while they run on PGlite */
export async function withStore<T>(
  args: StateArguments & RootsOption,
  io: Io,
  sources: SourceArguments | null,
  work: (store: CollateralStore) => Promise<T>,
): Promise<T> {
  const options = stateOptions(args)
  const database = await openServiceDatabase(options, await loadServices(args.state))
  try {
    const store = await CollateralStore.open({
      database,
      fetchItem: sources && (await openSources(sources)),
      simulatedRoots: args.simulatedRoot,
      now: io.now,
      nowMs: () => performance.now(),
      log: noLog,
    })
    return await work(store)
  } finally {
    await database.close()
  }
}

export const lineOf = (
  item: Pick<VerifiedItem, 'label' | 'edition' | 'revoked' | 'issuedAt' | 'validUntil' | 'platform'>,
) =>
  `${item.label}${item.edition === null ? '' : `, edition ${item.edition}`}${item.revoked ? ' REVOKED' : ''}, of ${formatTime(item.issuedAt)}, valid until ${formatTime(item.validUntil)}${item.platform === 'simulated' ? ' (simulated: NOT HARDWARE)' : ''}`
export const jsonOf = ({ label, root, platform, edition, revoked, issuedAt, validUntil }: VerifiedItem) => ({
  name: label,
  root,
  platform,
  edition: edition === null ? null : edition.toString(),
  revoked,
  issuedAt,
  validUntil,
})

export function tellRefused(io: Io, name: string, failure: Failure): void {
  io.stderr(`${paint(io, 'red', 'refused:')} ${printable(name)}: ${printable(failure.message)} (${failure.code})\n`)
}

/** The place of a store, for commands that need one. */
export function storePlace(command: Command): Command {
  return command
    .requiredOption('--state <folder>', 'what `claviger serve create` made')
    .option('--database-url <url>', 'Postgres, when it was created with it; or CLAVIGER_DATABASE_URL')
}
/** Options of every command on collateral. */
export const commonOptions = (command: Command): Command =>
  command
    .option(
      '--simulated-root <sha256>',
      'root of simulated documents: NOT HARDWARE; repeat for more',
      repeated(sha256Text),
      [],
    )
    .option('--json', 'print the result as JSON')
