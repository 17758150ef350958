import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatTime, parseTime, timeOf } from '#core/time.js'

const end = 253_402_300_799 // the last second of the year 9999

test('a time is read as it is written, and as the platform reads it', () => {
  fc.assert(
    fc.property(fc.integer({ min: -62_167_219_200, max: end }), (at) => {
      const text = formatTime(at)
      expect(parseTime(text)).toBe(at)
      expect(Date.parse(text) / 1000).toBe(at)
    }),
    { numRuns: 2000 },
  )
})

test('a date that the platform would carry into the next month, day or hour is none', () => {
  const one = (max: number) => fc.nat(max)
  fc.assert(
    fc.property(one(9999), one(14), one(33), one(25), one(61), one(61), (year, month, day, hour, minute, second) => {
      const date = new Date(0)
      date.setUTCFullYear(year, month - 1, day)
      date.setUTCHours(hour, minute, second)
      const kept =
        date.getUTCMonth() === month - 1 &&
        date.getUTCDate() === day &&
        [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].join() === [hour, minute, second].join()
      expect(timeOf(year, month, day, hour, minute, second)).toBe(kept ? date.getTime() / 1000 : undefined)
    }),
    { numRuns: 5000 },
  )
})

test.each([
  '2023-02-29T00:00:00Z',
  '1900-02-29T00:00:00Z',
  '2026-11-25T24:00:00Z',
  '2026-11-25T09:13:60Z',
  '2026-11-25T09:13:25',
  '2026-11-25T09:13:25.000Z',
  '2026-11-25 09:13:25Z',
  '2026-11-25t09:13:25z',
  '+026-11-25T09:13:25Z',
  '2026-1 -25T09:13:25Z',
  '12026-11-25T09:13:25Z',
  '',
])('%j is no time', (text) => {
  expect(parseTime(text)).toBeUndefined()
})
