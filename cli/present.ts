import type { Command } from 'commander'
import { readDocument, readInput } from '#cli/input.js'
import { lineName, lineText, repeated } from '#cli/option-values.js'
import { type Io, printable } from '#cli/output.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { fromBase64, fromUtf8 } from '#core/bytes/bytes.js'
import { envelopeShape } from '#core/dsse.js'
import { Failure } from '#core/failure.js'
import { sdJwtSizeMax, statusListTokenMax, ticketLandmarksMax } from '#core/limits.js'
import { explainSdJwt, presentSdJwt } from '#core/sd-jwt.js'
import { presentationNonce } from '#core/wire/sources.js'
import { landmarkNamed, readLandmarks } from '#policies/location/landmarks.js'
import { openTiming } from '#runtime/landmark/timing.js'
import type { SessionPorts, Timing } from '#runtime/ports.js'

/* What a host presents with every request of its node: credentials that others signed about operator, site and staff. */

/** Failures of what is presented. */
export type PresentCode =
  /** credentials without the key of their holder, or the reverse */
  | 'usage/presented'
  /** no credential lets its holder choose whether to show it */
  | 'present/show'

export interface PresentArguments {
  readonly present?: readonly string[] | undefined
  readonly landmarks?: string | undefined
  readonly landmark?: readonly string[] | undefined
  readonly statusList?: readonly string[] | undefined
  readonly holderKeys?: string | undefined
  readonly show?: readonly string[] | undefined
}

const readText = async (file: string, what: string, sizeMax: number) =>
  fromUtf8(await readInput(file, what, sizeMax)).trim()

/**
 * Makes presentations for a node's requests, each for one request alone. Credentials and status lists are read anew every time, so
 * that whoever fetches them needs to replace the files and nothing else.
 *
 * returns  undefined where the host presents nothing
 * throws   usage/presented, present/show, input/..., keys/..., sd-jwt/...
 */
export async function presenterOf(args: PresentArguments, io: Pick<Io, 'now'>): Promise<SessionPorts['present']> {
  const { present: files = [], statusList = [], show = [], holderKeys } = args
  if (files.length === 0 && holderKeys === undefined && statusList.length === 0 && show.length === 0) return undefined
  if (files.length === 0 || holderKeys === undefined)
    throw new Failure<PresentCode>('usage/presented', '--present and --holder-keys belong together', {
      detail: { hint: '--present operator.txt --holder-keys keys --status-list status.jwt --show controllers' },
    })
  const { signingKey: holder } = await loadOwnerKeys(holderKeys)
  const read = () =>
    Promise.all(
      files.map(async (file) => {
        const sdJwt = await readText(file, 'credential', sdJwtSizeMax)
        const { disclosable } = explainSdJwt(sdJwt)
        return { sdJwt, show: show.filter((name) => disclosable.includes(name)) }
      }),
    )
  const first = await read()
  const unknown = show.find((name) => !first.some((one) => one.show.includes(name)))
  if (unknown !== undefined)
    throw new Failure<PresentCode>('present/show', `no credential has ${unknown} to show or to keep back`, {
      detail: { hint: 'what may be kept back is shown by: ./claviger credential show FILE' },
    })
  return async (binding) => {
    const to = { holder, audience: binding.audience, nonce: presentationNonce(binding), at: io.now() }
    const credentials = []
    for (const one of await read()) credentials.push(await presentSdJwt({ ...one, ...to }))
    const statusLists = await Promise.all(statusList.map((file) => readText(file, 'status list', statusListTokenMax)))
    return { credentials, statusLists }
  }
}

/** How long one landmark may take, in ms: it sends twenty probes and more, at random distance. */
const landmarkTimeoutMs = 20_000

/**
 * Makes the key of a node that landmarks time, where the host names any. The directory is read anew each time; whether a landmark
 * counts the owner's own directory says, at the broker.
 *
 * returns  undefined where the host names none
 * throws   usage/presented, input/..., landmarks/unknown, json/..., shape/...
 */
export async function timingOf(
  { landmark: names = [], landmarks: file, present = [] }: PresentArguments,
  io: Pick<Io, 'now' | 'stderr'>,
): Promise<(() => Promise<Timing>) | undefined> {
  if (names.length === 0 && file === undefined) return undefined
  if (names.length === 0 || file === undefined || present.length === 0 || names.length > ticketLandmarksMax)
    throw new Failure<PresentCode>(
      'usage/presented',
      `--landmarks goes with 1 to ${ticketLandmarksMax} --landmark, and with --present: round trips prove a place that somebody says`,
      { detail: { hint: '--landmarks landmarks.json --landmark fra-1 --landmark ams-1 --landmark par-1' } },
    )
  const addresses = async () => {
    const { payload } = await readDocument(file, envelopeShape, 'directory of landmarks')
    const directory = readLandmarks(fromBase64(payload))
    return names.map((name) => landmarkNamed(directory, name, io.now()))
  }
  await addresses()
  const onTrouble = ({ code, message }: Failure) => io.stderr(`${printable(message)} (${code})\n`)
  return () => openTiming({ names, addresses, timeoutMs: landmarkTimeoutMs, onTrouble })
}

/** The options that say what a host presents. */
export function describePresenting(command: Command): Command {
  return command
    .option(
      '--present <file>',
      'a credential about operator, site or staff, to present to the broker; may be given again',
      repeated(String),
    )
    .option('--holder-keys <folder>', 'of whom the credentials were issued to: what `claviger keys new` made')
    .option('--show <name>', 'a claim that may be kept back, to be shown; may be given again', repeated(lineText))
    .option(
      '--status-list <file>',
      'says that a credential still holds, read anew for each request; may be given again',
      repeated(String),
    )
    .option('--landmarks <file>', 'signed directory of landmarks, which says where they are reached')
    .option(
      '--landmark <name>',
      'a landmark that times this node before each request; give three or more, of different companies',
      repeated(lineName),
    )
}
