import type { TracedStep } from '#attest/trace.js'
import { element, type Piece } from '#console/islands/element.js'

/** How a verdict is written: a mark that is no word, for the eye, and the word. */
const signs = { pass: ['✓', 'pass'], fail: ['✗', 'fail'], skip: ['–', 'skipped'] } as const

function row(name: string, text: string): readonly Piece[] {
  return text === '' ? [] : [element('dt', {}, name), element('dd', {}, text)]
}

/** One line of the trace, with its id leading to the page of checks. */
function stepItem(step: TracedStep, anchor: string): HTMLLIElement {
  const [mark, word] = signs[step.verdict]
  const found = step.code === null ? step.found : `${step.found} (${step.code})`
  return element(
    'li',
    { 'data-id': step.id, 'data-verdict': step.verdict, 'data-anchor': anchor },
    element(
      'p',
      { class: 'head' },
      element('span', { class: `sign ${step.verdict}` }, element('span', { 'aria-hidden': 'true' }, mark), ` ${word}`),
      ' ',
      element('a', { href: `/checks#${anchor}`, target: '_blank', rel: 'noopener' }, element('code', {}, step.id)),
      step.warning ? element('strong', { class: 'warning' }, ' warning') : null,
    ),
    element(
      'dl',
      {},
      ...row(step.verdict === 'skip' ? 'reason' : 'found', found),
      ...row('expected', step.expected),
      ...row('hint', step.hint),
      ...row('section', `${step.document}, “${step.section}”`),
    ),
  )
}

/** The whole trace, in order. */
export function traceList(steps: readonly TracedStep[], anchors: readonly string[]): readonly Piece[] {
  const count = (verdict: TracedStep['verdict']) => steps.filter((step) => step.verdict === verdict).length
  return [
    element('h3', {}, 'Trace'),
    element(
      'p',
      {},
      `${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped. A skipped step was not verified. An id opens its line of the checks page in a new tab.`,
    ),
    element('ol', { class: 'steps' }, ...steps.map((step, i) => stepItem(step, anchors[i]!))),
  ]
}
