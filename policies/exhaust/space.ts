import type { Json } from '#core/encoding/json.js'
import { isFailure } from '#core/failure.js'
import { becomes } from '#policies/becoming.js'
import { establishedGroups } from '#policies/credentials/facts.js'
import { type Acts, actsOf } from '#policies/exhaust/acts.js'
import { type Asked, askedOf } from '#policies/exhaust/asked.js'
import { coupled, type Group } from '#policies/exhaust/coupled.js'
import { plainFacts } from '#policies/exhaust/plain.js'
import { type Settled, settledBy } from '#policies/exhaust/settled.js'
import { tooMany, type Value, valuesOf } from '#policies/exhaust/values.js'
import { type Facts, parseFacts } from '#policies/facts.js'
import type { PolicySet } from '#policies/language/validate.js'

/** Facts of one world, with what sets it apart from the others. */
export interface Possible {
  readonly facts: Facts
  /** every fact that the rules read, by path; undefined where it is absent */
  readonly read: ReadonlyMap<string, Value>
  /** how many of these are not the barest that they can be */
  readonly size: number
}

/** All worlds that a set of rules can tell apart. */
export interface Space {
  /** how many there are */
  readonly count: number
  /** how many of them one group of facts does not settle, and are tried */
  readonly open: number
  /** what is tried in each: acts that no rule tells apart are tried as one */
  readonly acts: readonly Acts[]
  /** those that are open */
  worlds(): Iterable<Possible>
}

/** One way in which a group of facts can be. */
interface Way {
  /** null where the group is not there */
  readonly group: Json
  readonly read: readonly (readonly [string, Value])[]
  readonly size: number
}
/** A group, and every way in which it can be, the barest first. */
interface Axis {
  readonly name: string
  readonly ways: readonly Way[]
}

/**
 * The worlds that these rules can tell apart: of every fact that they read each value that makes a difference to them, with
 * every other, wherever code lets them stand together. A fact that they do not read is one and the same throughout.
 *
 * countMax  more that are open are refused before the first is tried
 * denying   worlds that all of these policies deny for one group of facts are not open; none, and every world is
 * throws    exhaust/worlds, exhaust/like
 */
export function spaceOf(sets: readonly PolicySet[], countMax: number, denying: readonly PolicySet[] = []): Space {
  const byGroup = new Map<string, Asked[]>()
  for (const one of askedOf(sets)) {
    const [name] = one.path.split('.') as [string]
    byGroup.set(name, [...(byGroup.get(name) ?? []), one])
  }
  // Code refuses simulated evidence by the class of the tenant: who asks about one asks about both.
  if (byGroup.has('tenant') || readsPlatform(byGroup)) addClassAndPlatform(byGroup)
  const axes = [...byGroup].map(([name, asked]) => ({ name, ways: waysOf(name, asked, countMax) }))
  const isEstablished = ({ name }: Axis) => (establishedGroups as readonly string[]).includes(name)
  const none = (axis: Axis) => (isEstablished(axis) ? { ...axis, ways: [notThere(byGroup.get(axis.name)!)] } : axis)
  const alternatives = axes.some(isEstablished)
    ? [
        { axes: axes.map(none), plain: plainFacts(false) },
        { axes, plain: plainFacts(true) },
      ]
    : [{ axes, plain: plainFacts(false) }]
  const acts = actsOf(sets)
  const settled = denying.length === 0 ? null : settledBy(denying, acts)
  const open = alternatives.map((one) => (settled === null ? one : openOf(one, settled)))
  const space = { count: sum(alternatives.map(countOf)), open: sum(open.map(countOf)), acts }
  if (space.open > countMax) throw tooMany(`these rules tell ${space.open} worlds apart, and ${countMax} may be tried`)
  return {
    ...space,
    *worlds() {
      for (const one of open) yield* product(one)
    },
  }
}

