import type { Command } from 'commander'
import { dayOrTime } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { targetArea } from '#policies/location/area.js'
import { readAtlas } from '#policies/location/atlas/read.js'
import type { Atlas } from '#policies/location/borders.js'
import { type City, cities } from '#policies/location/cities.js'
import { type Need, provability } from '#policies/location/prove.js'
import { countryMeant } from '#policies/registry/countries.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { shippedContent } from '#policies/registry/shipped/read.js'

/** Failures of what was typed. */
export type ProvabilityCode =
  /** no city of that country is in the table */
  'usage/provability-country'

export interface ProvabilityArguments {
  readonly country?: string | undefined
  readonly group: string
  readonly at?: UnixSeconds | undefined
  readonly json?: boolean | undefined
}

interface Row {
  readonly city: City
  readonly own: Need
  /** null where the city is not in the group */
  readonly wide: Need | null
}

function rowsOf(
  chosen: readonly City[],
  group: string,
  content: RegistryContent,
  { land }: Atlas,
  at: UnixSeconds,
): readonly Row[] {
  const wide = targetArea(content, { code: group, at, shown: [] })
  return chosen.map((city) => {
    const from = { landmark: city.name, place: city, errorM: 0 }
    const own = targetArea(content, { code: city.country, at, shown: [] })
    return {
      city,
      own: provability(land, own, from),
      wide: wide.countries.includes(city.country) ? provability(land, wide, from) : null,
    }
  })
}

const cell = (need: Need | null): string => {
  if (need === null) return '-'
  const ms = need.rttNsMax === null ? 'never' : `${(Math.floor(need.rttNsMax / 1000) / 1000).toFixed(3)} ms`
  return `${Math.floor(need.other.km)} km to ${need.other.code ?? need.other.name}, ${ms}`
}

/** What landmarks in cities could prove: kilometres to the nearest other land, and the longest round trip that still proves. */
export async function runProvability(args: ProvabilityArguments, io: Io): Promise<number> {
  const country = args.country === undefined ? undefined : (countryMeant(args.country) ?? args.country)
  const chosen = cities.filter((city) => country === undefined || city.country === country)
  if (chosen.length === 0)
    throw new Failure<ProvabilityCode>('usage/provability-country', `no city of ${country} is in the table`, {
      detail: { hint: `countries of the table: ${[...new Set(cities.map((city) => city.country))].sort().join(' ')}` },
    })
  const atlas = readAtlas()
  const at = args.at ?? io.now()
  const rows = rowsOf(chosen, args.group, shippedContent(), atlas, at)
  if (args.json) {
    const plain = rows.map(({ city, own, wide }) => ({
      city: city.name,
      country: city.country,
      own,
      [args.group]: wide,
    }))
    io.stdout(`${JSON.stringify({ at, map: atlas.digest, rows: plain }, null, 2)}\n`)
    return exitCodes.ok
  }
  const table = [
    ['landmark in', 'own country', args.group],
    ...rows.map(({ city, own, wide }) => [`${city.name} (${city.country})`, cell(own), cell(wide)]),
  ]
  const widths = [0, 1].map((i) => Math.max(...table.map((row) => row[i]!.length)) + 2)
  for (const [name, own, wide] of table) io.stdout(`${name!.padEnd(widths[0]!)}${own!.padEnd(widths[1]!)}${wide}\n`)
  io.stdout(
    'Longest round trips that prove, with every margin; a landmark at the middle of the city. Registry as it ships. Not legal advice.\n',
  )
  return exitCodes.ok
}

export function describeProvability(landmark: Command, io: Io): void {
  landmark
    .command('provability')
    .description('what landmarks in cities could prove of a country and of a group, and how quick the answer has to be')
    .option('--country <code>', 'cities of this country alone, ISO 3166-1 alpha-2')
    .option('--group <code>', 'a group of the registry', 'EEA')
    .option('--at <time>', 'a day or a time in UTC (default: now)', dayOrTime)
    .option('--json', 'print the table as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger landmark provability --country DE')
    .action(async (args: ProvabilityArguments) => io.exit(await runProvability(args, io)))
}
