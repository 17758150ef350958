/** A bound on how often something may happen, for each name apart. */
export interface RateLimit {
  allow(name: string): boolean
}

const namesMax = 50_000

/**
 * At most `perMinute` times a minute for one name, in bursts of as many; 0 for no bound.
 *
 * It remembers 50,000 names. Beyond that the ones with the fullest allowance are forgotten first, so that many new
 * names cannot wash away those that used theirs up.
 */
export function createRateLimit(options: { readonly perMinute: number; readonly nowMs: () => number }): RateLimit {
  const { nowMs, perMinute } = options
  const used = new Map<string, Used>()

  function forgetFull(now: number): void {
    for (const [name, one] of used) if (leftAt(one, now) >= perMinute) used.delete(name)
    if (used.size < namesMax) return
    const byLeft = [...used].sort(([, a], [, b]) => leftAt(b, now) - leftAt(a, now))
    for (const [name] of byLeft.slice(0, namesMax / 10)) used.delete(name)
  }

  function leftAt({ left, at }: Used, now: number): number {
    return Math.min(perMinute, left + ((now - at) * perMinute) / 60_000)
  }

  function allow(name: string): boolean {
    if (perMinute === 0) return true
    const now = nowMs()
    const one = used.get(name)
    if (one === undefined) {
      if (used.size >= namesMax) forgetFull(now)
      used.set(name, { left: perMinute - 1, at: now })
      return true
    }
    one.left = leftAt(one, now)
    one.at = now
    if (one.left < 1) return false
    one.left -= 1
    return true
  }
  return { allow }
}

/** What is left of one name's allowance, and when that was so. */
interface Used {
  left: number
  at: number
}
