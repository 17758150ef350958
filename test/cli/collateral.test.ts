import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadBundle, storeBundle } from '#attest/collateral/folder.js'
import { createProgram } from '#cli/program.js'
import { runAttest } from '#cli/serve.js'
import { runCreate } from '#cli/serve-create.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { isFailure } from '#core/failure.js'
import { testIo } from '#test/e2e/fixtures.js'
import { dcapRootDigest } from '#test/fakes/dcap.js'
import { testTime, throwawayKeys } from '#test/fakes/platform.js'
import {
  amdDocuments,
  intelDocuments,
  serveAmd,
  serveIntel,
  startVendor,
  status,
  type VendorServer,
} from '#test/fakes/vendors.js'

const amdRoot = toHex(sha256(throwawayKeys.ark.spki))
const roots = ['--simulated-root', dcapRootDigest, '--simulated-root', amdRoot]
let folder: string
let vendor: VendorServer
let intel: Awaited<ReturnType<typeof intelDocuments>>
let amd: Awaited<ReturnType<typeof amdDocuments>>
const at = (name: string) => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-collateral-'))
  vendor = await startVendor()
  intel = await intelDocuments()
  amd = await amdDocuments()
  serveIntel(vendor, intel.items)
  serveAmd(vendor, amd.items)
  await runCreate({ state: at('services'), origin: 'log.example/test', json: true }, testIo())
  await storeBundle(at('bundle'), [...intel.items, ...amd.items])
})
afterAll(async () => {
  await vendor.close()
  await rm(folder, { recursive: true, force: true })
})

/** One line as it is typed, at the time of the tests; what it says and how it ends. */
async function typed(...args: readonly string[]) {
  const base = testIo()
  const io = { ...base, now: () => testTime }
  try {
    const program = await createProgram(io, 'collateral')
    await program.parseAsync(['node', 'claviger', 'collateral', ...args])
  } catch (error) {
    if (isFailure(error)) return { code: error.code, out: base.out(), err: base.err() }
    throw error
  }
  return { code: base.code(), out: base.out(), err: base.err() }
}
const json = (text: string) => JSON.parse(text) as { readonly [name: string]: never }

describe('an offline bundle on the command line', () => {
  test('is shown, with what in it is not what it says', async () => {
    const good = await typed('status', '--bundle', at('bundle'), ...roots)
    expect([good.code, good.out.split('\n').length - 1]).toEqual([0, 9])
    expect(good.out).toContain('intel/tdx/tcb-info/90c06f000000, edition 18')
    expect(good.out).toContain('NOT HARDWARE')
    const stranger = await typed('status', '--bundle', at('bundle'), '--json')
    expect(stranger.code).toBe(3)
    expect(json(stranger.out)).toMatchObject({
      items: [],
      refused: expect.arrayContaining([
        { name: 'amd/genoa/vcek/crl', code: 'snp/unknown-root', message: expect.any(String) },
      ]),
    })
  })

  test('is imported after a dry run that changes nothing, shown, and exported as it was', async () => {
    const place = ['--state', at('services'), ...roots]
    const dry = await typed('import', at('bundle'), ...place, '--dry-run')
    expect([dry.code, dry.out.match(/would store/g)?.length]).toEqual([0, 9])
    expect((await typed('status', ...place)).err).toContain('the store holds nothing')
    expect((await typed('import', at('bundle'), ...place)).out.match(/^stored /gm)?.length).toBe(9)
    expect((await typed('status', ...place, '--json')).code).toBe(0)
    await typed('export', ...place, '--out', at('out.json'))
    expect(await loadBundle(at('out.json'))).toEqual(await loadBundle(at('bundle')))
  })

  test('that holds nothing is refused, and neither shown nor taken for imported', async () => {
    await mkdir(at('nothing'))
    await storeBundle(at('nothing.json'), [])
    for (const bundle of [at('nothing'), at('nothing.json')])
      for (const args of [
        ['import', bundle, '--state', at('services')],
        ['status', '--bundle', bundle],
      ])
        expect(await typed(...args)).toEqual({ code: 'collateral/bundle-form', out: '', err: '' })
  })

  test('that is older than what the store has seen is refused, and the rest of it kept', async () => {
    const place = ['--state', at('services'), ...roots]
    await storeBundle(at('newer'), (await amdDocuments({ crl: { thisUpdate: testTime } })).items)
    expect((await typed('import', at('newer'), ...place)).code).toBe(0)
    const old = await typed('import', at('bundle'), ...place, '--json')
    expect(old.code).toBe(3)
    const { documents } = json(old.out) as unknown as { documents: { name: string; code?: string }[] }
    expect(documents.filter(({ code }) => code !== undefined)).toMatchObject([
      { name: 'amd/genoa/vcek/crl', code: 'collateral/rollback' },
    ])
  })
})

