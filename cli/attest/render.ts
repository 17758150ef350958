import type { TracedStep } from '#attest/trace.js'
import { type Io, paint, printable } from '#cli/output.js'

const widthMax = 400

function cut(text: string): string {
  const shown = printable(text)
  return shown.length > widthMax ? `${shown.slice(0, widthMax)}...` : shown
}

/**
 * The trace, as a test runner prints it: a mark and the id, what was found, and for what did not pass what was expected,
 * what mends it and which section says so. A run of steps that were skipped for one reason is one line.
 *
 * verbose  expectation and section of the steps that passed too, and every skipped step by itself
 */
export function renderTrace(steps: readonly TracedStep[], verbose: boolean, io: Io): string {
  const width = Math.min(24, Math.max(...steps.map((step) => step.id.length)))
  return (verbose ? steps.map((step) => [step]) : groups(steps))
    .map((group) => (group.length > 1 ? skippedLine(group, io) : stepLines(group[0]!, width, verbose, io)))
    .join('')
}

const isSkip = (step: TracedStep) => step.verdict === 'skip'

/** Each step by itself, and neighbours that were skipped for the same reason together. */
function groups(steps: readonly TracedStep[]): readonly (readonly TracedStep[])[] {
  const out: TracedStep[][] = []
  for (const step of steps) {
    const last = out.at(-1)
    if (last && isSkip(step) && isSkip(last[0]!) && last[0]!.found === step.found) last.push(step)
    else out.push([step])
  }
  return out
}

function skippedLine(group: readonly TracedStep[], io: Io): string {
  const ids = group.map((step) => step.id)
  const shown = ids.length > 4 ? `${ids.slice(0, 3).join(', ')} and ${ids.length - 3} more` : ids.join(', ')
  return `${paint(io, 'dim', '–')} ${shown}\n    ${paint(io, 'dim', 'skipped:')}  ${cut(group[0]!.found)}\n`
}

function stepLines(step: TracedStep, width: number, verbose: boolean, io: Io): string {
  const mark = { pass: paint(io, 'green', '✓'), fail: paint(io, 'red', '✗'), skip: paint(io, 'dim', '–') }[step.verdict]
  const row = (name: string, text: string) =>
    text === '' ? '' : `    ${paint(io, 'dim', `${name}:`.padEnd(10))} ${cut(text)}\n`
  const source = `${step.document}, "${step.section}"`
  if (step.verdict === 'skip')
    return `${mark} ${step.id}\n${row('skipped', step.found)}${row('expected', step.expected)}${row('section', source)}`
  if (step.verdict === 'pass') {
    const warning = step.warning ? `${paint(io, 'yellow', 'warning:')} ` : ''
    return `${mark} ${step.id.padEnd(width)} ${warning}${cut(step.found)}\n${verbose ? row('expected', step.expected) : ''}${row('hint', step.hint)}${verbose ? row('section', source) : ''}`
  }
  const found = step.code === null ? step.found : `${step.found} (${step.code})`
  return `${mark} ${step.id}\n${row('found', found)}${row('expected', step.expected)}${row('hint', step.hint)}${row('section', source)}`
}
