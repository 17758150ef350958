import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import axe from 'axe-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assemble, everyStepPassed, examineEvidence, poolOf, recognise, type TracedStep } from '#attest/index.js'
import { loadShippedCertificates } from '#attest/service/shipped.js'
import * as attest from '#cli/attest/verify.js'
import type { Io } from '#cli/output.js'
import { kindsById } from '#console/anchors.js'
import { makeConsoleApp } from '#console/service/app.js'
import { loadAssets } from '#console/service/assets.js'
import { fromHex } from '#core/bytes/bytes.js'
import { type Listening, listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import { packageRoot } from '#host/process.js'
import { farName, openPage, type Page } from '#test/fakes/browser.js'
import { outside } from '#test/fakes/outside.js'
import { testTime } from '#test/fakes/platform.js'
import { mintEvidence } from '#test/fakes/snp.js'
import { asSeen, judgeOnPage, submit } from './form.js'
import { filesOfFolder, mintedSamples, publishedSamples, type Sample } from './samples.js'

/* What belongs in test/console: the console's pages, by what a reader sees in a browser, and what the server says beside them. */

const chromium = outside('chromium')
const vectors = outside('vectors')
const work = mkdtempSync(join(tmpdir(), 'claviger-console-'))
const at = (name: string) => join(work, name)
let server: Listening
let page: Page
let minted: readonly Sample[]
let checks: string

beforeAll(async () => {
  // Where the command remembers trust files.
  process.env.XDG_STATE_HOME = at('state')
  minted = await mintedSamples(work)
  const assets = await loadAssets()
  const shipped = await loadShippedCertificates()
  server = await listen(
    await makeConsoleApp({ assets, shipped, version: '0.0.0', log: createLog('console', 'error') }),
    {
      host: '127.0.0.1',
      port: 0,
    },
  )
  checks = await (await fetch(`${server.url}/checks`)).text()
  if (chromium !== undefined) page = await openPage(chromium)
})
afterAll(async () => {
  await page?.close()
  await server.close()
  rmSync(work, { recursive: true, force: true })
})

interface Printed {
  readonly verdict: string
  readonly steps: readonly TracedStep[]
  readonly status: string
  readonly platform: string
  readonly policy: string
  readonly skipped: readonly string[]
  readonly digests: { readonly evidence: string; readonly collateral: string; readonly referenceValues: string }
}

/** What the command prints for machines, the hints that it gives beside it, and its exit code. */
async function byCommand(sample: Sample) {
  let [out, err] = ['', '']
  const io: Io = {
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
    isTerminal: false,
    now: () => testTime,
    exit: () => undefined,
    ask: async () => null,
  }
  const code = await attest.run({ ...sample, json: true }, io)
  const document = JSON.parse(out) as Printed
  return { code, out, document, hints: err.split('\n').filter((line) => line !== '') }
}

/** The trace by the library alone, as docs/attest.md calls it. */
async function byLibrary(sample: Sample): Promise<readonly TracedStep[]> {
  const paths = sample.collateral === undefined ? [] : filesOfFolder(sample.collateral)
  const beside = paths.map((path) => ({ name: basename(path), bytes: new Uint8Array(readFileSync(path)) }))
  const pool = poolOf([...beside, ...(await loadShippedCertificates())])
  const json = (path: string | undefined) => (path === undefined ? null : JSON.parse(readFileSync(path, 'utf8')))
  const result = await examineEvidence(
    assemble(recognise(new Uint8Array(readFileSync(sample.file))), pool),
    { simulatedRoots: sample.simulatedRoot ?? [] },
    {
      expectedReportData: sample.reportData === undefined ? null : fromHex(sample.reportData),
      expectedNonce: sample.nonce === undefined ? null : fromHex(sample.nonce),
      referenceValues: json(sample.referenceValues),
      tenantClass: 'development',
      at: Math.floor(Date.parse(sample.at!) / 1000),
    },
  )
  expect(everyStepPassed(result)).toBe(result.steps.every((step) => step.verdict === 'pass'))
  return result.steps
}

/** Page, command and library say the same of it, line for line. */
async function compare(sample: Sample): Promise<readonly TracedStep[]> {
  const seen = await judgeOnPage(page, server.url, sample)
  const { code, document, hints } = await byCommand(sample)
  expect(seen.verdict, sample.name).toBe(document.verdict)
  expect(seen.steps.map(({ anchor, href, ...step }) => step)).toEqual(document.steps.map(asSeen))
  expect([...seen.hints].sort()).toEqual([...hints].sort())
  // The library has what files of these say only by more calls than one.
  const isPlain = [sample.binding, sample.trust].every((one) => one === undefined) && !sample.file.endsWith('.pem')
  if (isPlain) expect(await byLibrary(sample)).toEqual(document.steps)
  for (const { id, anchor, href } of seen.steps) {
    expect(href).toBe(`/checks#${anchor}`)
    for (const one of [id, anchor]) expect(checks, `${sample.name}: ${one}`).toContain(`id="${one}"`)
  }
  const { status, platform, policy, skipped, digests } = document
  expect(seen.ear).toMatchObject({
    // Of what was left out nothing is affirmed.
    status: skipped.length > 0 ? `${status}, of what was compared, which is not all` : status,
    platform: platform === 'hardware' ? 'hardware' : `${platform}: NOT HARDWARE`,
    'appraisal policy': policy,
    'evidence digest': digests.evidence,
    'collateral digest': digests.collateral,
    'reference values digest': digests.referenceValues,
  })
  expect(Object.keys(seen.ear).some((name) => /^(cpu0|devices)$/.test(name))).toBe(true)
  expect(seen.text).toContain(`ends with ${code === 0 ? 0 : 3},`)
  expect(seen.className.includes('green')).toBe(code === 0 && !document.verdict.includes('SIMULATED'))
  return document.steps
}

test('every id has an anchor on the checks page and stands in docs/spec/checks.md', () => {
  const doc = readFileSync(join(packageRoot(), 'docs/spec/checks.md'), 'utf8')
  const ids = [...kindsById().keys()]
  expect(ids.length).toBeGreaterThan(100)
  for (const id of ids) {
    expect(checks).toContain(`id="${id}"`)
    expect(doc).toContain(`| \`${id}\` |`)
  }
})

describe.skipIf(chromium === undefined)('in Chromium', () => {
  test('minted evidence of every kind: page, command and library say the same, step by step', async () => {
    const verdicts = new Set<string>()
    for (const sample of minted) for (const { verdict } of await compare(sample)) verdicts.add(verdict)
    expect([...verdicts].sort()).toEqual(['fail', 'pass', 'skip'])
    expect(page.complaints).toEqual([])
  })

  test.skipIf(vectors === undefined)('published evidence of real hardware too', async () => {
    for (const sample of publishedSamples(vectors!)) await compare(sample)
    expect(page.complaints).toEqual([])
  })

  test('what it saves is what the command prints, and the line that it shows is that command', async () => {
    const seen = await judgeOnPage(page, server.url, minted[0]!)
    expect(seen.command).toMatch(/^\.\/claviger attest verify snp\.json --report-data [0-9a-f]{128} /)
    expect(seen.command).toMatch(/ --dangerous-allow-simulated --at [0-9TZ:-]+$/)
    expect(seen.text).toContain('NOT HARDWARE')
    await page.send('Page.setDownloadBehavior', { behavior: 'allow', downloadPath: work })
    const { out } = await byCommand(minted[0]!)
    await page.evaluate(`document.querySelector('.save').click()`)
    await expect.poll(() => readSaved(at('verdict.json'))).toBe(out)
    symlinkSync(join(packageRoot(), 'claviger'), at('claviger'))
    const ran = spawnSync('bash', ['-c', `${seen.command} --json`], { cwd: work, encoding: 'utf8' })
    expect([ran.status, ran.stdout]).toEqual([0, out])
  })
})

function readSaved(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

describe.skipIf(chromium === undefined)('what a stranger wrote', () => {
  const markup = `<img src=x onerror=window.taken=1><script>window.taken=1</script>`
  const isClean = async () =>
    expect(
      await page.evaluate(
        `[document.querySelectorAll('#result img, #result script').length, window.taken === undefined]`,
      ),
    ).toEqual([0, true])

  test('is shown as it is, wherever it comes from, and stays text', async () => {
    const name = `'"><img src=x onerror=window.taken=1>$(id)\u202e.json`
    writeFileSync(at(name), JSON.stringify({ kind: markup }))
    const named = await judgeOnPage(page, server.url, { name: 'file', file: at(name) })
    expect(named.verdict).toBe('NOT VERIFIED')
    await isClean()

    const evidence = JSON.parse(readFileSync(minted[0]!.file, 'utf8'))
    writeFileSync(at(name), JSON.stringify(evidence))
    const good = await judgeOnPage(page, server.url, { ...minted[0]!, file: at(name) })
    // A shell takes the name as one word; what would turn the line around is gone.
    expect(good.command).toContain(` ''\\''"><img src=x onerror=window.taken=1>$(id)?.json' `)
    await isClean()

    writeFileSync(at('hostile.json'), JSON.stringify({ ...evidence, [markup]: markup }))
    const member = await judgeOnPage(page, server.url, { ...minted[0]!, file: at('hostile.json') })
    expect(member.text).toContain(markup)
    await isClean()

    const signed = await mintEvidence({ cspId: `CN=${markup}` })
    writeFileSync(at('signed.json'), JSON.stringify(signed))
    const claimed = await judgeOnPage(page, server.url, { ...minted[0]!, file: at('signed.json') })
    expect(claimed.steps.filter(({ rows }) => rows.found?.includes(markup)).length).toBeGreaterThan(0)
    await isClean()
    expect(page.complaints).toEqual([])
  })

  test('cannot be read as markup or program by the page itself, nor reach anybody', async () => {
    await page.open(server.url)
    const outcomes = await page.evaluate<readonly string[]>(`(async () => {
      const tries = [
        () => { document.body.innerHTML = '<b>x</b>' },
        () => eval('1'),
        () => document.createElement('script').setAttribute('src', '/assets/verify.js'),
        () => fetch('/checks'),
        () => new Promise((yes, no) => { const one = new Image(); one.onload = yes; one.onerror = () => no(new Error('refused')); one.src = 'http://127.0.0.1:9/x.png' }),
      ]
      const out = []
      for (const one of tries) try { await one(); out.push('done') } catch (error) { out.push('refused') }
      return out
    })()`)
    expect(outcomes).toEqual(Array(5).fill('refused'))
    expect(page.complaints.length).toBeGreaterThan(0)
    page.complaints.length = 0
  })
})

describe.skipIf(chromium === undefined)('for every reader', () => {
  test('with keys alone: skip link, fields in order, verdict in focus and announced', async () => {
    await page.open(server.url)
    await page.press('Tab')
    expect(await page.evaluate(`document.activeElement.className`)).toBe('to-content')
    const reached: string[] = []
    for (let i = 0; i < 40 && reached.at(-1) !== 'submit'; i++) {
      await page.press('Tab')
      reached.push(await page.evaluate(`document.activeElement.id || document.activeElement.type`))
      if (reached.at(-1) === 'pasted')
        await page.send('Input.insertText', { text: readFileSync(minted[0]!.file, 'utf8') })
    }
    const order = ['evidence', 'pasted', 'collateral', 'nonce', 'report-data', 'binding', 'reference-values', 'values']
    expect(reached.filter((id) => order.includes(id))).toEqual(order)
    await page.press('Enter')
    await expect.poll(() => page.evaluate(`document.getElementById('announced').textContent`)).toContain('NOT VERIFIED')
    expect(await page.evaluate(`document.activeElement.id`)).toBe('result')
    expect(await page.evaluate(`document.querySelector('.command').textContent`)).toContain('verify pasted.txt --at ')
  })

  test('what was forgotten or put in twice is said, and no verdict is given', async () => {
    await page.open(server.url)
    const empty = await submit(page)
    expect(empty.verdict).toBe('NOT JUDGED: there is no verdict')
    expect(empty.text).toContain('console/no-evidence')
    await page.evaluate(`document.getElementById('pasted').value = 'AAAA'; undefined`)
    await page.choose('evidence', [minted[0]!.file])
    expect((await submit(page)).text).toContain('console/two-evidences')
    const wrong = await judgeOnPage(page, server.url, { ...minted[0]!, reportData: 'zz' })
    expect(wrong.text).toContain('--report-data is no hex of 64 bytes (usage/hex)')
    // Without files beside it a raw report is not judged, as on the command line.
    const raw = await judgeOnPage(page, server.url, { ...minted[5]!, collateral: undefined })
    expect(raw.text).toContain('usage/collateral')
    writeFileSync(at('kbs.json'), '{"tee-evidence":{}}')
    const kbs = await judgeOnPage(page, server.url, { name: 'KBS', file: at('kbs.json') })
    expect([kbs.verdict, kbs.hints.length]).toEqual(['NOT JUDGED: there is no verdict', 1])
    expect(kbs.text).toContain('evidence/unverified-form')
    expect(page.complaints).toEqual([])
  })

  test('on a page that browsers give no cryptography to nothing is judged, and it is said why', async () => {
    const far = server.url.replace('127.0.0.1', farName)
    await page.open(far)
    expect(await page.evaluate(`isSecureContext`)).toBe(false)
    expect(await page.evaluate(`document.getElementById('result').textContent`)).toContain('browser/insecure')
    const seen = await judgeOnPage(page, far, minted[0]!)
    expect([seen.verdict, seen.steps]).toEqual(['NOT JUDGED: there is no verdict', []])
    expect(page.complaints.filter((one) => !one.includes('Cross-Origin-Opener-Policy'))).toEqual([])
    page.complaints.length = 0
  })

  test('from the phone to the wide screen, light and dark, nothing is cut off and axe finds nothing', async () => {
    // axe writes styles of its own, which the page's policy is there to refuse.
    await page.send('Page.setBypassCSP', { enabled: true })
    /** What is wrong with the page that is open; of sections that are made alike the first and the last are looked at. */
    const found = async (...rules: readonly string[]) => {
      await page.evaluate(`${axe.source}; undefined`)
      const context = `{ exclude: [...document.querySelectorAll('main > section')].slice(1, -1) }`
      const options = JSON.stringify({
        resultTypes: ['violations'],
        ...(rules.length > 0 ? { runOnly: { type: 'rule', values: rules } } : {}),
      })
      return page.evaluate<readonly string[]>(
        `axe.run(${context}, ${options}).then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes[0].html + ' ' + nodes[0].failureSummary))`,
      )
    }
    // Under dark colours and on a wide screen the same elements stand there: what differs are contrasts.
    const rulesOf = { light: [], dark: ['color-contrast', 'link-in-text-block'] }
    const sizes = [320, 1600]
    for (const [i, scheme] of (['light', 'dark'] as const).entries()) {
      await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] })
      const width = sizes[i]!
      await page.send('Emulation.setDeviceMetricsOverride', { width, height: 800, deviceScaleFactor: 1, mobile: false })
      const isWhole = async () =>
        expect(await page.evaluate<number>(`document.documentElement.scrollWidth`)).toBeLessThanOrEqual(width)
      await judgeOnPage(page, server.url, minted[3]!)
      await isWhole()
      // A verdict that stands in the text and is not to be seen would be none for those who see.
      const seenSigns = `[...document.querySelectorAll('.verdict .word, .sign')].map((one) => {
        const { left, right, width, height } = one.getBoundingClientRect()
        return left >= 0 && right <= innerWidth && width > 40 && height > 10 && one.checkVisibility()
      })`
      const signs = await page.evaluate<readonly boolean[]>(seenSigns)
      expect(signs.length).toBeGreaterThan(10)
      expect(signs).not.toContain(false)
      expect(await found(...rulesOf[scheme])).toEqual([])
      await page.open(`${server.url}/checks`)
      await isWhole()
      expect(await found(...rulesOf[scheme])).toEqual([])
    }
    // The control: a fault is found.
    await page.evaluate(`void document.querySelector('h1').append(new Image())`)
    expect((await found('image-alt')).join()).toContain('image-alt <img>')
  })

  test('nothing was ever asked of anybody else', () => {
    const own = new Set(['/', '/checks', '/assets/verify.js', '/assets/style.css', '/assets/icon.svg'])
    const far = server.url.replace('127.0.0.1', farName)
    const asked = page.requests
      .filter((url) => !url.startsWith('blob:') && url !== 'http://127.0.0.1:9/x.png')
      .map((url) => url.replace(far, server.url))
    expect(asked.length).toBeGreaterThan(20)
    expect(asked.filter((url) => !url.startsWith(server.url) || !own.has(new URL(url).pathname))).toEqual([])
  })
})
