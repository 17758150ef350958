import type { Command } from 'commander'
import { Collection } from '#attest/collateral/collect.js'
import { baseUrl, request } from '#attest/collateral/fetch/http.js'
import { loadFilledBundle } from '#attest/collateral/folder.js'
import type { CollateralStatus } from '#attest/collateral/status.js'
import { nameSizeMax } from '#attest/endorsements/names.js'
import type { CollateralUsageCode } from '#cli/collateral-fetch.js'
import {
  commonOptions,
  type JsonOption,
  jsonOf,
  lineOf,
  type RootsOption,
  tellRefused,
  withStore,
} from '#cli/collateral-store.js'
import { httpUrl } from '#cli/option-values.js'
import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { readToken } from '#cli/token-file.js'
import { parseJson } from '#core/encoding/json.js'
import { boolean, integer, list, nullable, object, oneOf, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'

export interface StatusArguments extends RootsOption, JsonOption {
  readonly state?: string | undefined
  readonly databaseUrl?: string | undefined
  readonly bundle?: string | undefined
  readonly url?: string | undefined
  readonly token?: string | undefined
}

const time = integer()
/** What a service answers at /v1/collateral. */
const statusShape = object({
  at: time,
  fetching: boolean,
  items: list(
    object({
      name: string({ max: nameSizeMax }),
      root: string(),
      platform: oneOf('hardware', 'simulated'),
      state: oneOf('current', 'held-through-outage', 'expired'),
      issuedAt: time,
      validUntil: time,
      edition: nullable(string()),
      revoked: boolean,
      receivedAt: time,
      failure: nullable(string()),
    }),
    { max: 10_000 },
  ),
  sources: list(
    object({
      name: string(),
      state: oneOf('ok', 'failing'),
      failures: integer(),
      failure: nullable(object({ code: string(), message: string({ max: 2000 }) })),
      lastSuccess: nullable(time),
      lastFailure: nullable(time),
      nextTry: nullable(time),
    }),
  ),
})

/** What a running service says of its store. @throws FetchCode, input/..., json/..., shape/... */
async function askService(url: string, tokenPath: string): Promise<CollateralStatus> {
  const token = await readToken(tokenPath, 'the token of the verifier')
  const fetchWith: typeof fetch = (input, init) =>
    fetch(input, { ...init, headers: { ...init?.headers, authorization: `Bearer ${token}` } })
  const base = baseUrl(url)
  const answer = await request(
    { fetch: fetchWith, timeoutMs: 10_000 },
    { url: new URL('v1/collateral', base), bodySizeMax: 16 * MiB, accept: 'application/json' },
  )
  return statusShape(parseJson(answer.body, 16 * MiB), 'status')
}

const colours = { current: 'green', 'held-through-outage': 'yellow', expired: 'red' } as const

function tellStore(status: CollateralStatus, io: Io): void {
  for (const item of status.items) {
    const edition = item.edition === null ? '' : `, edition ${item.edition}`
    const revoked = item.revoked ? paint(io, 'red', ' REVOKED') : ''
    const simulated = item.platform === 'simulated' ? ' (simulated: NOT HARDWARE)' : ''
    const times = `of ${formatTime(item.issuedAt)}, valid until ${formatTime(item.validUntil)}`
    io.stdout(`${paint(io, colours[item.state], item.state)} ${item.name}${edition}${revoked}, ${times}${simulated}\n`)
    if (item.failure !== null) io.stdout(`  not renewed: ${printable(item.failure)}\n`)
  }
  const shown = (at: UnixSeconds | null) => (at === null ? 'never' : formatTime(at))
  for (const one of status.sources) {
    const tail =
      one.failure === null
        ? ''
        : `, ${one.failures} failures, ${printable(one.failure.message)}, next try ${shown(one.nextTry)}`
    io.stdout(`source ${one.name}: ${one.state}, last answer ${shown(one.lastSuccess)}${tail}\n`)
  }
  if (status.items.length === 0) io.stderr('the store holds nothing\n')
  if (!status.fetching) io.stderr('nothing is fetched by itself here\n')
}

async function ofBundle(path: string, args: StatusArguments, io: Io): Promise<number> {
  const options = { simulatedRoots: args.simulatedRoot, at: io.now(), fetchItem: null }
  const collection = await Collection.open(await loadFilledBundle(path), options)
  const { refused } = collection
  if (args.json) {
    const failed = refused.map(({ name, failure }) => ({ name, code: failure.code, message: failure.message }))
    io.stdout(`${JSON.stringify({ items: collection.items().map(jsonOf), refused: failed }, null, 2)}\n`)
  } else {
    for (const item of collection.items()) io.stdout(`${paint(io, 'green', 'current')} ${lineOf(item)}\n`)
    for (const { name, failure } of refused) tellRefused(io, name, failure)
  }
  return refused.length > 0 ? exitCodes.verdict : exitCodes.ok
}

/** What a store or a bundle holds, and until when it serves. Exit 3 when something is over or was refused. */
export async function runStatus(args: StatusArguments, io: Io): Promise<number> {
  const { state, bundle, url } = args
  if ([state, bundle, url].filter((one) => one !== undefined).length !== 1)
    throw new Failure<CollateralUsageCode>('usage/collateral-place', 'one of --state, --bundle and --url is needed')
  if (bundle !== undefined) return ofBundle(bundle, args, io)
  if (url !== undefined && args.token === undefined)
    throw new Failure<CollateralUsageCode>(
      'usage/collateral-place',
      "with --url the operator's token is needed: --token FILE",
    )
  const place = { state: state ?? '', databaseUrl: args.databaseUrl, simulatedRoot: args.simulatedRoot }
  const status =
    url === undefined ? await withStore(place, io, null, (store) => store.status()) : await askService(url, args.token!)
  if (args.json) io.stdout(`${JSON.stringify(status, null, 2)}\n`)
  else tellStore(status, io)
  return status.items.some((item) => item.state === 'expired') ? exitCodes.verdict : exitCodes.ok
}

export function describeStatus(collateral: Command, io: Io): void {
  commonOptions(collateral.command('status'))
    .description('what a store or a bundle holds, until when it serves, and how the sources do')
    .option('--state <folder>', 'what `claviger serve create` made')
    .option('--database-url <url>', 'Postgres, when it was created with it; or CLAVIGER_DATABASE_URL')
    .option('--bundle <path>', 'an offline bundle: a folder or a file')
    .option('--url <url>', 'address of a running broker or verifier', httpUrl('http://127.0.0.1:8780'))
    .option('--token <file>', "with --url: the operator's token, such as services/admin-token")
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger collateral status --bundle collateral\n\nExit 0 all current, 3 some over or refused.',
    )
    .action(async (args: StatusArguments) => io.exit(await runStatus(args, io)))
}