describe('fetching on the command line', () => {
  const mirrors = () => ['--kds', vendor.url, '--pcs', vendor.url, ...roots]

  test('what a report needs, into a bundle with which it verifies offline', async () => {
    await writeFile(at('report.bin'), fromBase64(amd.evidence.report))
    const dry = await typed('fetch', '--evidence', at('report.bin'), '--out', at('fetched'), '--dry-run', ...mirrors())
    expect(dry.out).toContain(`would ask amd at ${vendor.url}`)
    expect([dry.code, vendor.asked.size, existsSync(at('fetched'))]).toEqual([0, 0, false])
    const found = await typed('fetch', '--evidence', at('report.bin'), '--out', at('fetched'), ...mirrors())
    expect([found.code, found.err]).toEqual([0, ''])
    const ofAmd = (await loadBundle(at('bundle'))).filter(({ name }) => name.kind.startsWith('amd-'))
    expect(await loadBundle(at('fetched'))).toEqual(ofAmd)
  })

  test('what is held already, each by itself: what fails stays as it was', async () => {
    vendor.answers.set('/vcek/v1/Genoa/crl', status(503))
    const found = await typed('fetch', '--held', '--out', at('fetched'), ...mirrors(), '--json')
    expect(found.code).toBe(3)
    const { fetched, refused } = json(found.out) as unknown as { fetched: unknown[]; refused: unknown[] }
    expect(fetched.length).toBe(2)
    expect(refused).toMatchObject([{ name: 'amd/genoa/vcek/crl', code: 'collateral/refused' }])
    serveAmd(vendor, amd.items)
    expect((await typed('status', '--bundle', at('fetched'), ...roots)).code).toBe(0)
  })

  test('into the store of services, where what is older than it has seen is refused', async () => {
    const found = await typed(
      'fetch',
      '--document',
      'amd/genoa/vcek/crl',
      '--document',
      'amd/genoa/vcek/ask',
      '--state',
      at('services'),
      ...mirrors(),
    )
    expect(found.code).toBe(3)
    expect(found.out).toContain('fetched amd/genoa/vcek/ask')
    expect(found.err).toContain('collateral/rollback')
  })

  test('what a running verifier holds is asked for with the token', async () => {
    let stop: () => void = () => undefined
    const stopped = new Promise<void>((resolve) => void (stop = resolve))
    const base = testIo()
    let tell: (line: string) => void = () => undefined
    const ready = new Promise<string>((resolve) => void (tell = resolve))
    const io = { ...base, now: () => testTime, stdout: (line: string) => tell(line) }
    const args = {
      state: at('services'),
      listen: '127.0.0.1:0',
      simulatedRoot: [],
      fetchCollateral: true,
      pcs: vendor.url,
    }
    const ended = runAttest(args, io, stopped)
    const { url } = JSON.parse(await ready) as { url: string }
    const token = ['--token', at('services/admin-token')]
    const found = await typed('status', '--url', url, ...token, '--json')
    expect([found.code, json(found.out)]).toMatchObject([0, { fetching: true, items: [], sources: [] }])
    await writeFile(at('wrong-token'), 'x'.repeat(43))
    expect((await typed('status', '--url', url, '--token', at('wrong-token'))).code).toBe('collateral/refused')
    stop()
    expect(await ended).toBe(0)
  })

  test.each([
    ['usage/collateral-place', ['status', '--url', 'http://127.0.0.1:1']],
    ['usage/collateral-document', ['fetch', '--out', 'x']],
    ['usage/collateral-place', ['fetch', '--document', 'intel/root-crl']],
    ['usage/collateral-place', ['fetch', '--document', 'intel/root-crl', '--out', 'x', '--state', 'y']],
    ['usage/collateral-place', ['status']],
    ['shape/missing', ['fetch', '--out', 'x', '--evidence', 'package.json']],
    ['collateral/evidence-form', ['fetch', '--out', 'x', '--evidence', 'README.md']],
  ])('%s for %j', async (code, args) => {
    expect((await typed(...args)).code).toBe(code)
  })

  test('a name that no document has is refused when it is typed', async () => {
    await expect(typed('fetch', '--document', 'intel/none', '--out', 'x')).rejects.toMatchObject({
      code: 'commander.invalidArgument',
    })
  })
})
