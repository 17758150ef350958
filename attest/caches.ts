import { fromPublicBase64 } from '#core/bytes/bytes.js'
import { sha256Hex } from '#core/crypto/hash.js'
import { Recent } from '#core/recent.js'
import type { UnixSeconds } from '#core/time.js'
import type { VerifiedLinks } from '#core/x509/chain.js'
import { LinkCache } from '#core/x509/links.js'

declare const held: unique symbol

/** Names one sort of remembered result, and its type. */
export interface Slot<T> {
  readonly name: string
  readonly [held]?: T
}

/** A result that was verified, and from when until when (both included) the same bytes give it again. */
export interface Remembered<T> {
  readonly value: T
  readonly from: UnixSeconds
  readonly until: UnixSeconds
  /** bytes that the result was read from: what it costs to keep */
  readonly size: number
}

/** An entry is charged for its own objects beside the bytes it was read from: parsed JSON takes several times its text. */
const sizeFactor = 8

/**
 * What verifications before this one established about vendors' collateral and chains. Never evidence: what a machine
 * signed is verified on every call. State with a lifetime, which whoever verifies often makes and hands in; results are
 * the same without.
 *
 * Invariant: a key is a digest of every byte that the result was read from. Whatever depends on the caller (roots, floors)
 * or on the time is judged anew on every call: times by the interval, of which a hit must be inside. What failed is
 * never put in.
 */
export class Caches {
  /** signatures of certificates that were found good; names, dates and constraints are read again each time */
  readonly links: VerifiedLinks
  readonly #shelf: Shelf
  readonly #kept: VerifiedLinks | undefined
  readonly #counters: readonly Counter[]
  /** texts that were decoded in this call; null where these are of many calls, and nothing of any is kept */
  readonly #decoded: string[] | null

  constructor(
    shelf: Shelf,
    kept: VerifiedLinks | undefined,
    counters: readonly Counter[],
    decoded: string[] | null = null,
  ) {
    this.#decoded = decoded
    this.#shelf = shelf
    this.#kept = kept
    this.#counters = counters
    this.links = {
      keeps: kept !== undefined,
      has: (link) => kept?.has(link) ?? false,
      add: (link) => kept?.add(link),
      verified: () => this.count('vendor'),
    }
  }

  /** The same caches for one call, whose signatures are counted apart, and with those of these. */
  counting(): Caches {
    return new Caches(this.#shelf, this.#kept, [newCounter(), ...this.#counters], [])
  }

  /** The same caches, which keep links for one run at least, over chains that have some in common. */
  forOneRun(): Caches {
    return this.#kept ? this : new Caches(this.#shelf, new Set<string>(), this.#counters, this.#decoded)
  }

  /** The bytes of a member of the evidence, which is no secret. @throws bytes/base64 */
  decode(text: string): Uint8Array {
    const bytes = fromPublicBase64(text)
    this.#decoded?.push(text)
    return bytes
  }

  /** Whether this text was decoded in this call: then its characters are those of base64. */
  hasDecoded(text: string): boolean {
    return this.#decoded?.includes(text) ?? false
  }

  /** One more signature was verified and found good. What was remembered is not counted: nothing was verified. */
  count(by: keyof Signatures): void {
    for (const counter of this.#counters) counter[by]++
  }

  /** What was verified since these were made. */
  get signatures(): Signatures {
    return { ...this.#counters[0]! }
  }

  get keeps(): boolean {
    return this.#shelf.keeps
  }

  get size(): number {
    return this.#shelf.size
  }

  /** What is remembered under this key for this time; undefined when it would have to be verified. */
  get<T>(slot: Slot<T>, key: string, at: UnixSeconds): T | undefined {
    return this.#shelf.get(slot, key, at)
  }

  /** Remembers a result that was verified just now. The least recently used make room. */
  set<T>(slot: Slot<T>, key: string, result: Remembered<T>): void {
    this.#shelf.set(slot, key, result)
  }
}

/** Signatures that were verified and found good: by what the machine or its devices signed, and by what vendors signed. */
export interface Signatures {
  readonly evidence: number
  readonly vendor: number
}
type Counter = { -readonly [by in keyof Signatures]: number }
const newCounter = (): Counter => ({ evidence: 0, vendor: 0 })

/** What is kept, of every call that shares it. */
class Shelf {
  readonly #entries: Recent<Remembered<unknown>>
  readonly #entriesMax: number
  readonly #bytesMax: number

  constructor(entriesMax: number, bytesMax: number) {
    this.#entries = new Recent({ countMax: entriesMax, costMax: bytesMax })
    this.#entriesMax = entriesMax
    this.#bytesMax = bytesMax
  }

  /** Whether anything is kept from one call to the next: where not, no key is worth its digest. */
  get keeps(): boolean {
    return this.#entriesMax > 0
  }

  get size(): number {
    return this.#entries.size
  }

  get<T>(slot: Slot<T>, key: string, at: UnixSeconds): T | undefined {
    const entry = this.#entries.get(`${slot.name} ${key}`)
    return !entry || at < entry.from || at > entry.until ? undefined : (entry.value as T)
  }

  set<T>(slot: Slot<T>, key: string, result: Remembered<T>): void {
    const size = result.size * sizeFactor
    if (!this.keeps || size > this.#bytesMax || result.from > result.until) return
    freeze(result.value)
    this.#entries.set(`${slot.name} ${key}`, { ...result, size }, size)
  }
}

/** What is handed out again and again stays as it was verified. Views of bytes cannot be frozen; none leave the verifier. */
function freeze(value: unknown): void {
  if (value === null || typeof value !== 'object' || ArrayBuffer.isView(value) || Object.isFrozen(value)) return
  Object.freeze(value)
  for (const member of Object.values(value)) freeze(member)
}

/**
 * Empty caches.
 *
 * entriesMax  how many results are kept, and how many links of chains
 * bytesMax    how much they may take, roughly
 */
export function makeCaches({ entriesMax = 4096, bytesMax = 64 * 1024 * 1024 } = {}): Caches {
  return new Caches(new Shelf(entriesMax, bytesMax), new LinkCache(entriesMax), [newCounter()])
}

/** Keep nothing. */
export function noCaches(): Caches {
  return new Caches(new Shelf(0, 0), undefined, [newCounter()])
}

/** A key for exactly these parts, each of them whole: texts stand behind their length, bytes are named by their digest. */
export function keyOf(...parts: readonly (Uint8Array | string)[]): string {
  const spelled = parts.map((part) => (typeof part === 'string' ? `${part.length}:${part}` : `=${sha256Hex(part)}`))
  return sha256Hex(spelled.join(''))
}

/** The time in which all of these hold, both ends included. */
export function whileAll(
  intervals: readonly { readonly from: UnixSeconds; readonly until: UnixSeconds }[],
): Pick<Remembered<unknown>, 'from' | 'until'> {
  return {
    from: Math.max(...intervals.map(({ from }) => from)),
    until: Math.min(...intervals.map(({ until }) => until)),
  }
}

/** What is remembered for this time, or else what `verify` establishes now. */
export async function remembered<T>(
  caches: Caches,
  slot: Slot<T>,
  key: () => string,
  at: UnixSeconds,
  verify: () => Promise<Remembered<T>>,
): Promise<T> {
  if (!caches.keeps) return (await verify()).value
  const id = key()
  const known = caches.get(slot, id, at)
  if (known !== undefined) return known
  const result = await verify()
  caches.set(slot, id, result)
  return result.value
}