/** Every way of each group with every way of the others; what is in no group is as in the plain facts. */
interface Combined {
  readonly axes: readonly Axis[]
  readonly plain: Facts
}

const sum = (counts: readonly number[]) => counts.reduce((all, one) => all + one, 0)
const countOf = ({ axes }: Combined) => axes.reduce((all, { ways }) => all * ways.length, 1)

function openOf({ axes, plain }: Combined, settled: Settled): Combined {
  const isOpen = (name: string, way: Way) => !settled(name, factsOf(plain, [[name, way]]))
  return { plain, axes: axes.map(({ name, ways }) => ({ name, ways: ways.filter((way) => isOpen(name, way)) })) }
}

function factsOf(plain: Facts, ways: readonly (readonly [string, Way])[]): Facts {
  const facts: Record<string, Json> = { ...(plain as unknown as Readonly<Record<string, Json>>) }
  for (const [name, { group }] of ways) if (group !== null) facts[name] = group
  return facts as unknown as Facts
}

function readsPlatform(byGroup: ReadonlyMap<string, readonly Asked[]>): boolean {
  return byGroup.get('evidence')?.some(({ path }) => path === 'evidence.platform') === true
}

function addClassAndPlatform(byGroup: Map<string, Asked[]>): void {
  for (const path of ['tenant.class', 'evidence.platform']) {
    const [name] = path.split('.') as [string]
    const asked = byGroup.get(name) ?? []
    if (asked.some((one) => one.path === path)) continue
    byGroup.set(name, [...asked, { path, values: new Set(), peers: new Set([path]) }])
  }
}

/** A group that nobody could state anything in. */
function notThere(asked: readonly Asked[]): Way {
  return { group: null, read: asked.map(({ path }) => [path, undefined] as const), size: 0 }
}

/** Every way in which a group can be. @throws exhaust/worlds */
function waysOf(name: string, asked: readonly Asked[], countMax: number): readonly Way[] {
  if (name === 'time') return timesOf(asked)
  const stated = becomes[name]
  const base = baseOf(name)
  const flag = (establishedGroups as readonly string[]).includes(name) ? 'proven' : 'stated'
  const inside = (name === 'model' ? namesOfModel(asked) : asked).filter(({ path }) => path !== `${name}.${flag}`)
  const leaf = ({ path }: Asked) => path.slice(name.length + 1)
  const values = inside.map((one) => {
    return barestFirst(valuesOf(one, canBe), valueAt(base, leaf(one)))
  })
  const count = values.reduce((product, one) => product * one.length, 1)
  if (count > countMax) throw tooMany(`the facts of ${name} alone may stand in ${count} ways`)
  const read = new Map(asked.map((one) => [leaf(one), one.values]))
  const ways = new Map<string, Way>()
  for (const way of stated === undefined ? [] : silentWays(name, flag, asked)) ways.set(JSON.stringify(way.group), way)
  for (let n = 0; n < count; n++) {
    const chosen = choose(values, n)
    const made = chosen.reduce((group, { value }, i) => withValue(group, leaf(inside[i]!), value), base)
    const group = coupled(name, made, read)
    if (group === null || !isFacts(name, clean(group))) continue
    const key = JSON.stringify(group)
    if (ways.has(key)) continue
    const shown = asked.map(({ path }) => [path, valueAt(group, path.slice(name.length + 1))] as const)
    const silent = stated === undefined ? 0 : 1
    ways.set(key, { group: clean(group), read: shown, size: silent + chosen.filter(({ index }) => index > 0).length })
  }
  return [...ways.values()]
}

/** An id is an owner and a name: whoever asks about ids asks about both. */
function namesOfModel(asked: readonly Asked[]): readonly Asked[] {
  const ids = asked.find(({ path }) => path === 'model.id')
  if (ids === undefined) return asked
  const part = (name: 'owner' | 'name'): Asked => {
    const own = asked.find(({ path }) => path === `model.${name}`)
    const named = [...ids.values].map((id) => (name === 'owner' ? String(id).slice(0, 43) : String(id).slice(44)))
    const peers = new Set([...ids.peers, ...(own?.peers ?? [])])
    return { path: `model.${name}`, values: new Set([...named, ...(own?.values ?? [])]), peers }
  }
  const others = asked.filter(({ path }) => !['model.id', 'model.owner', 'model.name'].includes(path))
  return [part('owner'), part('name'), ...others]
}

