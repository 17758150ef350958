/**
 * What belongs in console: the web face of Claviger. Pages are written on the server (`pages/`) and served as they are
 * (`service/`); what a page works out, it works out in the browser (`islands/`), by the functions that the command line calls.
 * No verdict is made by the server.
 */

import type { AttestationResult } from '#attest/result.js'
import { besideMachine, catalogue } from '#attest/steps.js'
import type { KindSteps, Step } from '#attest/trace.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** A table of the checks page. */
export interface CheckTable extends KindSteps {
  readonly kind: string
}

/** Every step and comparison there is, as docs/spec/checks.md lists them too. */
export const checkTables: readonly CheckTable[] = [
  ...Object.entries(catalogue).map(([kind, { steps, checks }]) => ({ kind, steps, checks })),
  { kind: 'composite', steps: [], checks: besideMachine.filter(({ id }) => id.startsWith('devices/')) },
]

/** Where a step of a kind stands on the checks page. An id alone is an anchor too: that of its line in the list of all ids. */
export const anchorOf = (kind: string, id: string) => `${kind}:${id}`

/** Every id with the kinds that have it, in the order in which they come. */
export function kindsById(): ReadonlyMap<string, readonly string[]> {
  const all = new Map<string, string[]>()
  const add = (kind: string, { id }: Step) => {
    const kinds = all.get(id)
    if (kinds === undefined) all.set(id, [kind])
    else if (!kinds.includes(kind)) kinds.push(kind)
  }
  for (const { kind, steps, checks } of checkTables) for (const step of [...steps, ...checks]) add(kind, step)
  return all
}

/** The anchors of a result's trace, line by line: of composite evidence the machine's come first, then those of devices. */
export function anchorsOfTrace(result: AttestationResult<AnyEvidence>): readonly string[] {
  const machine = result.parts[0] ?? result
  return result.steps.map(({ id }, i) => {
    if (i < machine.steps.length) return anchorOf(machine.kind, id)
    return anchorOf(id.startsWith('devices/') ? 'composite' : 'gpu', id)
  })
}
