/** What belongs here: the unit of time. Pure code never reads a clock: time is an argument. */

/** Whole seconds since 1970-01-01T00:00:00Z. */
export type UnixSeconds = number

/** `2026-11-25T09:13:25Z` for a time in whole seconds. */
export function formatTime(at: UnixSeconds): string {
  return new Date(at * 1000).toISOString().replace('.000Z', 'Z')
}
