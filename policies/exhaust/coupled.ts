import type { Value } from '#policies/exhaust/values.js'

/** A group of facts in one world, as it would stand in facts, and as it may be changed here. */
export type Group = Record<string, Value>

/** Values that rules name, of the facts of a group that they read, by name in the group. */
export type Read = ReadonlyMap<string, ReadonlySet<string | number | boolean>>

/**
 * The group with what follows from the values that were chosen, or null where no evidence and no credential can lead to
 * them together. Only what code makes so stands here (policies/credentials/establish.ts, site.ts): what a registry says is
 * the owner's, and any may be true.
 */
export function coupled(name: string, group: Group, read: Read): Group | null {
  if (name === 'company') return companyCoupled(group, read)
  if (name === 'site') return siteCoupled(group, read)
  if (name === 'evidence') return withMember(group, 'measurements', group.measurement, read)
  return name === 'model' ? { ...group, id: `${group.owner}/${group.name}` } : group
}

/** Who keeps its controllers back keeps back all that is counted of them. */
const ofControllers = ['controllers', 'controlledWithin', 'outsideMaxBp', 'outsideSumBp', 'outsideVeto']

function companyCoupled(group: Group, read: Read): Group | null {
  const out = { ...group }
  const asked = ofControllers.filter((name) => read.has(name))
  const hidden = asked.filter((name) => out[name] === undefined)
  if (hidden.length > 0 && hidden.length < asked.length) return null
  if (hidden.length > 0) for (const name of ofControllers) out[name] = undefined
  else if (!sharesFit(out, read)) return null
  return withMember(out, 'jurisdictions', out.seat, read)
}

/** One share is no more than all of them together. */
function sharesFit(group: Group, read: Read): boolean {
  const [one, all] = [group.outsideMaxBp as number, group.outsideSumBp as number]
  if (one <= all) return true
  if (!read.has('outsideSumBp')) group.outsideSumBp = one
  else if (!read.has('outsideMaxBp')) group.outsideMaxBp = all
  else return false
  return true
}

/** An area lies in its country, and both are among what it belongs to. */
/** What round trips prove, and how: there together. */
const ofTimed = ['measuredWithin', 'radiusKm', 'landmarks']

/** A place that nobody timed has none of it, and grade 4 is of a country that round trips prove. */
function timedCoupled(group: Group, read: Read): Group | null {
  const asked = ofTimed.filter((name) => read.has(name))
  const hidden = asked.filter((name) => group[name] === undefined)
  if (hidden.length > 0 && hidden.length < asked.length) return null
  const isTimed = hidden.length === 0
  if (!isTimed) for (const name of ofTimed) group[name] = undefined
  if (group.grade !== 4) return group
  return isTimed ? withMember(group, 'measuredWithin', group.country, read) : null
}

function siteCoupled(group: Group, read: Read): Group | null {
  const out = { ...group }
  if (!read.has('area')) out.area = out.country
  const country = String(out.area).slice(0, 2)
  if (!read.has('country')) out.country = country
  if (out.country !== country) return null
  const with1 = withMember(out, 'jurisdictions', out.area, read)
  const placed = with1 && withMember(with1, 'jurisdictions', country, read)
  return placed && timedCoupled({ ...placed }, read)
}

/** The group whose set has this element, if a set without it was not what the rules asked about. */
function withMember(group: Group, name: string, element: Value, read: Read): Group | null {
  const set = group[name] as readonly string[] | undefined
  if (set === undefined) return null
  if (typeof element !== 'string' || set.includes(element)) return group
  if (!read.has(name)) return { ...group, [name]: [element] }
  return read.get(name)!.has(element) ? null : { ...group, [name]: [...set, element].sort() }
}
