import { type Io, paint, printable } from '#cli/output.js'
import type { Card, Source } from '#client/card.js'
import type { Step } from '#client/steps.js'

const colours: Readonly<Record<Source, Parameters<typeof paint>[1]>> = {
  'hardware-proven': 'green',
  simulated: 'magenta',
  'verifier-derived': 'green',
  'witness-attested': 'cyan',
  'log-signed': 'yellow',
  'owner-signed': 'cyan',
  'broker-signed': 'yellow',
  'node-signed': 'yellow',
  declared: 'yellow',
  'not stated': 'dim',
}

/** The lines of an answer card: the sentence, then each fact with who vouches for it, in words as well as in colour. */
export function renderCard(card: Card, io: Io): string {
  const width = Math.max(...card.facts.map((fact) => fact.label.length))
  const lines = card.facts.map(
    ({ label, value, source }) =>
      `  ${label.padEnd(width)}  ${paint(io, colours[source], `[${source}]`)} ${printable(value)}`,
  )
  const banner = card.notHardware ? `${paint(io, 'magenta', 'NOT HARDWARE: the evidence is simulated')}\n` : ''
  return `${banner}${paint(io, 'bold', printable(card.sentence))}\n${lines.join('\n')}\n`
}

/** One line a step: absent is `not checked`, never good. */
export function renderSteps(steps: readonly Step[], io: Io): string {
  const mark = {
    ok: paint(io, 'green', 'ok         '),
    failed: paint(io, 'red', 'FAILED     '),
    'not checked': paint(io, 'dim', 'not checked'),
  }
  return steps
    .map(
      (step) =>
        `  ${mark[step.status]} ${step.id.padEnd(18)} ${step.title}${step.code ? `: ${printable(step.message ?? '')} (${step.code})` : ''}\n`,
    )
    .join('')
}
