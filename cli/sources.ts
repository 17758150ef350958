import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { repeated, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { describeOwner, type OwnerArguments, openOwner, ownerExample, reportSaid, say } from '#cli/owner.js'
import { loadTrust } from '#cli/trust-store.js'
import { type Envelope, envelopeShape } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { statusSecondsMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Sources, sourcesShape } from '#core/wire/sources.js'
import type { Trust } from '#core/wire/trust-file.js'
import { platformName } from '#policies/credentials/platform.js'
import { verifySources } from '#policies/credentials/sources.js'
import { keepersOf } from '#policies/registry/keepers.js'

/** Failures of saying whom one believes. */
export type SourcesCommandCode =
  /** the trust file names nobody who keeps registries, or directories of issuers */
  | 'sources/keepers'
  /** nothing was ever said */
  | 'sources/none'
  /** not the id of a chip */
  | 'usage/sources-chip'

export interface SourcesArguments extends OwnerArguments {
  readonly registry: string
  readonly directory: string
  readonly landmarks?: string | undefined
  readonly clear?: readonly string[] | undefined
  readonly inside: string
  readonly placementSalt: string
  readonly statusHours: number
}

/** A document as the trust file has its keepers: the same keys, and as many of them as this reader asks for itself. */
function keptBy(named: Trust['issuers'], option: string, document: Envelope): Sources['registry'] {
  if (named.length === 0)
    throw new Failure<SourcesCommandCode>('sources/keepers', 'your trust file believes no keeper of such a document', {
      detail: { hint: `add one with: ./claviger init --${option} NAME=keeper.pub.pem` },
    })
  const { keys, threshold } = keepersOf(named)
  return { keepers: keys, threshold, document }
}

/** Platforms whose contradictions were looked into: those of before, and chips that are named now. */
function clearedBy(
  before: Sources['cleared'],
  { clear = [], placementSalt }: Pick<SourcesArguments, 'clear' | 'placementSalt'>,
  at: UnixSeconds,
): Sources['cleared'] {
  const now = clear.map((chip) => {
    const platform = /^([0-9a-f]{2}){1,128}$/.test(chip) ? platformName(chip, placementSalt) : null
    if (platform === null)
      throw new Failure<SourcesCommandCode>(
        'usage/sources-chip',
        `${chip} is the id of no chip: lowercase hex, as lease list shows it`,
      )
    return { platform, before: at }
  })
  const kept = (before ?? []).filter(({ platform }) => !now.some((one) => one.platform === platform))
  const all = [...kept, ...now]
  return all.length === 0 ? undefined : all
}

/** Whom an owner believes about places and companies: what the broker would refuse is refused before it is signed. */
export async function runSet(args: SourcesArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const { trust } = await loadTrust(args.trust, io.now())
  const registry = await readDocument(args.registry, envelopeShape, 'signed registry')
  const directory = await readDocument(args.directory, envelopeShape, 'issuer directory')
  const landmarks =
    args.landmarks === undefined
      ? undefined
      : await readDocument(args.landmarks, envelopeShape, 'directory of landmarks')
  const before = (await owner.newest('sources', null))?.value.cleared
  const body: Sources = sourcesShape(
    {
      registry: keptBy(trust.registries, 'registry', registry),
      directory: keptBy(trust.issuers, 'issuer', directory),
      landmarks: landmarks && keptBy(trust.registries, 'registry', landmarks),
      cleared: clearedBy(before, args, io.now()),
      inside: args.inside,
      placementSalt: args.placementSalt,
      statusSeconds: args.statusHours * 3600,
    } as never,
    'sources',
  )
  const { registry: law, directory: who, landmarks: marks } = await verifySources(body, io.now())
  const said = await say(owner, 'sources', body, args, io)
  const documents = [law.document, who.document, ...(marks === null ? [] : [marks.document])]
  const versions = {
    ...{ registry: law.digest, directory: who.digest, landmarks: marks?.digest },
    ...{ cleared: body.cleared, until: untilOf(...documents) },
  }
  const timing = marks === null ? '' : `, round trips by ${named(marks.document)}`
  const sentence = `places by ${named(law.document)}, issuers by ${named(who.document)}${timing}, until ${formatTime(versions.until)}`
  return reportSaid(said, sentence, versions, args, io)
}

const named = (one: { readonly name: string; readonly version: number }) => `${one.name} version ${one.version}`
const untilOf = (...ends: readonly { readonly validUntil: number }[]) => Math.min(...ends.map((one) => one.validUntil))

/** What an owner said last of whom it believes, verified. Exit 3 when it is over: until it is renewed it establishes nothing. */
export async function runShow(args: OwnerArguments, io: Io): Promise<number> {
  const owner = await openOwner(args, io)
  const said = await owner.newest('sources', null)
  if (said === null)
    throw new Failure<SourcesCommandCode>(
      'sources/none',
      'you never said whom you believe about places and companies',
      {
        detail: { hint: './claviger sources set --registry law.json --directory issuers.json ...' },
      },
    )
  const { registry, directory, landmarks } = await verifySources(said.value, null)
  const { inside, statusSeconds, sequence, cleared = [] } = said.value
  const marks = landmarks === null ? [] : [landmarks]
  const until = untilOf(...[registry, directory, ...marks].map(({ document }) => document))
  const isOver = io.now() >= until
  if (args.json) {
    const of = ({ document, digest }: typeof registry | typeof directory | (typeof marks)[number]) => {
      const { name, version, issuedAt, validUntil } = document
      return { name, version, issuedAt, validUntil, digest }
    }
    const shown = { sequence, registry: of(registry), directory: of(directory), inside, statusSeconds, isOver }
    const more = { landmarks: landmarks === null ? null : of(landmarks), cleared }
    io.stdout(`${JSON.stringify({ ...shown, ...more }, null, 2)}\n`)
  } else {
    io.stdout(
      `sources statement ${sequence}: control seen from ${inside}, status lists of ${statusSeconds} s at most\n`,
    )
    for (const [what, { document, digest }] of [
      ['registry', registry],
      ['directory', directory],
      ...marks.map((one) => ['landmarks', one] as const),
    ] as const)
      io.stdout(
        `  ${what.padEnd(9)} ${named(document)}, until ${formatTime(document.validUntil)}, ${digest.slice(0, 16)}\n`,
      )
    for (const { platform, before } of cleared)
      io.stdout(`  cleared   platform ${platform.slice(0, 16)}, what was seen before ${formatTime(before)}\n`)
    if (isOver) io.stdout('  OVER: nothing is established by them until you set newer ones\n')
  }
  return isOver ? exitCodes.verdict : exitCodes.ok
}

export function describe(program: Command, io: Io): void {
  const sources = program
    .command('sources')
    .description('whom you believe about places and companies: facts of policies rest on it')
  describeOwner(sources.command('set').description('signs a registry and a directory of issuers as yours'), true)
    .requiredOption(
      '--registry <file>',
      'signed registry of jurisdictions; its keepers are `registries` of your trust file',
    )
    .requiredOption('--directory <file>', 'signed directory of issuers; its keepers are `issuers` of your trust file')
    .requiredOption('--placement-salt <text>', 'under which placements name platforms: your auditors tell it')
    .option('--landmarks <file>', 'signed directory of landmarks; its keepers are `registries` of your trust file')
    .option(
      '--clear <chip>',
      'a contradiction of where this chip stands was looked into: the broker forgets what it saw before now; may be given again',
      repeated(String),
    )
    .option('--inside <group>', 'the group of the registry from which control of a company is seen', 'EU')
    .option('--status-hours <n>', 'how old a status list may be', wholeNumber(1, statusSecondsMax / 3600, 24), 24)
    .addHelpText(
      'after',
      `\nExample:\n  ./claviger sources set --registry law.json --directory issuers.json --placement-salt 5f2c81aa ${ownerExample}`,
    )
    .action(async (args: SourcesArguments) => io.exit(await runSet(args, io)))
  describeOwner(sources.command('show').description('what you said last, verified'), false)
    .addHelpText('after', `\nExample:\n  ./claviger sources show ${ownerExample}\n\nExit 0 in its time, 3 over.`)
    .action(async (args: OwnerArguments) => io.exit(await runShow(args, io)))
}
