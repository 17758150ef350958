import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'vite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import type { AnyEvidence } from '#core/wire/evidence.js'
import { mintAzureEvidence } from '../fakes/azure.js'
import { ccaKeyDigests, mintCcaEvidence } from '../fakes/cca.js'
import { dcapRootDigest, mintDcapEvidence } from '../fakes/dcap.js'
import { gpuRootDigest, mintGpuEvidence, single } from '../fakes/gpu.js'
import { judgeAll, type LibrarySample, type RawSample } from '../fakes/library-judge.js'
import { mintNitroEvidence, nitroRootDigest } from '../fakes/nitro.js'
import { outside } from '../fakes/outside.js'
import { testReferenceValues, testRootDigest, testTime } from '../fakes/platform.js'
import { mintEvidence } from '../fakes/snp.js'

const root = join(import.meta.dirname, '../..')
const roots = [testRootDigest, dcapRootDigest, nitroRootDigest, gpuRootDigest, ...ccaKeyDigests]
const values = JSON.parse(JSON.stringify(testReferenceValues()))

let work: string
let bundle: string
let samples: readonly LibrarySample[]
let raw: readonly RawSample[]
/** what the library says here, on the backend of Node */
let expected: unknown

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'claviger-library-'))
  const good: readonly (readonly [string, AnyEvidence])[] = [
    ['snp', await mintEvidence()],
    ['snp by a VLEK', await mintEvidence({ cspId: 'CN=cc-us-east-2' })],
    ['tdx', await mintDcapEvidence()],
    ['sgx', await mintDcapEvidence({ tee: 'sgx' })],
    ['nitro', await mintNitroEvidence()],
    ['azure-snp', await mintAzureEvidence()],
    ['azure-tdx', await mintAzureEvidence({ hardware: 'tdx' })],
    ['gpu', await mintGpuEvidence(single())],
    ['cca', await mintCcaEvidence()],
  ]
  const sample = (name: string, evidence: AnyEvidence, byte = 7) => ({
    name,
    envelope: JSON.stringify(evidence),
    expectedReportData: byte,
  })
  samples = good.flatMap(([name, evidence]) => [
    sample(name, evidence),
    sample(`${name}, other report data`, evidence, 8),
    sample(`${name}, broken`, broken(evidence)),
  ])
  const { report, vek, ask, ark, crl } = await mintEvidence()
  raw = [
    { name: 'raw', evidence: report, files: [crl!, ark, ask, vek] },
    { name: 'raw, nothing beside it', evidence: report, files: [] },
    { name: 'no evidence', evidence: 'AAAA', files: [] },
  ]
  bundle = await bundled()
  expected = await judgeAll(samples, raw, values, roots, testTime)
})
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** One byte of the longest text is another: of a report, quote, document or token. */
function broken(evidence: AnyEvidence): AnyEvidence {
  const text = JSON.stringify(evidence)
  const signed = /"(?:report|quote|document|token|tpmQuote)":"([A-Za-z0-9+/=]+)"/.exec(text)![1]!
  const bytes = fromBase64(signed)
  bytes[bytes.length >> 1]! ^= 1
  return JSON.parse(text.replace(signed, () => toBase64(bytes))) as AnyEvidence
}

/** The library as a web page loads it: one file, for browsers, with nothing left to import. */
async function bundled(): Promise<string> {
  const built = await build({
    root,
    configFile: false,
    logLevel: 'silent',
    resolve: { conditions: ['browser', 'source'] },
    build: {
      write: false,
      minify: true,
      target: 'es2023',
      lib: { entry: join(root, 'test/fakes/library-judge.ts'), formats: ['es'] },
    },
  })
  const chunks = [built].flat().flatMap((one) => ('output' in one ? one.output : []))
  expect(chunks.map((one) => one.type)).toEqual(['chunk'])
  return (chunks[0] as { readonly code: string }).code
}

const runner = () =>
  `const result = await judgeAll(${JSON.stringify(samples)}, ${JSON.stringify(raw)}, ${JSON.stringify(values)}, ${JSON.stringify(roots)}, ${testTime})`

/** Every sample came out as it must, so that two runtimes cannot agree on nothing. */
function verifyOutcomes(found: unknown): void {
  const all = found as {
    name: string
    code?: string
    result?: { platform: string; steps: { id: string; verdict: string }[] }
  }[]
  expect(all.length).toBe(samples.length + raw.length)
  for (const { name, code, result } of all) {
    const failed = result?.steps.filter((step) => step.verdict === 'fail').map(({ id }) => id) ?? []
    if (result === undefined) expect(code, name).toMatch(/^evidence\/(incomplete|unrecognised)$/)
    else if (name.endsWith('broken')) expect(result.platform, name).toBe('unverified')
    else {
      expect(result.platform, name).toBe('simulated')
      expect(failed.includes('report-data'), name).toBe(name.endsWith('other report data'))
    }
  }
}

describe('the library, bundled for browsers', () => {
  test('imports nothing and names nothing of Node', () => {
    expect(bundle).not.toMatch(/^\s*import\b|\bimport\(|\brequire\(|['"]node:|\bprocess\.|\bBuffer\b/m)
    expect(bundle.length).toBeLessThan(2_000_000)
  })

  test('judges as the backend of Node does, in a runtime without anything of Node', () => {
    verifyOutcomes(expected)
    const file = join(work, 'page.mjs')
    writeFileSync(join(work, 'bundle.mjs'), bundle)
    const hidden = `for (const name of ['process', 'Buffer', 'global', 'setImmediate']) delete globalThis[name]`
    const program = `${hidden}\nconst { judgeAll } = await import('./bundle.mjs')\n${runner()}`
    writeFileSync(file, `${program}\nconsole.log(JSON.stringify(result))`)
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', maxBuffer: 64 << 20 })
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(JSON.parse(stdout)).toEqual(expected)
  })

  const chromium = outside('chromium')
  test.skipIf(chromium === undefined)('judges the same in Chromium', async () => {
    const page = `<!doctype html><script type="module">
      const send = (body) => fetch('/result', { method: 'POST', body })
      try {
        const { judgeAll } = await import('/bundle.js')
        ${runner()}
        await send(JSON.stringify(result))
      } catch (error) { await send(JSON.stringify({ thrown: String(error), stack: error.stack })) }
    </script>`
    expect(await inChromium(chromium!, page)).toEqual(expected)
  })
})

/** What the page posts from a headless browser that sees this one address and keeps nothing. */
async function inChromium(program: string, page: string): Promise<unknown> {
  let posted: (body: unknown) => void = () => undefined
  const server = createServer((request, response) => {
    if (request.method === 'POST') {
      let body = ''
      request.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      request.on('end', () => {
        response.end()
        posted(JSON.parse(body))
      })
      return
    }
    const isScript = request.url === '/bundle.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? bundle : page)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
  const browser = spawn(program, [...flags, `--user-data-dir=${join(work, 'profile')}`, address], { stdio: 'ignore' })
  const ended = new Promise<void>((done) => browser.on('exit', () => done()))
  try {
    return await new Promise((resolve, reject) => {
      posted = resolve
      browser.on('error', reject)
      browser.on('exit', (code) => reject(new Error(`the browser ended with ${code} before the page was done`)))
    })
  } finally {
    browser.kill('SIGKILL')
    await ended
    server.closeAllConnections()
    server.close()
  }
}
