import { Failure } from '#core/failure.js'
import type { HttpCode } from '#host/http-failures.js'

export interface ArrivingLimits {
  /** unfinished requests, all together and of one network */
  readonly placesMax: number
  readonly placesPerNetworkMax: number
  /** bytes of unfinished bodies, all together: as announced, or as they have come */
  readonly bytesMax: number
}

/** One request whose body is on its way. */
export interface Arrival {
  /** Rejects when the request has to make room. @throws http/unfinished */
  readonly madeRoom: Promise<never>
  /** More of the body has come than was announced. */
  grow(bytes: number): void
  /** The body has come, or comes no more. */
  leave(): void
}

interface Waiting {
  readonly network: string
  bytes: number
  giveWay(): void
}

/**
 * Requests of which a part is still missing. They hold no place among those that are worked on, and nobody is refused for
 * their sake: when there are too many, the one that has waited longest makes room, of the network that has most of them. So
 * one stranger with slow bodies is in nobody's way, and many strangers are in the way of slow bodies only: a request that
 * came whole has been read before they can push it out.
 */
export class Arriving {
  readonly #limits: ArrivingLimits
  /** by network, oldest first */
  readonly #networks = new Map<string, Set<Waiting>>()
  #count = 0
  #bytes = 0

  constructor(limits: ArrivingLimits) {
    this.#limits = limits
  }

  get count(): number {
    return this.#count
  }

  /** network: who counts as one; bytes: what the request says that its body has */
  enter(network: string, bytes: number): Arrival {
    const { placesMax, placesPerNetworkMax } = this.#limits
    if ((this.#networks.get(network)?.size ?? 0) >= placesPerNetworkMax) this.#oldestOf(network)?.giveWay()
    if (this.#count >= placesMax) this.#oldestOf(this.#largest((all) => all.size))?.giveWay()
    let reject: (failure: Failure) => void = () => undefined
    const madeRoom = new Promise<never>((_, refuse) => {
      reject = refuse
    })
    madeRoom.catch(() => undefined) // nobody listens any more once the body has come
    const waiting: Waiting = {
      network,
      bytes: 0,
      giveWay: () => {
        this.#remove(waiting)
        reject(new Failure<HttpCode>('http/unfinished', 'the body was too slow: others needed its place'))
      },
    }
    const all = this.#networks.get(network) ?? new Set()
    this.#networks.set(network, all.add(waiting))
    this.#count++
    this.#grow(waiting, bytes)
    return { madeRoom, grow: (more) => this.#grow(waiting, more), leave: () => this.#remove(waiting) }
  }

  /** All of them make room: the service is ending. */
  clear(): void {
    for (const all of this.#networks.values()) for (const one of all) one.giveWay()
  }

  #grow(waiting: Waiting, bytes: number): void {
    if (!this.#networks.get(waiting.network)?.has(waiting)) return
    waiting.bytes += bytes
    this.#bytes += bytes
    const total = (all: ReadonlySet<Waiting>) => [...all].reduce((sum, one) => sum + one.bytes, 0)
    while (this.#bytes > this.#limits.bytesMax && this.#count > 1) this.#oldestOf(this.#largest(total))?.giveWay()
  }

  #largest(measure: (all: ReadonlySet<Waiting>) => number): string {
    let found = ''
    let most = -1
    for (const [network, all] of this.#networks) {
      const size = measure(all)
      if (size > most) [found, most] = [network, size]
    }
    return found
  }

  #oldestOf(network: string): Waiting | undefined {
    return this.#networks.get(network)?.values().next().value
  }

  #remove(waiting: Waiting): void {
    const all = this.#networks.get(waiting.network)
    if (!all?.delete(waiting)) return
    if (all.size === 0) this.#networks.delete(waiting.network)
    this.#count--
    this.#bytes -= waiting.bytes
  }
}
