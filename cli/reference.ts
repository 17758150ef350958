import type { Command } from 'commander'
import { type Difference, diffReferenceValues } from '#attest/reference/diff.js'
import type { Provenance, Publisher, ReferenceCode, VerifiedReference } from '#attest/reference/provenance.js'
import { type ReferenceInput, verifyNewest, verifyNotRolledBack, verifyReference } from '#attest/reference/verify.js'
import { readDocument, readInput } from '#cli/input.js'
import { lineName } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import {
  listReferences,
  loadKnownReference,
  loadReference,
  referenceFolder,
  seenReferences,
  standingReference,
  storeReference,
} from '#cli/reference-folder.js'
import { describeSign } from '#cli/reference-sign.js'
import { loadTrust } from '#cli/trust-store.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'

/** Failures of what was typed. */
export type ReferenceUsageCode = 'usage/reference-name' | 'usage/reference-trust'

interface TrustArguments {
  readonly trust: string
  readonly json?: boolean | undefined
}
interface FolderArguments extends TrustArguments {
  readonly folder?: string | undefined
}
interface FileArguments extends FolderArguments {
  readonly values?: string | undefined
}

const publishersOf = async (trust: string, io: Io): Promise<readonly Publisher[]> =>
  (await loadTrust(trust, io.now())).trust.runtimePublishers

async function readFiles(file: string, values: string | undefined): Promise<ReferenceInput> {
  const signed = await readInput(file, 'signed reference values')
  return { signed, values: values === undefined ? null : await readInput(values, 'reference values') }
}

function provenanceText({ provenance, title, valuesDigest }: VerifiedReference): string {
  const { source, publisher, key, name, version, signedAt, expiresAt, digest, builder } = provenance
  const time = (at: UnixSeconds | null) => (at === null ? 'not said' : formatTime(at))
  const line = name === null ? '' : `, ${name} version ${version}`
  return [
    `${title}`,
    `  source     ${source}${line}`,
    `  publisher  ${publisher} (${key})`,
    `  signed     ${time(signedAt)}, until ${time(expiresAt)}`,
    ...(builder === null ? [] : [`  builder    ${builder}`]),
    `  document   ${digest}`,
    `  values     ${valuesDigest}`,
    '',
  ].join('\n')
}

/** A document that counts now, and of whose line nothing newer was taken in. @throws as verifyReference, reference/rollback */
async function verifyNewestOf(
  input: ReferenceInput,
  { folder = referenceFolder() }: Pick<FolderArguments, 'folder'>,
  publishers: readonly Publisher[],
  now: UnixSeconds,
): Promise<VerifiedReference> {
  const found = await verifyReference(input, publishers, now)
  if (found.provenance.version !== null) verifyNewest(found.provenance, await seenReferences(folder, publishers))
  return found
}

/** Whether a signed document counts for this reader, and by whom. Exit 3 when it does not, or something newer was taken in. */
export async function runVerify(file: string, args: FileArguments, io: Io): Promise<number> {
  const publishers = await publishersOf(args.trust, io)
  const input = await readFiles(file, args.values)
  let found: VerifiedReference
  try {
    found = await verifyNewestOf(input, args, publishers, io.now())
  } catch (error) {
    // Of the folder, not of the document: no verdict.
    if (!isFailure(error) || error.code === 'reference/damaged') throw error
    if (args.json) io.stdout(`${JSON.stringify({ accepted: false, code: error.code, message: error.message })}\n`)
    else io.stdout(`${paint(io, 'red', 'NOT ACCEPTED')} ${printable(error.message)} (${error.code})\n`)
    return exitCodes.verdict
  }
  const { title, valuesDigest, provenance } = found
  if (args.json) io.stdout(`${JSON.stringify({ accepted: true, title, valuesDigest, provenance }, null, 2)}\n`)
  else io.stdout(`${paint(io, 'green', 'accepted')} ${provenanceText(found)}`)
  return exitCodes.ok
}

export interface ImportArguments extends FileArguments {
  readonly name?: string | undefined
  readonly dryRun?: boolean | undefined
}

