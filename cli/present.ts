import type { Command } from 'commander'
import { readInput } from '#cli/input.js'
import { lineText, repeated } from '#cli/option-values.js'
import type { Io } from '#cli/output.js'
import { loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { sdJwtSizeMax, statusListTokenMax } from '#core/limits.js'
import { explainSdJwt, presentSdJwt } from '#core/sd-jwt.js'
import { presentationNonce } from '#core/wire/sources.js'
import type { SessionPorts } from '#runtime/ports.js'

/* What a host presents with every request of its node: credentials that others signed about operator, site and staff. */

/** Failures of what is presented. */
export type PresentCode =
  /** credentials without the key of their holder, or the reverse */
  | 'usage/presented'
  /** no credential lets its holder choose whether to show it */
  | 'present/show'

export interface PresentArguments {
  readonly present?: readonly string[] | undefined
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
}
