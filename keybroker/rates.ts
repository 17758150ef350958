/** What of a bound on a minute was given to the process that asked. */
export interface TakenRate {
  /** whether all that was wanted is this process's now, until the minute is over */
  readonly taken: boolean
  /** until the minute of the database is over, more than 0 */
  readonly secondsLeft: number
}

/** Bounds that all processes on one database keep together. */
export interface SharedRates {
  /** Whole seconds until it may happen for this name; 0: now, and it counts. perMinute: 0 for no bound. @throws database/... */
  wait(name: string, perMinute: number): Promise<number>
}

interface Held {
  readonly perMinute: number
  readonly endsMs: number
  left: number
  /** nothing is left of the minute, for anybody */
  readonly isSpent: boolean
}

const namesMax = 50_000
/** A process takes so much of a bound at once: few writes, and little that others lack while it lies unused. */
const partAtOnce = 1 / 20

/**
 * Bounds on what happens in a minute by the database's clock, whichever process it happens in: together never more than the bound.
 * A process takes a twentieth at a time and counts that down by itself, so that a bound of 3,000 costs 20 small writes a minute, and one
 * that is used up costs none. What it took and did not use is lost to the others until the minute is over.
 *
 * take   so many of a name's bound, all or none of them
 */
export function sharedRates(options: {
  readonly take: (name: string, most: number, wanted: number) => Promise<TakenRate>
  readonly nowMs: () => number
}): SharedRates {
  const { take, nowMs } = options
  const held = new Map<string, Held>()
  const refills = new Map<string, Promise<void>>()

  async function refill(name: string, perMinute: number): Promise<void> {
    const from = nowMs() // before it is asked, so that what was taken ends here no later than there
    let wanted = Math.ceil(perMinute * partAtOnce)
    let given = await take(name, perMinute, wanted)
    if (!given.taken && wanted > 1) {
      wanted = 1 // the last of a minute are given out one by one
      given = await take(name, perMinute, wanted)
    }
    forgetOver()
    const endsMs = from + given.secondsLeft * 1000
    held.set(name, { perMinute, endsMs, left: given.taken ? wanted : 0, isSpent: !given.taken })
  }

  function forgetOver(): void {
    if (held.size < namesMax) return
    const now = nowMs()
    for (const [name, one] of held) if (now >= one.endsMs) held.delete(name)
    // Whoever is forgotten asks the database again, which has not forgotten.
    for (const name of held.keys()) {
      if (held.size < namesMax) return
      held.delete(name)
    }
  }

  async function wait(name: string, perMinute: number): Promise<number> {
    if (perMinute === 0) return 0
    for (;;) {
      const one = held.get(name)
      const now = nowMs()
      if (one !== undefined && one.perMinute === perMinute && now < one.endsMs) {
        if (one.left > 0) {
          one.left -= 1
          return 0
        }
        if (one.isSpent) return Math.max(1, Math.ceil((one.endsMs - now) / 1000))
      }
      // Those who come meanwhile wait for the same answer.
      let refilling = refills.get(name)
      if (refilling === undefined) {
        refilling = refill(name, perMinute).finally(() => refills.delete(name))
        refills.set(name, refilling)
      }
      await refilling
    }
  }
  return { wait }
}
