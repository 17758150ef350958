import { verdictDocument, vouchedBy } from '#attest/reader/outcome.js'
import { anchorsOfTrace } from '#console/anchors.js'
import { collateralFolder, commandLine } from '#console/command.js'
import { earSummary } from '#console/islands/ear.js'
import { byId, element, type Piece } from '#console/islands/element.js'
import { pastedName } from '#console/islands/form.js'
import { traceList } from '#console/islands/trace.js'
import type { FormInput, Judged } from '#console/judge.js'
import type { Failure } from '#core/failure.js'
import { formatTime } from '#core/time.js'

/** The verdict by a mark, a word and a colour, of which the word alone would do. */
const marks = { green: '✓', yellow: '–', red: '✗' } as const

/** Puts it where verdicts stand, and leads reader and screen reader there. */
function present(heading: string, mark: string, state: string, pieces: readonly Piece[]): void {
  const section = byId('result', HTMLElement)
  const verdict = element('h2', { id: 'verdict', class: `verdict ${state}` })
  verdict.append(element('span', { 'aria-hidden': 'true' }, `${mark} `), element('span', { class: 'word' }, heading))
  section.replaceChildren(verdict, ...pieces.filter((piece) => piece !== null))
  section.hidden = false
  section.focus()
  byId('announced', HTMLParagraphElement).textContent = heading
}

const hintList = (hints: readonly string[]): Piece =>
  hints.length === 0
    ? null
    : element('ul', { class: 'hints' }, ...hints.map((hint) => element('li', {}, `hint: ${hint}`)))

function hintOf({ detail }: Failure): readonly string[] {
  return typeof detail?.hint === 'string' ? [detail.hint] : []
}

/** Bytes that are no evidence, which is a verdict against. */
export function showRefused(failure: Failure): void {
  present('NOT VERIFIED', marks.red, 'red', [
    element('p', { class: 'failure' }, `${failure.message} (${failure.code})`),
    hintList(hintOf(failure)),
  ])
}

/** What was typed or chosen wrongly: there is no verdict. */
export function showTrouble(failure: Pick<Failure, 'code' | 'message' | 'detail'>): void {
  present('NOT JUDGED: there is no verdict', '!', 'red', [
    element('p', { class: 'failure' }, `${failure.message} (${failure.code})`),
    hintList(hintOf(failure as Failure)),
  ])
}

function repeatIt(form: FormInput, judged: Judged): readonly Piece[] {
  const line = commandLine(form, judged.result.at)
  const files = [
    form.collateral.length > 0 ? `Put the files beside the evidence into a folder named ${collateralFolder}.` : '',
    form.evidence.name === pastedName ? `Save the text as ${pastedName}.` : '',
  ].join(' ')
  const exit = judged.outcome.accepted ? 'ends with 0' : 'ends with 3'
  return [
    element('h3', {}, 'Repeat it without this page'),
    element(
      'pre',
      { class: 'command', tabindex: 0, 'aria-label': 'Command that repeats it' },
      element('code', {}, line),
    ),
    element('p', {}, `From your own copy of Claviger it ${exit}, and with --json it prints the same steps. ${files}`),
  ]
}

/** The same document as the command prints with `--json`, for saving. */
function saveLink({ found, provenance, result, outcome }: Judged): HTMLAnchorElement {
  const text = `${JSON.stringify(verdictDocument(found, provenance, result, outcome), null, 2)}\n`
  const link = element('a', { download: 'verdict.json', class: 'save' }, 'Save verdict and trace as JSON')
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  return link
}

/** The verdict with all that it rests on. */
export function showJudged(form: FormInput, judged: Judged): void {
  const { found, provenance, result, outcome, hints } = judged
  const { evidence, vendor } = result.signatures
  const notes = [
    ...found.notes,
    ...(provenance === null ? [] : [vouchedBy(provenance)]),
    ...(result.kind === 'gpu' ? ['a verdict on devices says nothing of the machine that asked them'] : []),
    `signatures verified: ${evidence} of the evidence, ${vendor} of the vendor`,
  ]
  // A verdict that is not relied on does not look like one that is.
  const state =
    outcome.colour === 'red' ? 'red' : outcome.accepted && result.platform === 'hardware' ? 'green' : 'yellow'
  present(outcome.word, marks[state], state, [
    result.platform === 'simulated'
      ? element(
          'p',
          { class: 'simulated' },
          'NOT HARDWARE: this evidence is simulated, and proves nothing about any machine.',
        )
      : null,
    element(
      'p',
      {},
      element('strong', {}, found.recognised.title),
      `, judged at ${formatTime(result.at)} in this browser`,
    ),
    element('ul', {}, ...notes.map((note) => element('li', {}, note))),
    hintList(hints),
    ...traceList(result.steps, anchorsOfTrace(result)),
    ...earSummary(result),
    ...repeatIt(form, judged),
    element('p', {}, saveLink(judged)),
  ])
}
