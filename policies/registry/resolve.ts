import { Failure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { instantOf, type RegistryCode, type RegistryContent } from '#policies/registry/document.js'

/** One belonging that counted, with what it rests on. */
export interface Belonging {
  readonly member: string
  readonly group: string
  /** the condition that was shown; null where there is none */
  readonly condition: string | null
  /** the legal act, as the registry cites it */
  readonly act: string
  /** whether the act itself was read for the row, or what others write of it */
  readonly checked: 'act' | 'secondary'
}

/** What a place belongs to at one time. */
export interface Jurisdictions {
  /** the place itself, the country that it lies in, and every group; sorted, each once */
  readonly codes: readonly string[]
  /** of that, what rests on an act */
  readonly because: readonly Belonging[]
  /** the first instant at which one of these is over; null when none ends */
  readonly until: UnixSeconds | null
}

export interface PlaceAsked {
  /** country, or an area of one */
  readonly code: string
  /** whether who states the place says that it is an exclave: then a country alone is no answer */
  readonly exclave: boolean
  readonly at: UnixSeconds
  /** what was shown of the importer, by names of the registry's conditions */
  readonly shown: readonly string[]
}

/**
 * What a place belongs to: the closure of every membership in its time whose condition, where it has one, was shown.
 *
 * A place that is unknown has no jurisdictions, and no answer is no: it throws.
 * throws  registry/unknown, registry/disputed
 */
export function jurisdictionsOf(content: RegistryContent, asked: PlaceAsked): Jurisdictions {
  const area = content.areas.find(({ code }) => code === asked.code)
  const within = area?.within ?? asked.code
  if (area === undefined && !content.countries.includes(asked.code))
    throw new Failure<RegistryCode>('registry/unknown', `the registry does not know ${asked.code}`)
  if (area?.disputed)
    throw new Failure<RegistryCode>('registry/disputed', `to whom ${area.code} (${area.name}) belongs is disputed`)
  if (asked.exclave && !area?.exclave)
    throw new Failure<RegistryCode>('registry/unknown', `the registry has no exclave ${asked.code}`)
  const shown = new Set(asked.shown)
  const rows = content.memberships.filter(
    ({ from, to, condition }) =>
      instantOf(from) <= asked.at &&
      (to === null || asked.at < instantOf(to)) &&
      (condition === null || shown.has(condition)),
  )
  const codes = new Set([asked.code, within])
  const because: Belonging[] = []
  let until: UnixSeconds | null = null
  // A set grows while it is walked: each group that is found brings those above it.
  for (const code of codes)
    for (const { member, group, condition, act, to, checked } of rows) {
      if (member !== code) continue
      codes.add(group)
      because.push({ member, group, condition, act, checked })
      if (to !== null) until = Math.min(until ?? Number.MAX_SAFE_INTEGER, instantOf(to))
    }
  return { codes: [...codes].sort(), because, until }
}

/** On which of the registry's lists somebody stands, by identifier; sorted. */
export function listsWith(content: RegistryContent, ids: readonly string[]): readonly string[] {
  const wanted = new Set(ids)
  return content.lists
    .filter(({ entries }) => entries.some(({ id }) => wanted.has(id)))
    .map(({ name }) => name)
    .sort()
}

/** What two versions say differently of one instant, place by place: a change of law as people review it. */
export function diffRegistries(
  before: RegistryContent,
  after: RegistryContent,
  at: UnixSeconds,
): readonly { readonly code: string; readonly joined: readonly string[]; readonly left: readonly string[] }[] {
  const every = (content: RegistryContent) => content.conditions.map(({ name }) => name)
  const codesOf = (content: RegistryContent, code: string): readonly string[] => {
    const known = content.countries.includes(code) || content.areas.some((area) => area.code === code && !area.disputed)
    return known ? jurisdictionsOf(content, { code, exclave: false, at, shown: every(content) }).codes : []
  }
  const places = new Set(
    [before, after].flatMap(({ countries, areas }) => [...countries, ...areas.map(({ code }) => code)]),
  )
  return [...places].sort().flatMap((code) => {
    const [old, now] = [codesOf(before, code), codesOf(after, code)]
    const joined = now.filter((one) => !old.includes(one))
    const left = old.filter((one) => !now.includes(one))
    return joined.length + left.length === 0 ? [] : [{ code, joined, left }]
  })
}
