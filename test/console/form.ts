import type { TracedStep } from '#attest/trace.js'
import { printable } from '#core/shown.js'
import type { Page } from '#test/fakes/browser.js'
import { filesOfFolder, type Sample } from './samples.js'

/** One line of the trace as a reader sees it. */
export interface SeenStep {
  readonly id: string
  readonly verdict: string
  readonly sign: string
  readonly anchor: string
  readonly href: string
  readonly rows: Readonly<Record<string, string>>
}

/** What stands where verdicts stand. */
export interface Seen {
  readonly verdict: string
  readonly className: string
  readonly steps: readonly SeenStep[]
  readonly hints: readonly string[]
  readonly command: string
  /** what an EAR would say, by its terms */
  readonly ear: Readonly<Record<string, string>>
  readonly text: string
}

const readResult = `(() => {
  const result = document.getElementById('result')
  const text = (one) => one?.textContent ?? ''
  const rows = (list) => Object.fromEntries([...list.querySelectorAll('dt')].map((dt) => [text(dt), text(dt.nextElementSibling)]))
  return {
    verdict: text(result.querySelector('.verdict .word')),
    className: result.querySelector('.verdict').className,
    steps: [...result.querySelectorAll('ol.steps > li')].map((li) => ({
      id: text(li.querySelector('a')),
      verdict: li.dataset.verdict,
      sign: text(li.querySelector('.sign')),
      anchor: li.dataset.anchor,
      href: li.querySelector('a').getAttribute('href'),
      rows: rows(li.querySelector('dl')),
    })),
    hints: [...result.querySelectorAll('.hints li')].map(text),
    command: text(result.querySelector('.command')),
    ear: result.querySelector('.ear') === null ? {} : rows(result.querySelector('.ear')),
    text: text(result),
  }
})()`

/** Presses the button, and reads what is there when the page says that it is done. */
export async function submit(page: Page): Promise<Seen> {
  await page.evaluate(`(async () => {
    const button = document.querySelector('#verify button')
    button.click()
    while (button.disabled) await new Promise((done) => setTimeout(done, 5))
  })()`)
  return page.evaluate<Seen>(readResult)
}

/** Fills an empty form as the sample says, and sends it. */
export async function judgeOnPage(page: Page, url: string, sample: Sample): Promise<Seen> {
  // A page that is open is emptied, which is quicker than loading it again; what stood there before is gone.
  const isOpen = await page.evaluate<boolean>(`location.href === ${JSON.stringify(`${url}/`)}`)
  if (!isOpen) await page.open(url)
  await page.evaluate(
    `document.getElementById('verify').reset(); document.getElementById('result').replaceChildren(); undefined`,
  )
  const texts = {
    at: sample.at,
    nonce: sample.nonce,
    'report-data': sample.reportData,
    'simulated-root': sample.simulatedRoot?.join(' '),
  }
  for (const [id, text] of Object.entries(texts))
    if (text !== undefined)
      await page.evaluate(`document.getElementById('${id}').value = ${JSON.stringify(text)}; undefined`)
  if (sample.dangerousAllowSimulated === true)
    await page.evaluate(`document.getElementById('allow-simulated').checked = true; undefined`)
  const files = {
    evidence: [sample.file],
    collateral: sample.collateral === undefined ? [] : filesOfFolder(sample.collateral),
    binding: sample.binding === undefined ? [] : [sample.binding],
    'reference-values': sample.referenceValues === undefined ? [] : [sample.referenceValues],
    values: sample.values === undefined ? [] : [sample.values],
    trust: sample.trust === undefined ? [] : [sample.trust],
  }
  for (const [id, paths] of Object.entries(files)) if (paths.length > 0) await page.choose(id, paths)
  return submit(page)
}

/** A line of the trace as the page has to write it: nothing left out, and a skip not like a pass. */
export function asSeen(step: TracedStep): Omit<SeenStep, 'anchor' | 'href'> {
  const found = step.code === null ? step.found : `${step.found} (${step.code})`
  const signs = { pass: '✓ pass', fail: '✗ fail', skip: '– skipped' }
  const rows = {
    [step.verdict === 'skip' ? 'reason' : 'found']: found,
    expected: step.expected,
    hint: step.hint,
    section: `${step.document}, “${step.section}”`,
  }
  const shown = Object.entries(rows).filter(([, text]) => text !== '')
  return {
    id: step.id,
    verdict: step.verdict,
    sign: signs[step.verdict],
    rows: Object.fromEntries(shown.map(([name, text]) => [name, printable(text)])),
  }
}
