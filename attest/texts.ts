import type { Caches, Slot } from '#attest/caches.js'
import { sha256Hex } from '#core/crypto/hash.js'
import { canonicalMembers, canonicalText } from '#core/encoding/json.js'

/** Texts and what holds them: collateral of every kind. */
export type Texts = string | null | readonly Texts[] | { readonly [name: string]: Texts }

/** Tells apart what differs in what vendors change; the rest is told apart by comparing whole texts. */
function summary(texts: Texts): string {
  if (texts === null) return 'null'
  if (typeof texts === 'string') return `${texts.length}:${texts.slice(-24)}`
  return `{${Object.entries(texts)
    .map(([name, one]) => `${name}:${summary(one)}`)
    .join(' ')}}`
}

function isSame(a: Texts, b: Texts): boolean {
  if (a === null || b === null || typeof a === 'string' || typeof b === 'string') return a === b
  const [left, right] = [Object.entries(a), b as { readonly [name: string]: Texts }]
  return (
    Array.isArray(a) === Array.isArray(b) &&
    left.length === Object.keys(b).length &&
    left.every(([name, one]) => Object.hasOwn(right, name) && isSame(one, right[name]!))
  )
}

const sizeOf = (texts: Texts): number =>
  texts === null
    ? 4
    : typeof texts === 'string'
      ? texts.length
      : Object.values(texts).reduce((sum, one) => sum + sizeOf(one), 2)

/**
 * What was made before of exactly these texts, which hold for all times, or else what `make` makes of them now and for all
 * callers. Texts are compared, not hashed, which costs a fiftieth. Nothing is kept when `make` throws.
 */
export async function ofTexts<T>(
  caches: Caches,
  slot: Slot<{ readonly texts: Texts; readonly made: T }>,
  texts: Texts,
  make: () => Promise<T>,
): Promise<T> {
  return knownOf(caches, slot, texts)?.made ?? keep(caches, slot, texts, await make())
}

function knownOf<T>(
  caches: Caches,
  slot: Slot<{ readonly texts: Texts; readonly made: T }>,
  texts: Texts,
): { readonly made: T } | undefined {
  if (!caches.keeps) return undefined
  const known = caches.get(slot, summary(texts), 0)
  return known && isSame(known.texts, texts) ? known : undefined
}

function keep<T>(caches: Caches, slot: Slot<{ readonly texts: Texts; readonly made: T }>, texts: Texts, made: T): T {
  if (!caches.keeps) return made
  const value = { texts: structuredClone(texts), made }
  caches.set(slot, summary(texts), { value, from: 0, until: Number.MAX_SAFE_INTEGER, size: sizeOf(texts) })
  return made
}

/** The canonical text of verified collateral, that of each of its members, and the SHA-256 of the whole in hex. */
export interface WrittenTexts {
  readonly canonical: string
  readonly members: Readonly<Record<string, string>>
  readonly digest: string
}
const writtenSlot: Slot<{ readonly texts: Texts; readonly made: WrittenTexts }> = { name: 'texts' }

/** What was written before of exactly these texts. */
export function written(caches: Caches, texts: Texts): WrittenTexts | undefined {
  return knownOf(caches, writtenSlot, texts)?.made
}

/** The digest of collateral: of its canonical JSON, as results name it. */
export function textsDigest(caches: Caches, texts: Texts): string {
  return written(caches, texts)?.digest ?? sha256Hex(canonicalText(texts, (text) => caches.hasDecoded(text)))
}

/** Writes verified collateral once, for `written` to find. */
export function write(caches: Caches, texts: Texts): WrittenTexts {
  const isDecoded = (text: string) => caches.hasDecoded(text)
  const isObject = texts !== null && typeof texts === 'object' && !Array.isArray(texts)
  const members = Object.fromEntries(
    Object.entries(isObject ? texts : {}).map(([name, one]) => [name, canonicalText(one, isDecoded)] as const),
  )
  const canonical = isObject ? canonicalMembers(members) : canonicalText(texts, isDecoded)
  return keep(caches, writtenSlot, texts, { canonical, members, digest: sha256Hex(canonical) })
}
