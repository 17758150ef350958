import { assert } from '#core/assert.js'

/** What belongs here: the unit of time. Pure code never reads a clock: time is an argument. */

/** Whole seconds since 1970-01-01T00:00:00Z. */
export type UnixSeconds = number

/**
 * Invariant: what is judged is judged at a time. Against a time that is none (NaN, or left out where nobody compiles types) no
 * date is ever over, so that it is a bug of the caller before anything is compared with it.
 */
export function assertTime(at: UnixSeconds): void {
  assert(Number.isSafeInteger(at), 'the time to judge at is a whole number of seconds')
}

/** `2026-11-25T09:13:25Z` for a time in whole seconds. */
export function formatTime(at: UnixSeconds): string {
  return new Date(at * 1000).toISOString().replace('.000Z', 'Z')
}

/** Days of the months of a year that is no leap year. */
const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

/**
 * The time of a date of the Gregorian calendar, years 0 to 9999; undefined for a date or a time of day that does not exist:
 * nothing is carried into the next day or month. There is no leap second.
 */
export function timeOf(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): UnixSeconds | undefined {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const days = month === 2 && isLeap ? 29 : monthDays[month - 1]
  if (days === undefined || day < 1 || day > days || hour > 23 || minute > 59 || second > 59) return undefined
  // Years begin in March, so that a leap day is the last of one: source: Hinnant, "chrono-Compatible Low-Level Date Algorithms"
  const [years, months] = month > 2 ? [year, month - 3] : [year - 1, month + 9]
  const ofYear = Math.floor((153 * months + 2) / 5) + day - 1
  const leaps = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400)
  return (years * 365 + leaps + ofYear - 719_468) * 86_400 + hour * 3600 + minute * 60 + second
}

/** The time that such a text spells, and no other text: `2026-11-25T09:13:25Z`; undefined for any other. */
export function parseTime(text: string): UnixSeconds | undefined {
  return text.length === 20 ? timeOfCodes((at) => text.charCodeAt(at)) : undefined
}

/** The same for the codes of 20 characters. */
export function timeOfCodes(code: (at: number) => number): UnixSeconds | undefined {
  let wrong = code(4) !== 0x2d || code(7) !== 0x2d || code(10) !== 0x54 || code(13) !== 0x3a || code(16) !== 0x3a
  wrong ||= code(19) !== 0x5a
  const two = (at: number): number => {
    const [tens, ones] = [code(at) - 0x30, code(at + 1) - 0x30]
    if (!(tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9)) wrong = true
    return tens * 10 + ones
  }
  const at = timeOf(two(0) * 100 + two(2), two(5), two(8), two(11), two(14), two(17))
  return wrong ? undefined : at
}
