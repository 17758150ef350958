/** A bound on how often something may happen, for each name apart. */
export interface RateLimit {
  allow(name: string): boolean
  /** Whole seconds until it may happen for this name; 0: now, and it counts. perMinute: of this name, the common one when absent */
  wait(name: string, perMinute?: number): number
}

const namesMax = 50_000

/**
 * At most `perMinute` times a minute for one name, in bursts of as many; 0 for no bound.
 *
 * It remembers 50,000 names. Beyond that the ones with the fullest allowance are forgotten first, so that many new
 * names cannot wash away those that used theirs up.
 */
export function createRateLimit(options: { readonly perMinute: number; readonly nowMs: () => number }): RateLimit {
  const { nowMs } = options
  const used = new Map<string, Used>()

  /** What of the allowance is there, from 0 to 1. */
  const partLeft = (one: Used, now: number) => leftAt(one, now) / one.perMinute

  function forgetFull(now: number): void {
    for (const [name, one] of used) if (partLeft(one, now) >= 1) used.delete(name)
    if (used.size < namesMax) return
    const byLeft = [...used].sort(([, a], [, b]) => partLeft(b, now) - partLeft(a, now))
    for (const [name] of byLeft.slice(0, namesMax / 10)) used.delete(name)
  }

  function wait(name: string, perMinute = options.perMinute): number {
    if (perMinute === 0) return 0
    const now = nowMs()
    const one = used.get(name)
    if (one === undefined) {
      if (used.size >= namesMax) forgetFull(now)
      used.set(name, { left: perMinute - 1, at: now, perMinute })
      return 0
    }
    one.perMinute = perMinute
    one.left = leftAt(one, now)
    one.at = now
    if (one.left < 1) return Math.ceil(((1 - one.left) / perMinute) * 60)
    one.left -= 1
    return 0
  }
  return { wait, allow: (name) => wait(name) === 0 }
}

/** What is left of one name's allowance, and when that was so. */
interface Used {
  left: number
  at: number
  perMinute: number
}

function leftAt({ left, at, perMinute }: Used, now: number): number {
  return Math.min(perMinute, left + ((now - at) * perMinute) / 60_000)
}
