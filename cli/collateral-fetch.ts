import { existsSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { Collection } from '#attest/collateral/collect.js'
import type { Above } from '#attest/collateral/fetch/sources.js'
import { loadBundle, storeBundle } from '#attest/collateral/folder.js'
import type { Lookup } from '#attest/endorsements/choose.js'
import { completeEvidence } from '#attest/endorsements/complete.js'
import type { VerifiedItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName, parseName } from '#attest/endorsements/names.js'
import { readEnvelope } from '#cli/collateral-evidence.js'
import { openSources, type SourceArguments, servicesOf } from '#cli/collateral-sources.js'
import {
  commonOptions,
  type JsonOption,
  jsonOf,
  lineOf,
  type RootsOption,
  tellRefused,
  withStore,
} from '#cli/collateral-store.js'
import { httpUrl, repeated } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { Failure, isFailure } from '#core/failure.js'

/** Failures of what was typed. */
export type CollateralUsageCode =
  /** neither a file nor a folder of services, or both, was named */
  'usage/collateral-place' | 'usage/collateral-document'

export interface FetchArguments extends SourceArguments, RootsOption, JsonOption {
  readonly out?: string | undefined
  readonly state?: string | undefined
  readonly databaseUrl?: string | undefined
  readonly document: readonly string[]
  readonly evidence?: string | undefined
  readonly collateral?: string | undefined
  readonly held?: boolean | undefined
  readonly dryRun?: boolean | undefined
}

/** Where documents are fetched to: a bundle or a store, behind one face. */
interface Target {
  held(): Promise<readonly VerifiedItem[]>
  fetch(name: CollateralName, above: Above): Promise<VerifiedItem>
}

interface Outcome {
  readonly fetched: VerifiedItem[]
  readonly refused: { readonly name: string; readonly failure: Failure }[]
}

/** Fetches each, and says of each what became of it: one that fails keeps none of the others back. */
async function fetchInto(target: Target, args: FetchArguments, io: Io): Promise<Outcome> {
  const outcome: Outcome = { fetched: [], refused: [] }
  const one = async (name: CollateralName, above: Above = []): Promise<VerifiedItem | null> => {
    try {
      const item = await target.fetch(name, above)
      outcome.fetched.push(item)
      return item
    } catch (error) {
      if (!isFailure(error) || error.code.startsWith('database/')) throw error
      outcome.refused.push({ name: formatName(name), failure: error })
      return null
    }
  }
  for (const text of args.document) await one(parseName(text))
  if (args.held) for (const { name } of await target.held()) await one(name)
  if (args.evidence !== undefined) {
    const lookup: Lookup = (name, _root, _need, above) => one(name, above)
    await fetchFor(await readEnvelope(args.evidence, args.collateral), lookup, args, io, outcome)
  }
  return outcome
}

/** Everything that a piece of evidence is verified with. */
async function fetchFor(
  envelope: Awaited<ReturnType<typeof readEnvelope>>,
  one: Lookup,
  args: FetchArguments,
  io: Io,
  outcome: Outcome,
): Promise<void> {
  try {
    await completeEvidence(envelope, one, { simulatedRoots: args.simulatedRoot, at: io.now() })
  } catch (error) {
    // What could not be fetched was told of already.
    if (!isFailure(error) || error.code !== 'collateral/absent' || outcome.refused.length === 0) throw error
  }
}

/** What a fetch would ask for, as far as it is known before anybody was asked. */
async function dryRun(args: FetchArguments, io: Io): Promise<number> {
  const documents = args.document.map((text) => formatName(parseName(text)))
  if (args.evidence !== undefined) {
    const note: Lookup = async (name) => {
      documents.push(formatName(name))
      return null
    }
    await completeEvidence(await readEnvelope(args.evidence, args.collateral), note, {
      simulatedRoots: args.simulatedRoot,
      at: io.now(),
    }).catch((error: unknown) => {
      if (!isFailure(error) || error.code !== 'collateral/absent') throw error
    })
  }
  const services = Object.entries(servicesOf(args)).filter(
    ([vendor]) => args.held || documents.some((name) => name.startsWith(`${vendor}/`)),
  )
  if (args.json)
    io.stdout(`${JSON.stringify({ dryRun: true, documents, services: Object.fromEntries(services) }, null, 2)}\n`)
  else {
    for (const name of documents) io.stdout(`would fetch ${name}\n`)
    for (const [vendor, url] of services) io.stdout(`would ask ${vendor} at ${url}\n`)
  }
  return exitCodes.ok
}

async function fetchIntoBundle(out: string, args: FetchArguments, io: Io): Promise<Outcome> {
  const bundle = existsSync(out) ? await loadBundle(out) : []
  const options = { simulatedRoots: args.simulatedRoot, at: io.now(), fetchItem: await openSources(args) }
  const collection = await Collection.open(bundle, options)
  const target: Target = { held: async () => collection.items(), fetch: (name, above) => collection.fetch(name, above) }
  const outcome = await fetchInto(target, args, io)
  if (outcome.fetched.length > 0) await storeBundle(out, collection.items())
  // What was refused of the bundle and came anew is there.
  const isNew = (name: string) => outcome.fetched.some(({ label }) => label === name)
  const refused = collection.refused.filter(({ name }) => !isNew(name))
  return { ...outcome, refused: [...refused, ...outcome.refused] }
}

function fetchIntoStore(state: string, args: FetchArguments, io: Io): Promise<Outcome> {
  const place = { state, databaseUrl: args.databaseUrl, simulatedRoot: args.simulatedRoot }
  return withStore(place, io, args, (store) =>
    fetchInto({ held: () => store.items(), fetch: (name, above) => store.renew(name, above) }, args, io),
  )
}

/** Fetches documents from vendors or mirrors into a bundle or a store. Exit 3 when some could not be had. */
export async function runFetch(args: FetchArguments, io: Io): Promise<number> {
  const usage = (code: CollateralUsageCode, message: string) => new Failure<CollateralUsageCode>(code, message)
  if (args.document.length === 0 && args.evidence === undefined && args.held !== true)
    throw usage('usage/collateral-document', 'fetch what? --document NAME, --evidence FILE or --held is needed')
  const { out, state } = args
  if (args.dryRun === true) return dryRun(args, io)
  if ((out === undefined) === (state === undefined))
    throw usage('usage/collateral-place', 'exactly one of --out PATH and --state FOLDER is needed')
  const { fetched, refused } =
    out !== undefined ? await fetchIntoBundle(out, args, io) : await fetchIntoStore(state!, args, io)
  if (args.json) {
    const failed = refused.map(({ name, failure }) => ({ name, code: failure.code, message: failure.message }))
    io.stdout(`${JSON.stringify({ fetched: fetched.map(jsonOf), refused: failed }, null, 2)}\n`)
  } else {
    for (const item of fetched) io.stdout(`fetched ${lineOf(item)}\n`)
    for (const { name, failure } of refused) tellRefused(io, name, failure)
  }
  return refused.length > 0 ? exitCodes.verdict : exitCodes.ok
}

/** A name of a document, refused when it is typed. */
const documentName = repeated((text) => {
  try {
    return formatName(parseName(text))
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new InvalidArgumentError('expected the name of a document, such as intel/tdx/qe-identity')
  }
})

export function describeFetch(collateral: Command, io: Io): void {
  commonOptions(collateral.command('fetch'))
    .description("ask vendors' services, or mirrors, for documents; verified before they are kept")
    .option('--out <path>', 'into a bundle: a folder, or one file when the name ends with .json')
    .option('--state <folder>', 'into the store of services that `claviger serve create` made')
    .option('--database-url <url>', 'Postgres of that store, when it was created with it; or CLAVIGER_DATABASE_URL')
    .option(
      '--document <name>',
      'such as intel/tdx/qe-identity or amd/genoa/vcek/crl; repeat for more',
      documentName,
      [],
    )
    .option(
      '--evidence <file>',
      'everything that this evidence is verified with: envelope, SNP report, quote or device report',
    )
    .option('--collateral <path>', 'with --evidence: files beside it, such as the certificates of a device report')
    .option('--held', 'everything that is held there already')
    .option('--pcs <url>', "Intel's service or a PCCS; without it Intel's own", httpUrl('https://pccs.example'))
    .option('--kds <url>', "AMD's service or a mirror; without it AMD's own", httpUrl('https://kds.example'))
    .option('--rim <url>', "NVIDIA's RIM service or a mirror; without it NVIDIA's own", httpUrl('https://rim.example'))
    .option(
      '--ocsp <url>',
      "NVIDIA's OCSP responder or a mirror; without it NVIDIA's own",
      httpUrl('https://ocsp.example'),
    )
    .option('--dry-run', 'say what would be asked for and where, and ask nobody')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger collateral fetch --evidence quote.bin --out collateral\n\nExit 0 all fetched, 3 some could not be had.',
    )
    .action(async (args: FetchArguments) => io.exit(await runFetch(args, io)))
}
