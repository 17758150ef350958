import { parseCanonicalJson } from '#core/encoding/json.js'
import {
  boolean,
  hex,
  integer,
  list,
  literal,
  nullable,
  object,
  oneOf,
  type Shape,
  type Shaped,
  string,
} from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { parseTime, type UnixSeconds } from '#core/time.js'
import { countryShape, nameShape, timeShape, titleShape } from '#core/wire/names.js'

/** Failures of a registry of jurisdictions. */
export type RegistryCode =
  /** two rows of one name, a row about what nobody listed, an interval that ends before it begins, a circle of groups */
  | 'registry/row'
  /** a place that the registry does not know, an exclave that it has no row for included */
  | 'registry/unknown'
  /** a place whose belonging is disputed: nobody's answer would be right */
  | 'registry/disputed'

const text = string({ max: 500, form: /^[^\p{Cc}]+$/u })
/** An instant as people read it, `2026-01-26T00:00:00Z`. */
const instant: Shape<string> = (value, path) => {
  const given = string({ max: 20 })(value, path)
  return parseTime(given) === undefined ? string({ form: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ })('', path) : given
}
/** ISO 3166-2, or a code of ours below a country where ISO has none. */
const areaCode = string({ max: 6, form: /^[A-Z]{2}-[A-Z0-9]{1,3}$/ })
/** Never two letters alone: a group must not look like a country. */
const groupCode = string({ max: 40, form: /^(?![A-Z]{2}$)[A-Z][A-Z0-9_]*$|^EU$/ })
const anyCode = string({ max: 40, form: /^[A-Z][A-Z0-9_-]*$/ })

/**
 * What a registry says, without who says it: docs/spec/jurisdiction-registry.md.
 *
 * countries       codes of ISO 3166-1 alpha-2
 * areas           parts of a country that answer for themselves: exclaves, and places whose belonging is disputed
 * memberships     `from` counts, `to` does not any more; `condition` names what has to be shown of the importer
 * ignoredEnclaves foreign land that a delay bound may contain, because there is no known facility on it
 * lists           who stands on a list that its keeper fills: a company, by identifier
 */
const contentMembers = {
  countries: list(countryShape, { min: 1, max: 300 }),
  areas: list(object({ code: areaCode, name: titleShape, within: countryShape, exclave: boolean, disputed: boolean }), {
    max: 2_000,
  }),
  groups: list(object({ code: groupCode, title: titleShape }), { max: 200 }),
  conditions: list(object({ name: nameShape, title: titleShape }), { max: 200 }),
  memberships: list(
    object({
      member: anyCode,
      group: groupCode,
      condition: nullable(nameShape),
      from: instant,
      to: nullable(instant),
      act: text,
      checked: oneOf('act', 'secondary'),
    }),
    { max: 10_000 },
  ),
  ignoredEnclaves: list(object({ code: anyCode, reason: text, reviewer: titleShape, date: instant }), { max: 100 }),
  lists: list(
    object({
      name: nameShape,
      title: titleShape,
      entries: list(object({ id: string({ max: 64, form: /^[A-Za-z0-9.:_-]+$/ }), note: titleShape }), {
        max: 100_000,
      }),
    }),
    { max: 20 },
  ),
}
export const registryContentShape = object(contentMembers)
export type RegistryContent = Shaped<typeof registryContentShape>

const registryShape = object({
  type: literal('claviger/jurisdiction-registry/v1'),
  /** names a line of versions, for protection against rollback */
  name: nameShape,
  version: integer({ min: 1 }),
  issuedAt: timeShape,
  validUntil: timeShape,
  /** SHA-256 of the version before this one as it was signed; null for the first */
  previousDigest: nullable(hex(32)),
  ...contentMembers,
})
export type Registry = Shaped<typeof registryShape>

/**
 * A registry in the bytes that were signed. Every row is about something that the document lists, once.
 *
 * throws  registry/row, json/..., shape/...
 */
export function readRegistry(payload: Uint8Array): Registry {
  const registry = registryShape(parseCanonicalJson(payload), 'registry')
  verifyRows(registry)
  return registry
}

/** Whether the rows of a registry fit together. @throws registry/row */
export function verifyRows(content: RegistryContent): void {
  const { countries, areas, groups, conditions, memberships, lists } = content
  const wrong = (message: string) => new Failure<RegistryCode>('registry/row', message)
  const unique = (names: readonly string[], what: string) => {
    const seen = new Set<string>()
    for (const name of names) {
      if (seen.has(name)) throw wrong(`${what} ${name} is listed twice`)
      seen.add(name)
    }
    return seen
  }
  const isCountry = unique(countries, 'country')
  unique([...countries, ...areas.map(({ code }) => code), ...groups.map(({ code }) => code)], 'code')
  const isGroup = new Set(groups.map(({ code }) => code))
  const isArea = new Set(areas.map(({ code }) => code))
  const isCondition = unique(
    conditions.map(({ name }) => name),
    'condition',
  )
  unique(
    lists.map(({ name }) => name),
    'list',
  )
  for (const { name, entries } of lists)
    unique(
      entries.map(({ id }) => id),
      `entry of ${name}`,
    )
  for (const { code, within } of areas) {
    if (!isCountry.has(within)) throw wrong(`${code} lies within ${within}, which is not listed`)
    if (!code.startsWith(`${within}-`)) throw wrong(`${code} does not name ${within}, within which it lies`)
  }
  for (const row of memberships) {
    const { member, group, condition } = row
    if (!isCountry.has(member) && !isArea.has(member) && !isGroup.has(member))
      throw wrong(`${member}, a member of ${group}, is not listed`)
    if (!isGroup.has(group)) throw wrong(`group ${group} is not listed`)
    if (condition !== null && !isCondition.has(condition)) throw wrong(`condition ${condition} is not listed`)
    if (row.to !== null && instantOf(row.to) <= instantOf(row.from))
      throw wrong(`${member} leaves ${group} at ${row.to}, before it joins`)
  }
  for (const { code } of content.ignoredEnclaves)
    if (!isCountry.has(code) && !isArea.has(code)) throw wrong(`enclave ${code} is not listed`)
  verifyNoCircle(content)
}

/** A group that contains itself would belong to whatever belongs to it. */
function verifyNoCircle({ groups, memberships }: RegistryContent): void {
  const above = new Map<string, string[]>()
  for (const { member, group } of memberships) above.set(member, [...(above.get(member) ?? []), group])
  const done = new Set<string>()
  const visit = (code: string, path: readonly string[]): void => {
    if (done.has(code)) return
    if (path.includes(code)) throw new Failure<RegistryCode>('registry/row', `group ${code} contains itself`)
    for (const group of above.get(code) ?? []) visit(group, [...path, code])
    done.add(code)
  }
  for (const { code } of groups) visit(code, [])
}

/** The instant of a row that was read. */
export function instantOf(instantText: string): UnixSeconds {
  return parseTime(instantText)!
}