/** Takes a signed document in under its name, unless one of its line that is newer was taken in under this name or another. */
export async function runImport(file: string, args: ImportArguments, io: Io): Promise<number> {
  const folder = args.folder ?? referenceFolder()
  const publishers = await publishersOf(args.trust, io)
  const input = await readFiles(file, args.values)
  const found = await verifyReference(input, publishers, io.now())
  const name = args.name ?? found.provenance.name
  if (name === null)
    throw new Failure<ReferenceUsageCode>(
      'usage/reference-name',
      'the document names no line of sets: --name is needed',
    )
  const before = await standingReference(folder, name, publishers)
  verifyNotRolledBack(found, before)
  if (found.provenance.version !== null) verifyNewest(found.provenance, await seenReferences(folder, publishers))
  const changes = diffReferenceValues(before?.values ?? {}, found.values)
  if (args.dryRun !== true) await storeReference(folder, name, input)
  const { title, valuesDigest, provenance } = found
  if (args.json)
    io.stdout(
      `${JSON.stringify({ dryRun: args.dryRun === true, name, title, valuesDigest, provenance, changes }, null, 2)}\n`,
    )
  else {
    io.stdout(`${args.dryRun === true ? 'would take in' : 'taken in as'} ${name}: ${provenanceText(found)}`)
    tellChanges(changes, io)
  }
  return exitCodes.ok
}

interface Listed {
  readonly name: string
  readonly state: 'current' | 'expired' | 'not-accepted'
  readonly title: string | null
  readonly provenance: Provenance | null
  readonly failure: { readonly code: string; readonly message: string } | null
}

/** Every document that was taken in, judged now. Exit 3 when one does not count. */
export async function runList(args: FolderArguments, io: Io): Promise<number> {
  const folder = args.folder ?? referenceFolder()
  const publishers = await publishersOf(args.trust, io)
  const all: Listed[] = []
  const names = await listReferences(folder)
  const seen: Provenance[] = []
  for (const name of names) seen.push(...(await readable(folder, name, publishers)))
  for (const name of names) all.push(await listed(folder, name, { publishers, seen }, io))
  if (args.json) io.stdout(`${JSON.stringify({ references: all }, null, 2)}\n`)
  else
    for (const { name, state, provenance, failure } of all) {
      const colour = state === 'current' ? 'green' : 'red'
      const until = provenance?.expiresAt ? `, until ${formatTime(provenance.expiresAt)}` : ''
      const tail = failure ? `${printable(failure.message)} (${failure.code})` : `by ${provenance!.publisher}${until}`
      io.stdout(`${paint(io, colour, state)} ${name}: ${tail}\n`)
    }
  if (all.length === 0) io.stderr('no reference values were taken in\n')
  return all.some(({ state }) => state !== 'current') ? exitCodes.verdict : exitCodes.ok
}

/** What stands under a name; of what cannot be read its own line in the list says why. */
async function readable(
  folder: string,
  name: string,
  publishers: readonly Publisher[],
): Promise<readonly Provenance[]> {
  try {
    const standing = await standingReference(folder, name, publishers)
    return standing === null ? [] : [standing.provenance]
  } catch (error) {
    if (!isFailure(error)) throw error
    return []
  }
}

interface Reader {
  readonly publishers: readonly Publisher[]
  readonly seen: readonly Provenance[]
}

async function listed(folder: string, name: string, { publishers, seen }: Reader, io: Io): Promise<Listed> {
  try {
    const { title, provenance } = await verifyReference(await loadKnownReference(folder, name), publishers, io.now())
    verifyNewest(provenance, seen)
    return { name, state: 'current', title, provenance, failure: null }
  } catch (error) {
    if (!isFailure(error)) throw error
    const code = error.code as ReferenceCode
    const state = code === 'reference/expired' ? 'expired' : 'not-accepted'
    return { name, state, title: null, provenance: null, failure: { code, message: error.message } }
  }
}

/** The values of one, for `attest verify --reference-values` and `init --runtime`; who vouches for them on standard error. */
export async function runShow(name: string, args: FolderArguments, io: Io): Promise<number> {
  const input = await loadKnownReference(args.folder ?? referenceFolder(), name)
  const found = await verifyNewestOf(input, args, await publishersOf(args.trust, io), io.now())
  const { title, values, valuesDigest, provenance } = found
  if (args.json) io.stdout(`${JSON.stringify({ title, values, valuesDigest, provenance }, null, 2)}\n`)
  else {
    io.stdout(`${fromUtf8(canonicalJson(values))}\n`)
    io.stderr(provenanceText(found))
  }
  return exitCodes.ok
}

