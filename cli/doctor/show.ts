import type { Finding } from '#cli/doctor/finding.js'
import { type Io, paint, printable } from '#cli/output.js'

const marks = { ok: 'green', note: 'cyan', warning: 'yellow', skipped: 'yellow', fault: 'red' } as const

/** Findings for a person, one line each, with the line that mends it below. */
export function describeFindings(findings: readonly Finding[], io: Io): void {
  for (const { check, state, message, code, fix } of findings) {
    const tail = code === null ? '' : ` (${code})`
    io.stdout(`${paint(io, marks[state], state.padEnd(8))} ${check.padEnd(12)} ${printable(message)}${tail}\n`)
    if (fix !== null && state !== 'ok') io.stdout(`${' '.repeat(22)}${printable(fix)}\n`)
  }
}
