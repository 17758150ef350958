import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import axe from 'axe-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renderReport } from '#client/report/content.js'
import type { Report } from '#client/report/model.js'
import { libraryPolicy } from '#policies/library/read.js'
import { openPage, type Page } from '#test/fakes/browser.js'
import { outside } from '#test/fakes/outside.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { ask, change, readersTrust, registered, startTime, testNode } from '#test/keybroker/fixtures.js'
import { asked, makeSources, operator, placed } from './credentials.js'
import { reportOn } from './fixtures.js'
import { attacks, inTheWordsOf } from './hostile.js'

const { open } = anyDatabase()
const chromium = outside('chromium')
const work = mkdtempSync(join(tmpdir(), 'claviger-report-'))
let report: Report
let page: Page

beforeAll(async () => {
  const policy = libraryPolicy('eu-personal-data').text.replace('context.evidence.tier == "affirming" &&', '')
  const chain = await registered(await open(), { policy })
  const world = await makeSources({ now: startTime })
  await change(chain, 'sources', world.body)
  await asked(chain, world, [operator('FR'), placed])
  const host = { country: 'DE', legalName: attacks[0]! }
  await ask(chain, await testNode(chain, { host }))
  const keeper = { alias: 'keeper', key: world.keeper.publicKey }
  report = await reportOn(chain, { trust: { ...readersTrust(chain), registries: [keeper], issuers: [keeper] } })
  await chain.test.close()
  if (chromium !== undefined) page = await openPage(chromium)
}, 60_000)
afterAll(async () => {
  await page?.close()
  rmSync(work, { recursive: true, force: true })
})

/** A report of every part that there is: with what is left out of that one. */
function full(): Report {
  const [at] = report.brokers
  const broker = {
    ...at!,
    splitAmong: ['one', 'two', 'three'],
    acts: [{ entry: 1, at: startTime, says: 'the operator put back an older database' }],
    notVerified: [{ entry: 2, code: 'client/bundle-splice', message: 'not so' }],
    policies: at!.policies.map((one) => ({ ...one, accepts: 'any-genuine-chip' })),
    changes: at!.changes.map((one) => ({ ...one, why: { code: 'routine', note: 'a note' } })),
    log: { ...at!.log, isWhole: false, unnamed: [3], notLookedAt: 4, others: 5, unreadable: 6 },
  }
  return { ...report, brokers: [broker] }
}

