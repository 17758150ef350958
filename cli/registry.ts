import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { describeKeeping } from '#cli/keeper-sign.js'
import { dayOrTime, lineName, repeated } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import { envelopeShape } from '#core/dsse.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import {
  type Registry,
  type RegistryContent,
  readRegistry,
  registryContentShape,
  verifyRows,
} from '#policies/registry/document.js'
import type { VerifiedKept } from '#policies/registry/keepers.js'
import { keepersOf } from '#policies/registry/keepers.js'
import { diffRegistries, type Jurisdictions, jurisdictionsOf } from '#policies/registry/resolve.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { registryPayloadType, verifyRegistry } from '#policies/registry/signed.js'

/** Failures of what was typed. */
export type RegistryUsageCode = 'usage/registry-trust'

interface ReadArguments {
  readonly file?: string | undefined
  readonly trust?: string | undefined
  readonly at?: UnixSeconds | undefined
  readonly json?: boolean | undefined
}

/** The signed registry in a file, by the reader's own trust file. @throws what verifyRegistry throws */
async function verified(file: string, trustFile: string, at: UnixSeconds, io: Io): Promise<VerifiedKept<Registry>> {
  const envelope = await readDocument(file, envelopeShape, 'signed registry')
  const { trust } = await loadTrust(trustFile, io.now())
  return verifyRegistry(envelope, keepersOf(trust.registries), at)
}

/** Whether a signed registry counts for this reader. Exit 3 when it does not. */
export async function runVerify(file: string, args: ReadArguments & { trust: string }, io: Io): Promise<number> {
  let found: VerifiedKept<Registry>
  try {
    found = await verified(file, args.trust, io.now(), io)
  } catch (error) {
    if (!isFailure(error)) throw error
    if (args.json) io.stdout(`${JSON.stringify({ accepted: false, code: error.code, message: error.message })}\n`)
    else io.stdout(`${paint(io, 'red', 'NOT ACCEPTED')} ${printable(error.message)} (${error.code})\n`)
    return exitCodes.verdict
  }
  const { document: registry, digest, signers } = found
  const { name, version, issuedAt, validUntil } = registry
  if (args.json)
    io.stdout(`${JSON.stringify({ accepted: true, name, version, issuedAt, validUntil, digest, signers }, null, 2)}\n`)
  else
    io.stdout(
      `${paint(io, 'green', 'accepted')} ${name} version ${version}, until ${formatTime(validUntil)}\n` +
        `  document  ${digest}\n${signers.map((id) => `  signer    ${id}\n`).join('')}`,
    )
  return exitCodes.ok
}

/** What is asked: a signed file, which counts by the reader's trust; without one what ships with the product. */
async function contentOf(args: ReadArguments, io: Io): Promise<{ content: RegistryContent; from: string }> {
  if (args.file === undefined) return { content: shippedContent(), from: 'as it ships, signed by nobody' }
  if (args.trust === undefined)
    throw new Failure<RegistryUsageCode>('usage/registry-trust', 'a signed registry counts only by its signers', {
      detail: { hint: '--trust trust.json, whose `registries` names them' },
    })
  const { document: registry, digest } = await verified(args.file, args.trust, args.at ?? io.now(), io)
  return { content: registry, from: `${registry.name} version ${registry.version}, ${digest.slice(0, 16)}` }
}

export interface ShowArguments extends ReadArguments {
  readonly shown: readonly string[]
  readonly exclave?: boolean | undefined
}

function text(code: string, found: Jurisdictions, at: UnixSeconds, from: string): string {
  const rows = found.because.map(
    ({ member, group, condition, act, checked }) =>
      `  ${member} in ${group}${condition === null ? '' : `, since ${condition} was shown`}\n` +
      `      ${act}${checked === 'act' ? '' : ' (cited from secondary sources)'}\n`,
  )
  const until = found.until === null ? '' : `All of it holds until ${formatTime(found.until)}.\n`
  return `${code} on ${formatTime(at)}: ${found.codes.join(', ')}\n${rows.join('')}${until}Registry: ${from}. Not legal advice.\n`
}

