/** What belongs here: the unit of time. Pure code never reads a clock: time is an argument. */

/** Whole seconds since 1970-01-01T00:00:00Z. */
export type UnixSeconds = number

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
  if (text.length !== 20) return undefined
  const digits = (at: number, count: number): number => {
    let number = 0
    for (let i = at; i < at + count; i++) {
      const digit = text.charCodeAt(i) - 0x30
      number = digit >= 0 && digit <= 9 ? number * 10 + digit : Number.NaN
    }
    return number
  }
  const marks = text[4] === '-' && text[7] === '-' && text[10] === 'T' && text[13] === ':' && text[16] === ':'
  if (!marks || text[19] !== 'Z') return undefined
  const [year, month, day] = [digits(0, 4), digits(5, 2), digits(8, 2)]
  const [hour, minute, second] = [digits(11, 2), digits(14, 2), digits(17, 2)]
  const isNumber = !Number.isNaN(year + month + day + hour + minute + second)
  return isNumber ? timeOf(year, month, day, hour, minute, second) : undefined
}