/** Markdown without what stands in code, which nothing makes markup of. source: CommonMark, "Code spans", "Fenced code blocks" */
function withoutCode(markdown: string): string {
  const fenced = /^(~{3,})text\n[\s\S]*?\n\1$/gm
  const escapedOrSpan = /\\[!-/:-@[-`{-~]|(?<!`)(`+)(?!`)([\s\S]*?[^`])\1(?!`)/g
  return markdown.replace(fenced, 'LISTING').replace(escapedOrSpan, (found) => (found.startsWith('\\') ? 'E' : 'CODE'))
}
/** What a line is: so that text which became markup shows. Cells end at a pipe wherever it stands, in code too. */
const shapeOf = (markdown: string) => {
  const cells = (row: string) => row.replace(/\\[\\|]/g, '').split('|').length
  const written = markdown.replace(/^\|.*$/gm, (row) => `| row of ${cells(row)}`)
  const kinds = /^(\| row of \d+$|#+ |> |- |LISTING$|$)/
  return withoutCode(written)
    .split('\n')
    .map((one) => kinds.exec(one)?.[1] ?? 'text')
}

describe('Markdown', () => {
  test.each(attacks)('has %j as text wherever somebody chose a word', (attack) => {
    const markdown = renderReport(inTheWordsOf(full(), attack), 'md')
    const rest = withoutCode(markdown)
    expect(rest.match(/<(?!https:\/\/broker\.example\/)/g)).toBeNull()
    expect(
      [...rest.matchAll(/\]\(([^)]*)\)/g)].filter(([, to]) => !to!.startsWith('<https://broker.example/')),
    ).toEqual([])
    expect(rest.replaceAll(/\]\(<https:[^>]*>\)/g, '')).not.toMatch(/:\/\/|www\.|@|mailto:/)
    const bold = (text: string) => text.match(/\*\*/g)?.length
    expect(bold(rest)).toBe(bold(withoutCode(renderReport(inTheWordsOf(full(), 'word'), 'md'))))
    expect(rest).not.toMatch(/[`~_$&]|!\[/)
    // Nothing that controls a terminal, or turns what stands around it.
    expect(markdown).not.toMatch(/[\p{Cf}\u0000-\u0009\u000b-\u001f]/u)
    const listings = (shape: string[]) => shape.filter((one) => one !== 'LISTING')
    expect(listings(shapeOf(markdown))).toEqual(listings(shapeOf(renderReport(inTheWordsOf(full(), 'word'), 'md'))))
  })

  test('quotes the rules letter for letter, and is the same for the same report', () => {
    const markdown = renderReport(report, 'md')
    expect(markdown).toContain(report.brokers[0]!.policies[0]!.rules[0]!.text)
    expect(renderReport(structuredClone(report), 'md')).toBe(markdown)
    expect(markdown.indexOf('Not legal advice')).toBeLessThan(200)
  })
})

/** Every tag of a document with its attributes, but for what is text in them. */
const tagsOf = (html: string) =>
  [...html.replace(/<style>[\s\S]*<\/style>/, '').matchAll(/<[^>]*>/g)].map(([tag]) => tag.replace(/"[^"]*"/g, '""'))

describe('HTML', () => {
  test.each(attacks)('has %j as text wherever somebody chose a word', (attack) => {
    const html = renderReport(inTheWordsOf(full(), attack), 'html')
    expect(tagsOf(html)).toEqual(tagsOf(renderReport(inTheWordsOf(full(), 'word'), 'html')))
    const addresses = [...html.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, to]) => to!)
    expect(addresses.filter((to) => !/^(#[a-z0-9-]+|https:\/\/broker\.example\/[\w./-]+)$/.test(to))).toEqual([])
    expect(html).not.toMatch(/<script|javascript:| on[a-z]+="/)
    expect(html.replaceAll('\n', '')).not.toMatch(/[\p{Cf}\p{Cc}]/u)
  })

  test('says the same as Markdown', () => {
    const plain = (text: string) => text.replace(/[^A-Za-z0-9]+/g, ' ')
    const html = renderReport(full(), 'html')
      .replace(/<head>[\s\S]*<\/head>|<nav[\s\S]*<\/nav>/g, '')
      .replace(/<[^>]*>/g, ' ')
      .replace(/&(amp|lt|gt|quot|#39);/g, ' ')
    for (const line of renderReport(full(), 'md').split('\n')) {
      const words = plain(line.replace(/\]\(<[^>]*>\)/g, '').replace(/^(~~~text|~~~|\| --- .*)$/, ''))
      expect(plain(html)).toContain(words.trim())
    }
  })

  test.skipIf(chromium === undefined)(
    'in a browser shows its style, runs and loads nothing, and axe finds nothing',
    async () => {
      const file = join(work, 'report.html')
      writeFileSync(file, renderReport(inTheWordsOf(full(), attacks[0]!), 'html'))
      const url = pathToFileURL(file).href
      await page.open(url)
      const style = await page.evaluate<string>(`getComputedStyle(document.querySelector('.note')).borderLeftWidth`)
      expect([style, await page.evaluate<string>('document.title'), page.complaints]).toEqual([
        '4px',
        'Compliance report: whisper',
        [],
      ])
      expect(page.requests.filter((one) => one !== url)).toEqual([])
      await page.evaluate(
        `document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = "ran"' }))`,
      )
      expect(await page.evaluate<string>('document.title')).toBe('Compliance report: whisper')
      // axe writes styles of its own, which the page's policy is there to refuse.
      await page.send('Page.setBypassCSP', { enabled: true })
      for (const scheme of ['light', 'dark']) {
        await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
        await page.send('Emulation.setDeviceMetricsOverride', {
          width: 360,
          height: 800,
          deviceScaleFactor: 1,
          mobile: false,
        })
        await page.open(url)
        expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
        await page.evaluate(`${axe.source}; undefined`)
        const found = `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes[0].html))`
        expect(await page.evaluate<readonly string[]>(found)).toEqual([])
      }
    },
    60_000,
  )
})

/** The names that stand at each place of a document, of all items of a list together. */
function membersOf(value: unknown, at = '', found = new Set<string>()): Set<string> {
  if (Array.isArray(value)) for (const one of value) membersOf(one, at, found)
  else if (value !== null && typeof value === 'object')
    for (const [name, one] of Object.entries(value)) membersOf(one, `${at}.${name}`, found.add(`${at}.${name}`))
  return found
}

test('the example of docs/spec/policy-report.md is a report', () => {
  const page = readFileSync('docs/spec/policy-report.md', 'utf8')
  const example = JSON.parse(/```json\n([\s\S]*?)\n```/.exec(page)![1]!) as Report
  const extra = ['.brokers.acts.', '.brokers.notVerified.', '.brokers.changes.why.']
  const isShown = (path: string) => !extra.some((one) => path.startsWith(one))
  expect([...membersOf(example)].sort()).toEqual([...membersOf(full())].filter(isShown).sort())
  expect(renderReport(example, 'md')).toContain('- `context.site`: A platform that was moved')
})

test('several brokers are told apart', () => {
  const two = { ...report, brokers: [full().brokers[0]!, { ...full().brokers[0]!, url: 'https://second.example/' }] }
  const html = renderReport(two, 'html')
  const ids = [...html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(html).toContain('https://second.example/v1/log/proofs/')
  const markdown = renderReport(two, 'md')
  expect(markdown).toContain('## Decisions of the period (broker 2)'.replace(/[()]/g, '\\$&'))
  expect(markdown).toContain('the key is split among one, three, two, and this report is about 2 of them')
})
