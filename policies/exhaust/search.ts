import type { Acts } from '#policies/exhaust/acts.js'
import type { Possible, Space } from '#policies/exhaust/space.js'
import type { Value } from '#policies/exhaust/values.js'
import { type Facts, parseFacts } from '#policies/facts.js'

/** A world that was found, as plain JSON. */
export interface Found {
  /** for which acts: both, where no rule tells them apart */
  readonly acts: Acts
  readonly facts: Facts
  /** every fact that the rules read and that is there, by path */
  readonly read: Readonly<Record<string, Exclude<Value, undefined>>>
  /** facts that the rules read and that are absent */
  readonly absent: readonly string[]
}

/** Told of every so many worlds; whoever waits for them may do something in between. */
export type OnTried = (tried: number, all: number) => void | Promise<void>
const tellEvery = 500

/** Every world that is open, once for all acts that no rule tells apart. @throws what `visit` throws */
export async function tryAll(
  space: Space,
  visit: (world: Possible, acts: Acts) => void,
  onTried: OnTried = () => {},
): Promise<void> {
  let tried = 0
  for (const world of space.worlds()) {
    for (const acts of space.acts) visit(world, acts)
    if (++tried % tellEvery === 0) await onTried(tried, space.open)
  }
  await onTried(tried, space.open)
}

/** The smallest worlds of those that were found, and how many there were. */
export class Smallest<T> {
  count = 0
  readonly #kept: { readonly world: Possible; readonly acts: Acts; readonly more: T }[] = []
  readonly #keep: number
  constructor(keep: number) {
    this.#keep = keep
  }

  add(world: Possible, acts: Acts, more: T): void {
    this.count++
    const last = this.#kept.at(-1)
    if (this.#kept.length >= this.#keep && (last === undefined || last.world.size <= world.size)) return
    let at = this.#kept.length
    while (at > 0 && this.#kept[at - 1]!.world.size > world.size) at--
    this.#kept.splice(at, 0, { world, acts, more })
    if (this.#kept.length > this.#keep) this.#kept.pop()
  }

  /** The smallest first. Each is read again as the facts of a decision are. @throws facts/..., shape/... */
  all(): readonly (Found & T)[] {
    return this.#kept.map(({ world, acts, more }) => ({ ...foundOf(world, acts), ...more }))
  }
}

function foundOf({ facts, read }: Possible, acts: Acts): Found {
  const there = [...read].flatMap(([path, value]) => (value === undefined ? [] : [[path, value] as const]))
  const absent = [...read].flatMap(([path, value]) => (value === undefined ? [path] : []))
  return { acts, facts: parseFacts(facts as never), read: Object.fromEntries(there), absent }
}