/** What a place belongs to at a time, and by which acts. Exit 3 for a place that the registry does not know. */
export async function runShow(code: string, args: ShowArguments, io: Io): Promise<number> {
  const { content, from } = await contentOf(args, io)
  const at = args.at ?? io.now()
  let found: Jurisdictions
  try {
    found = jurisdictionsOf(content, { code, exclave: args.exclave === true, at, shown: args.shown })
  } catch (error) {
    if (!isFailure(error)) throw error
    if (args.json) io.stdout(`${JSON.stringify({ code: error.code, message: error.message })}\n`)
    else io.stdout(`${paint(io, 'red', 'UNKNOWN')} ${printable(error.message)} (${error.code})\n`)
    return exitCodes.verdict
  }
  if (args.json) io.stdout(`${JSON.stringify({ place: code, at, registry: from, ...found }, null, 2)}\n`)
  else io.stdout(text(code, found, at, from))
  return exitCodes.ok
}

/** Rows of a file: bare content, or what a signed document says, whoever signed it: a comparison believes nothing. */
async function rowsOf(file: string): Promise<RegistryContent> {
  if (file === 'shipped') return shippedContent()
  const either = (value: Json | undefined, path: string): RegistryContent => {
    const isEnvelope = typeof value === 'object' && value !== null && 'payloadType' in value
    const content = isEnvelope
      ? readRegistry(fromBase64(envelopeShape(value, path).payload))
      : registryContentShape(value, path)
    verifyRows(content)
    return content
  }
  return readDocument(file, either, 'registry')
}

/** Which places belong otherwise by one registry than by another, at a time. Exit 3 when any does. */
export async function runDiff(before: string, after: string, args: ReadArguments, io: Io): Promise<number> {
  const changes = diffRegistries(await rowsOf(before), await rowsOf(after), args.at ?? io.now())
  if (args.json) io.stdout(`${JSON.stringify({ changes }, null, 2)}\n`)
  else
    for (const { code, joined, left } of changes) {
      const words = [
        ...left.map((one) => paint(io, 'red', `-${one}`)),
        ...joined.map((one) => paint(io, 'green', `+${one}`)),
      ]
      io.stdout(`${code} ${words.join(' ')}\n`)
    }
  return changes.length === 0 ? exitCodes.ok : exitCodes.verdict
}

export function describe(program: Command, io: Io): void {
  const registry = program
    .command('registry')
    .description('which country belongs to what, when, and by which legal act')
  const reading = (name: string, description: string, example: string, after = '') =>
    registry
      .command(name)
      .description(description)
      .option('--json', 'print the result as JSON')
      .addHelpText('after', `\nExample:\n  ./claviger registry ${example}${after}`)
  reading(
    'show',
    'what a place belongs to at a time, and by which acts',
    'show BR --at 2025-12-01',
    '\n\nExit 0 known, 3 unknown or disputed.',
  )
    .argument('<place>', 'ISO 3166-1 alpha-2, or an area of the registry such as ES-CE')
    .option('--at <time>', 'a day or a time in UTC (default: now)', dayOrTime)
    .option(
      '--shown <condition>',
      'a condition that the importer fulfils, such as dpf; may be given again',
      repeated(lineName),
      [],
    )
    .option('--exclave', 'the place is stated to be an exclave')
    .option('--file <file>', 'a signed registry, instead of what ships')
    .option('--trust <file>', 'your trust file: its `registries` count')
    .action(async (place: string, args: ShowArguments) => io.exit(await runShow(place, args, io)))
  reading('verify', 'whether a signed registry counts for you, and by whom', 'verify law.json --trust trust.json')
    .argument('<file>', 'a signed registry')
    .requiredOption('--trust <file>', 'your trust file: of its `registries` two have to have signed, or the only one')
    .action(async (file: string, args: ReadArguments & { trust: string }) => io.exit(await runVerify(file, args, io)))
  reading(
    'diff',
    'which places belong otherwise by one registry than by another',
    'diff shipped law.json --at 2026-06-01',
    '\n\nSigners are not judged. Exit 0 alike, 3 different.',
  )
    .argument('<before>', 'a signed registry, the bare rows of one, or `shipped`')
    .argument('<after>', 'the same')
    .option('--at <time>', 'a day or a time in UTC (default: now)', dayOrTime)
    .action(async (before: string, after: string, args: ReadArguments) =>
      io.exit(await runDiff(before, after, args, io)),
    )
  describeKeeping(
    registry,
    {
      command: 'registry',
      what: 'registry',
      payloadType: registryPayloadType,
      type: 'claviger/jurisdiction-registry/v1',
      rows: registryContentShape,
      shipped: shippedContent,
      read: readRegistry,
    },
    io,
  )
}
