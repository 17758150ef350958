import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { brokerKey } from '#cli/landmark-broker.js'
import { dayOrTime } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { loadTrust } from '#cli/trust-store.js'
import { thumbprint } from '#core/crypto/jwk.js'
import { envelopeShape } from '#core/dsse.js'
import { isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { verifyTicket } from '#core/wire/landmark.js'
import { type TargetArea, targetArea } from '#policies/location/area.js'
import { readAtlas } from '#policies/location/atlas/read.js'
import { radiusKm } from '#policies/location/bound.js'
import type { LandmarkMeasurement } from '#policies/location/claims.js'
import { measurementOf, verifyLandmarks } from '#policies/location/landmarks.js'
import { landmarkRules, measuredProof } from '#policies/location/measured.js'
import { type AreaVerdict, judgeArea } from '#policies/location/prove.js'
import { keepersOf } from '#policies/registry/keepers.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { verifyRegistry } from '#policies/registry/signed.js'

export interface VerifyArguments {
  readonly ticket: string
  readonly broker: string
  readonly directory: string
  readonly trust: string
  readonly target: string
  readonly registry?: string | undefined
  readonly operator?: string | undefined
  readonly at?: UnixSeconds | undefined
  readonly json?: boolean | undefined
}

interface Verified {
  readonly measurements: readonly LandmarkMeasurement[]
  readonly area: TargetArea
  /** whether the registry is one that the reader's keepers signed */
  readonly isSigned: boolean
}

/** Receipts, ticket, directory and registry, each by whom the reader trusts for it. */
async function verifyAll(files: readonly string[], args: VerifyArguments, at: UnixSeconds, io: Io): Promise<Verified> {
  const { trust } = await loadTrust(args.trust, io.now())
  const keepers = keepersOf(trust.registries)
  const signed = await readDocument(args.directory, envelopeShape, 'directory of landmarks')
  const { document } = await verifyLandmarks(signed, keepers, at)
  const ticket = await verifyTicket(
    await readDocument(args.ticket, envelopeShape, 'ticket'),
    [await brokerKey(args.broker)],
    null,
    null,
  )
  const registry =
    args.registry === undefined
      ? shippedContent()
      : (await verifyRegistry(await readDocument(args.registry, envelopeShape, 'signed registry'), keepers, at))
          .document
  const area = targetArea(registry, { code: args.target, at, shown: [] })
  const measurements: LandmarkMeasurement[] = []
  for (const file of files) {
    const receipt = await readDocument(file, envelopeShape, 'receipt of a landmark')
    // Whose it is it says itself; that it is so its signature says, by the key of that landmark's row.
    const named = document.landmarks.find(({ receiptKey }) => receipt.signatures[0]?.keyid === thumbprint(receiptKey))
    measurements.push(await measurementOf(document, named?.name ?? '', receipt, ticket, at))
  }
  return { measurements, area, isSigned: args.registry !== undefined }
}

function tell(found: Verified, verdict: AreaVerdict, why: readonly string[], io: Io): void {
  const { area, measurements, isSigned } = found
  const words = {
    proved: paint(io, 'green', 'PROVED'),
    refuted: paint(io, 'red', 'REFUTED'),
    'cannot-tell': 'CANNOT TELL',
  }
  const because = verdict.verdict === 'refuted' ? ` (${verdict.because})` : ''
  io.stdout(`${words[verdict.verdict]}${because} that the key is in ${area.code}\n`)
  for (const one of measurements)
    io.stdout(
      `  ${one.landmark} (${printable(one.operator)}): ${(one.rttNs / 1e6).toFixed(3)} ms, so within ${radiusKm(one).toFixed(1)} km\n`,
    )
  if (verdict.verdict === 'cannot-tell')
    for (const { landmark, other, rttNsMax } of verdict.needed)
      io.stdout(
        `  ${landmark} alone would need ${rttNsMax === null ? 'to stand elsewhere' : `${(rttNsMax / 1e6).toFixed(3)} ms`}: ` +
          `${printable(other.name)} is ${other.km.toFixed(0)} km away\n`,
      )
  io.stdout(
    why.length === 0
      ? '  enough for L4, with a claim of L2 or L3 beside it\n'
      : `  not enough for L4: ${why.join(', ')}\n`,
  )
  if (!isSigned) io.stdout('  by the registry as it ships, signed by nobody. Not legal advice.\n')
}

/** What receipts of one ticket prove of a target. Exit 0 proved, 3 anything else. */
export async function runVerify(files: readonly string[], args: VerifyArguments, io: Io): Promise<number> {
  const at = args.at ?? io.now()
  let found: Verified
  try {
    found = await verifyAll(files, args, at, io)
  } catch (error) {
    if (!isFailure(error)) throw error
    if (args.json) io.stdout(`${JSON.stringify({ accepted: false, code: error.code, message: error.message })}\n`)
    else io.stdout(`${paint(io, 'red', 'NOT ACCEPTED')} ${printable(error.message)} (${error.code})\n`)
    return exitCodes.verdict
  }
  const { land } = readAtlas()
  const verdict = judgeArea(land, found.area, found.measurements)
  const subject = { platform: null, workloadKey: '', operator: args.operator ?? null }
  const proof = measuredProof(land, found.area, found.measurements, subject, landmarkRules)
  const why = 'used' in proof ? [] : proof.map(({ code, about }) => `${code} (${about})`)
  if (args.json)
    io.stdout(
      `${JSON.stringify({ accepted: true, ...verdict, target: found.area.code, measurements: found.measurements, why }, null, 2)}\n`,
    )
  else tell(found, verdict, why, io)
  return verdict.verdict === 'proved' ? exitCodes.ok : exitCodes.verdict
}

export function describeVerify(landmark: Command, io: Io): void {
  landmark
    .command('verify')
    .description('what receipts of one ticket prove of a country or a group')
    .argument('<receipt...>', 'receipts of landmarks')
    .requiredOption('--target <code>', 'a country, or a group of the registry such as EEA')
    .requiredOption('--ticket <file>', 'the ticket that they are of')
    .requiredOption('--broker <file>', 'public key of the broker that signed it (Ed25519, PEM)')
    .requiredOption('--directory <file>', 'the signed directory of landmarks')
    .requiredOption('--trust <file>', 'your trust file: its `registries` keep directory and registry')
    .option('--registry <file>', 'a signed jurisdiction registry, instead of what ships')
    .option('--operator <id>', 'the company that runs the node, such as LEI:…: its own landmarks do not count')
    .option('--at <time>', 'a day or a time in UTC (default: now)', dayOrTime)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger landmark verify fra-1.json ams-1.json --target EEA --ticket ticket.json --broker broker.key.pub.pem ' +
        '--directory landmarks.json --trust trust.json\n\nExit 0 proved, 3 refuted, not to be told, or not accepted.',
    )
    .action(async (files: readonly string[], args: VerifyArguments) => io.exit(await runVerify(files, args, io)))
}
