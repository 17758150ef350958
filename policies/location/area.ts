import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { Land } from '#policies/location/land.js'
import type { LocationCode } from '#policies/location/sphere.js'
import type { RegistryContent } from '#policies/registry/document.js'
import { jurisdictionsOf } from '#policies/registry/resolve.js'

/** The land that a policy means by one name, at one time: for everybody else it is land where the node must not be. */
export interface TargetArea {
  /** a country or a group of the registry */
  readonly code: string
  /** countries of ISO 3166-1 whose land it is; sorted */
  readonly countries: readonly string[]
  /** foreign land without a known facility, which the registry's keepers signed for */
  readonly ignored: readonly string[]
  /** countries that belong to it and do not count: part of their land is disputed, and the map does not tell which */
  readonly leftOut: readonly string[]
  /** the first instant at which one of these belongings ends; null when none does */
  readonly until: UnixSeconds | null
}

export interface AreaAsked {
  readonly code: string
  readonly at: UnixSeconds
  /** what was shown of the importer, by names of the registry's conditions */
  readonly shown: readonly string[]
}

/**
 * The countries that belong to a target at a time, by a registry.
 *
 * trusts  that the registry was verified by the caller
 * throws  location/target for what no country belongs to, and for a part of a country: the map shows countries
 */
export function targetArea(content: RegistryContent, { code, at, shown }: AreaAsked): TargetArea {
  if (content.areas.some((area) => area.code === code))
    throw new Failure<LocationCode>(
      'location/target',
      `${code} is part of a country, and the map shows countries whole`,
    )
  // To a country belongs nobody else: memberships are of groups.
  const candidates = content.countries.includes(code) ? [code] : content.countries
  const members = candidates.flatMap((country) => {
    const { codes, until } = jurisdictionsOf(content, { code: country, exclave: false, at, shown })
    return codes.includes(code) ? [{ country, until }] : []
  })
  if (members.length === 0)
    throw new Failure<LocationCode>('location/target', `no country belongs to ${code} by the registry`)
  const inDispute = new Set(content.areas.filter(({ disputed }) => disputed).map(({ within }) => within))
  const ends = members.flatMap(({ until }) => until ?? [])
  const countries = members.map(({ country }) => country).sort()
  return {
    code,
    countries: countries.filter((one) => !inDispute.has(one)),
    ignored: content.ignoredEnclaves.map((one) => one.code).sort(),
    leftOut: countries.filter((one) => inDispute.has(one)),
    until: ends.length === 0 ? null : Math.min(...ends),
  }
}

/** What a piece of land is to a target. Land without a code is foreign to every target. */
export function standingOf(land: Land, area: TargetArea): 'own' | 'ignored' | 'foreign' {
  if (land.code === null) return 'foreign'
  if (area.countries.includes(land.code)) return 'own'
  return area.ignored.includes(land.code) ? 'ignored' : 'foreign'
}
