import { Failure } from '#core/failure.js'
import type { Asked } from '#policies/exhaust/asked.js'
import type { ExhaustCode } from '#policies/exhaust/failures.js'
import { factWord } from '#policies/language/vocabulary.js'
import { isCountry } from '#policies/registry/countries.js'

/** What a fact may be in a world; undefined where it is absent. */
export type Value = string | number | boolean | readonly string[] | undefined

// A set that is asked about this many elements has 65,536 values: more than anybody waits for with a second fact.
const elementsMax = 16

/**
 * Values of a fact of which each stands for all that the rules cannot tell from it, the barest first: absent, false, the
 * empty set, a text or number that no rule names.
 *
 * canBe   whether facts may have this value at this path: what they can never be is no world
 * throws  exhaust/worlds
 */
export function valuesOf(asked: Asked, canBe: CanBe): readonly Value[] {
  const accepts = (value: Value) => canBe(asked.path, value)
  const word = factWord(asked.path)
  const absent = word?.mayBeAbsent === true && accepts(undefined) ? [undefined] : []
  if (word?.type === 'Bool') return [...absent, ...[false, true].filter(accepts)]
  if (word?.type === 'Long') return [...absent, ...numbersOf(asked, accepts)]
  const literals = [...asked.values].filter((one) => typeof one === 'string')
  const elements = [...othersOf(asked, literals, canBe), ...literals.filter((one) => takes(canBe, asked.path, one))]
  return [...absent, ...(word?.type === 'String' ? elements : setsOf(asked, elements).filter(accepts))]
}

export type CanBe = (path: string, value: Value) => boolean

/** Whether a fact may be this text, or have it as an element. */
function takes(canBe: CanBe, path: string, text: string): boolean {
  return canBe(path, factWord(path)?.type === 'Set<String>' ? [text] : text)
}

function setsOf(asked: Asked, elements: readonly string[]): readonly (readonly string[])[] {
  if (elements.length > elementsMax) throw tooMany(`context.${asked.path} alone may be 2^${elements.length} sets`)
  return subsetsOf(elements)
}

/** Every subset, the smallest first, each sorted as facts have it. */
function subsetsOf(elements: readonly string[]): readonly (readonly string[])[] {
  const all = Array.from({ length: 2 ** elements.length }, (_, bits) =>
    elements.filter((_, i) => (bits & (1 << i)) !== 0).sort(),
  )
  return all.sort((a, b) => a.length - b.length)
}

/** Each literal, and as many numbers as are compared with one another below, between and above the literals. */
function numbersOf({ values, peers }: Asked, accepts: (value: Value) => boolean): readonly Value[] {
  const literals = [...values].filter((one) => typeof one === 'number').sort((a, b) => a - b)
  const bounds = [Number.NEGATIVE_INFINITY, ...literals, Number.POSITIVE_INFINITY]
  const between = bounds.slice(1).flatMap((above, i) => {
    const below = bounds[i]!
    const near = Array.from({ length: peers.size }, (_, n) => (Number.isFinite(below) ? below + 1 + n : above - 1 - n))
    const inside = [...near, ...ordinary].filter((one) => below < one && one < above && Number.isFinite(one))
    return [...new Set(inside)].filter(accepts).slice(0, peers.size)
  })
  return [...between, ...literals.filter(accepts)]
}

// Where the numbers beside a literal are none that a fact can be, one of these may be.
const ordinary = [0, 1, 2, 3, 4, 5, 100, 10_000, 1_790_000_000]

const letters = Array.from({ length: 26 }, (_, i) => String.fromCharCode(65 + i))
const countries = letters.flatMap((one) => letters.map((other) => one + other)).filter(isCountry)

// A fact has a form of its own, and takes the texts of one of these.
const forms: readonly ((i: number) => string | undefined)[] = [
  (i) => countries[i],
  (i) => `other-${i}`,
  (i) => `OTHER-${i}`,
  (i) => `Other${i}`,
  (i) => `OTHER:${i}`,
  (i) => letters[i % 26]!.repeat(43),
  (i) => (0xa0 + i).toString(16).repeat(32),
]

/**
 * As many texts that no rule names as there are facts that are compared with one another; fewer where the fact has no more.
 * They are the same for all of them, so that they can be equal, if there are texts that all of them take.
 */
function othersOf({ path, peers }: Asked, literals: readonly string[], canBe: CanBe): readonly string[] {
  const named = new Set(literals)
  const domain = factWord(path)?.domain
  const own = domain === undefined || domain === 'country' ? forms : [(i: number) => domain[i]]
  const found = own.map((form) => {
    const all = Array.from({ length: named.size + peers.size + 1 }, (_, i) => form(i))
    const texts = all.filter((one) => one !== undefined && !named.has(one) && takes(canBe, path, one)) as string[]
    const some = texts.slice(0, peers.size)
    const shared = [...peers].filter((peer) => some.length > 0 && some.every((one) => takes(canBe, peer, one)))
    return { some, rank: some.length * 100 + shared.length }
  })
  return found.reduce((best, one) => (one.rank > best.rank ? one : best)).some
}

/** What nobody waits for. */
export function tooMany(what: string): Failure<ExhaustCode> {
  return new Failure<ExhaustCode>('exhaust/worlds', `${what}: more worlds than are tried`, {
    detail: { hint: 'ask about fewer facts or values at once, or allow more with --max-worlds' },
  })
}
