/** The bound on requests that are worked on at the same time. */
export interface WorkPlaces {
  /** whether the network got a place; `leave` gives it back */
  enter(network: string): boolean
  leave(network: string): void
  readonly taken: number
}

/**
 * `placesMax` places for anybody, and a quarter as many more for networks that hold few: one stranger, whose requests are
 * answered slowly, leaves some to all others.
 */
export function createWorkPlaces(placesMax: number): WorkPlaces {
  const reserve = Math.ceil(placesMax / 4)
  const fewMax = Math.max(1, Math.floor(placesMax / 8))
  const held = new Map<string, number>()
  let taken = 0
  return {
    enter(network) {
      const own = held.get(network) ?? 0
      const isFree = taken < placesMax || (taken < placesMax + reserve && own < fewMax)
      if (!isFree) return false
      held.set(network, own + 1)
      taken++
      return true
    },
    leave(network) {
      const own = held.get(network) ?? 0
      if (own <= 1) held.delete(network)
      else held.set(network, own - 1)
      taken--
    },
    get taken() {
      return taken
    },
  }
}