function tellChanges(changes: readonly Difference[], io: Io): void {
  for (const { path, before, after } of changes) {
    if (before !== null) io.stdout(`${paint(io, 'red', '-')} ${path} ${before}\n`)
    if (after !== null) io.stdout(`${paint(io, 'green', '+')} ${path} ${after}\n`)
  }
}

export interface DiffArguments {
  readonly trust?: string | undefined
  readonly folder?: string | undefined
  readonly json?: boolean | undefined
}

/** A file of bare values, or a document that was taken in, which counts only by its publisher. */
async function valuesOf(nameOrFile: string, args: DiffArguments, io: Io): Promise<ReferenceValues> {
  const input = /^[a-z0-9][a-z0-9._-]*$/.test(nameOrFile)
    ? await loadReference(args.folder ?? referenceFolder(), nameOrFile)
    : null
  if (input === null) return readDocument(nameOrFile, referenceValuesShape, 'reference values')
  if (args.trust === undefined)
    throw new Failure<ReferenceUsageCode>(
      'usage/reference-trust',
      `${nameOrFile} was taken in: --trust is needed to judge it`,
    )
  return (await verifyReference(input, await publishersOf(args.trust, io), io.now())).values
}

/** What one set accepts or demands otherwise than another. Exit 3 when they differ. */
export async function runDiff(before: string, after: string, args: DiffArguments, io: Io): Promise<number> {
  const changes = diffReferenceValues(await valuesOf(before, args, io), await valuesOf(after, args, io))
  if (args.json) io.stdout(`${JSON.stringify({ changes }, null, 2)}\n`)
  else tellChanges(changes, io)
  return changes.length === 0 ? exitCodes.ok : exitCodes.verdict
}

export function describe(program: Command, io: Io): void {
  const reference = program
    .command('reference')
    .description('reference values from signed documents: who vouches for what a verifier accepts')
  const judging = (name: string, description: string, example: string) =>
    reference
      .command(name)
      .description(description)
      .requiredOption('--trust <file>', 'your trust file: its runtimePublishers count')
      .option('--json', 'print the result as JSON')
      .addHelpText('after', `\nExample:\n  ./claviger reference ${example}`)
  const inFolder = (command: Command) =>
    command.option('--folder <folder>', 'where documents are kept, instead of your state folder')
  inFolder(judging('verify', 'whether a signed document counts, and by whom', 'verify set.json --trust trust.json'))
    .argument('<file>', 'a signed set, a SLSA provenance statement (DSSE), or a signed CoRIM')
    .option('--values <file>', 'values that the statement names, or whose lists the CoRIM replaces')
    .action(async (file: string, args: FileArguments) => io.exit(await runVerify(file, args, io)))
  inFolder(judging('import', 'take a signed document in', 'import set.json --trust trust.json --dry-run'))
    .argument('<file>', 'a signed set, a SLSA provenance statement (DSSE), or a signed CoRIM')
    .option('--values <file>', 'values that the statement names, or whose lists the CoRIM replaces')
    .option('--name <name>', 'under which name; without it that of the set', lineName)
    .option('--dry-run', 'say what would change, and change nothing')
    .action(async (file: string, args: ImportArguments) => io.exit(await runImport(file, args, io)))
  inFolder(judging('list', 'every document that was taken in, judged now', 'list --trust trust.json')).action(
    async (args: FolderArguments) => io.exit(await runList(args, io)),
  )
  inFolder(
    judging('show', 'the values of one, and who vouches for them', 'show runtime --trust trust.json > values.json'),
  )
    .argument('<name>', 'as list shows it', lineName)
    .action(async (name: string, args: FolderArguments) => io.exit(await runShow(name, args, io)))
  reference
    .command('diff')
    .description('what one set accepts or demands otherwise than another')
    .argument('<before>', 'a file of values, or the name of a document that was taken in')
    .argument('<after>', 'the same')
    .option('--trust <file>', 'your trust file, for documents that were taken in')
    .option('--folder <folder>', 'where documents are kept, instead of your state folder')
    .option('--json', 'print the differences as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger reference diff old.json new.json\n\nExit 0 alike, 3 different.')
    .action(async (before: string, after: string, args: DiffArguments) =>
      io.exit(await runDiff(before, after, args, io)),
    )
  describeSign(reference, io)
}