/** Absent first, then what a fact is where nobody asks about it. */
function barestFirst(values: readonly Value[], plain: Value): readonly Value[] {
  const rank = (value: Value) => (value === undefined ? 0 : JSON.stringify(value) === JSON.stringify(plain) ? 1 : 2)
  return [...values].sort((a, b) => rank(a) - rank(b))
}

/** What nobody states. Of a site it may be that those who state it contradict one another. */
function silentWays(name: string, flag: string, asked: readonly Asked[]): readonly Way[] {
  const groups: Group[] =
    name === 'site'
      ? [
          { proven: false, contradicted: false },
          { proven: false, contradicted: true },
        ]
      : [{ [flag]: false }]
  return groups.map((group, size) => ({
    group: group as Json,
    read: asked.map(({ path }) => [path, group[path.slice(name.length + 1)]] as const),
    size,
  }))
}

function timesOf(asked: readonly Asked[]): readonly Way[] {
  return valuesOf(asked[0]!, canBe).map((value, size) => ({
    group: value as Json,
    read: [['time', value]],
    size: Math.min(size, 1),
  }))
}

/** The n-th choice of one value of each. */
function choose(values: readonly (readonly Value[])[], n: number): readonly { value: Value; index: number }[] {
  let rest = n
  return values.map((list) => {
    const index = rest % list.length
    rest = (rest - index) / list.length
    return { value: list[index], index }
  })
}

function withValue(group: Group, path: string, value: Value): Group {
  const at = path.indexOf('.')
  if (at < 0) return { ...group, [path]: value }
  const name = path.slice(0, at)
  const inner = withValue(group[name] as unknown as Group, path.slice(at + 1), value)
  return { ...group, [name]: inner as unknown as Value }
}

function valueAt(group: Group, path: string): Value {
  return path.split('.').reduce<unknown>((at, name) => (at as Group | undefined)?.[name], group) as Value
}

/** As JSON has it: a member that is undefined is none. */
function clean(group: Group): Json {
  return JSON.parse(JSON.stringify(group)) as Json
}

/** A group where something is said of it and no rule asks for it. */
function baseOf(name: string): Group {
  return (becomes[name] ?? plainFacts(true)[name as keyof Facts]) as Group
}

/** Whether facts may be so, where nothing else is asked about. */
function canBe(path: string, value: Value): boolean {
  const [name, ...names] = path.split('.') as [string, ...string[]]
  if (names.length === 0) return isFacts(name, value as Json)
  const leaf = names.join('.')
  const read = new Set([value].flat().filter((one) => one !== undefined))
  const group = coupled(name, withValue(baseOf(name), leaf, value), new Map([[leaf, read]]))
  return group !== null && isFacts(name, clean(group))
}

/** Whether facts may have this group. */
function isFacts(name: string, group: Json): boolean {
  try {
    parseFacts({ ...plainFacts(true), [name]: typeof group === 'object' ? clean(group as Group) : group } as Json)
    return true
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}

function* product(combined: Combined): Iterable<Possible> {
  const { axes, plain } = combined
  const count = countOf(combined)
  for (let n = 0; n < count; n++) {
    let rest = n
    const ways = axes.map(({ name, ways }) => {
      const way = ways[rest % ways.length]!
      rest = Math.floor(rest / ways.length)
      return [name, way] as const
    })
    const read = new Map(ways.flatMap(([, way]) => way.read))
    yield { facts: factsOf(plain, ways), read, size: sum(ways.map(([, way]) => way.size)) }
  }
}
