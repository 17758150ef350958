import { type Io, paint, printable } from '#cli/output.js'
import type { Reason } from '#core/wire/release.js'

/** A reason of a broker's as a person reads it: the rule, what it expected, what it found, what mends it. */
export function describeReason(io: Io, reason: Reason): string {
  const line = (label: string, text: string | null) =>
    text === null ? '' : `    ${label.padEnd(10)}${printable(text)}\n`
  return (
    `  ${paint(io, 'red', printable(reason.id))}${reason.explain === null ? '' : `: ${printable(reason.explain)}`}\n` +
    line('expected', reason.expected) +
    line('found', reason.actual) +
    line('remedy', reason.remedy) +
    line('law', reason.law)
  )
}
