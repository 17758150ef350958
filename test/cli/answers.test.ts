import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { loadBundle, storeBundle } from '#attest/collateral/folder.js'
import * as attest from '#cli/attest/verify.js'
import { reportError } from '#cli/output.js'
import { createProgram } from '#cli/program.js'
import { runAttest } from '#cli/serve.js'
import { runCreate } from '#cli/serve-create.js'
import { fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { encodePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import type { GpuEvidence } from '#core/wire/evidence.js'
import { testIo } from '#test/e2e/fixtures.js'
import { deviceRoots, rimDocuments } from '#test/fakes/device-evidence.js'
import { gpuReportData, mintGpuEvidence, single } from '#test/fakes/gpu.js'
import { testGpuValues } from '#test/fakes/gpu-vectors.js'
import { testTime } from '#test/fakes/platform.js'
import { anyDatabaseUrl } from '#test/fakes/postgres.js'
import { answerDocument, type Responder, serveOcsp } from '#test/fakes/responder.js'
import { serveRim, startVendor, status, type VendorServer } from '#test/fakes/vendors.js'

/** From a device's bare evidence to a verdict: answers are fetched, carried in bundles, kept by services. */
const day = 86_400
const rootOptions = deviceRoots.flatMap((root) => ['--simulated-root', root])
let folder: string
let vendor: VendorServer
let responder: Responder
let device: GpuEvidence
let databaseUrl: string | undefined
const at = (name: string) => join(folder, name)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-answers-'))
  vendor = await startVendor()
  for (const rim of await rimDocuments()) serveRim(vendor, rim)
  device = await mintGpuEvidence(single())
  await writeFile(at('device.json'), JSON.stringify(device))
  await writeFile(at('values.json'), JSON.stringify(testGpuValues({ rim: 'required', ocsp: 'required' })))
  await writeFile(at('loose.json'), JSON.stringify(testGpuValues({ rim: 'required', ocsp: 'when-given' })))
  databaseUrl = (await anyDatabaseUrl()) ?? undefined
  await runCreate({ state: at('services'), origin: 'log.example/test', json: true, databaseUrl }, testIo())
})
beforeEach(async () => {
  responder = await serveOcsp(vendor)
})
afterAll(async () => {
  await vendor.close()
  await rm(folder, { recursive: true, force: true })
})

/** One line of `claviger collateral` as it is typed; what it says and how it ends. */
async function collateral(now: number, ...args: readonly string[]) {
  const base = testIo()
  const io = { ...base, now: () => now }
  try {
    const program = await createProgram(io, 'collateral')
    await program.parseAsync(['node', 'claviger', 'collateral', ...args, ...rootOptions])
  } catch (error) {
    if (isFailure(error)) return { code: error.code, out: base.out(), err: base.err() }
    throw error
  }
  return { code: base.code(), out: base.out(), err: base.err() }
}
const mirrors = () => ['--rim', vendor.url, '--ocsp', vendor.url]
const fetchFor = (bundle: string, now = testTime, file = 'device.json') =>
  collateral(now, 'fetch', '--evidence', at(file), '--out', at(bundle), ...mirrors())

/** `claviger attest verify` of a file: its exit code, verdict line and failing steps. */
async function verify(file: string, bundle: string | null, values = 'values.json', now = testTime) {
  const base = testIo()
  const io = { ...base, now: () => now }
  const args = {
    file: at(file),
    ...(bundle === null ? {} : { collateral: at(bundle) }),
    referenceValues: at(values),
    reportData: toHex(gpuReportData),
    simulatedRoot: deviceRoots,
    dangerousAllowSimulated: true,
    json: true,
  }
  const code = await attest.run(args, io).catch((error: unknown) => reportError(io, error))
  const found = JSON.parse(base.out()) as {
    readonly verdict: string
    readonly failure: string | null
    readonly steps: readonly { readonly id: string; readonly verdict: string }[]
  }
  const failed = found.steps.filter((step) => step.verdict === 'fail').map(({ id }) => id)
  return { code, failure: found.failure, failed, steps: found.steps }
}

describe('answers from the responder to the verdict', () => {
  test('evidence without answers is refused where they are required, and passes with those that were fetched for it', async () => {
    expect(await verify('device.json', null)).toMatchObject({ code: 3, failed: ['rim', 'ocsp'] })
    const found = await fetchFor('good')
    expect([found.code, found.err, found.out.match(/^fetched nvidia\/ocsp\//gm)?.length]).toEqual([0, '', 6])
    expect(await verify('device.json', 'good')).toMatchObject({ code: 0, failure: null, failed: [] })
    await fetchFor('good.json')
    expect(await verify('device.json', 'good.json')).toMatchObject({ code: 0, failure: null })
  })

  test('a raw report with its certificates beside it is fetched for, and judged, as its envelope is', async () => {
    const [{ report, chain }] = device.devices as unknown as [GpuEvidence['devices'][number]]
    const pem = chain.map((one) => encodePem(fromBase64(one), 'CERTIFICATE')).join('')
    await writeFile(at('report.bin'), fromBase64(report))
    await mkdir(at('beside'), { recursive: true })
    await writeFile(at('beside/report-chain.pem'), pem)
    const typed = (...more: readonly string[]) =>
      collateral(testTime, 'fetch', '--evidence', at('report.bin'), '--out', at('raw'), ...mirrors(), ...more)
    expect((await typed()).code).toBe('gpu/certificate')
    expect((await typed('--collateral', at('absent'))).code).toBe('input/unreadable')
    const found = await typed('--collateral', at('beside'))
    expect([found.code, found.out.match(/^fetched /gm)?.length]).toEqual([0, 8])
    await writeFile(at('raw/report-chain.pem'), pem)
    expect(await verify('report.bin', 'raw')).toMatchObject({ code: 0, failure: null })
  })

  test('a dry run asks nobody, and says whom it would', async () => {
    responder.asked.clear()
    const dry = await collateral(testTime, 'fetch', '--evidence', at('device.json'), '--dry-run', ...mirrors())
    expect(dry.out).toContain(`would ask nvidia/ocsp at ${vendor.url}`)
    expect([dry.code, responder.asked.size]).toEqual([0, 0])
    const own = await collateral(testTime, 'fetch', '--evidence', at('device.json'), '--dry-run')
    expect(own.out).toContain('would ask nvidia/ocsp at https://ocsp.ndis.nvidia.com')
  })

  test.each(['ocspDeviceL4', 'ocspDeviceL2', 'ocspRimL4'])(
    'the responder revokes %s: it fails whatever the policy',
    async (role) => {
      await responder.says(role, { status: { reason: 1 } })
      const bundle = `revoked-${role}`
      const found = await fetchFor(bundle)
      expect([found.code, found.out.match(/ REVOKED,/g)?.length]).toEqual([0, 1])
      for (const values of ['values.json', 'loose.json'])
        expect(await verify('device.json', bundle, values)).toMatchObject({ code: 3, failure: 'ocsp/revoked' })
      const shown = await collateral(testTime, 'status', '--bundle', at(bundle))
      expect(shown.out).toContain(' REVOKED,')
    },
  )

  test('an older good answer in the evidence does not outdo the revocation in a bundle', async () => {
    await responder.says('ocspDeviceL4', { status: { reason: 1 } })
    const older = toBase64((await answerDocument('ocspDeviceL4', { thisUpdate: testTime - 7200 })).body)
    await writeFile(at('older.json'), JSON.stringify({ ...device, ocsp: [older] }))
    expect((await fetchFor('outdone')).code).toBe(0)
    expect(await verify('older.json', 'outdone', 'loose.json')).toMatchObject({ code: 3, failure: 'ocsp/revoked' })
    expect((await fetchFor('outdone', testTime, 'older.json')).code).toBe(0)
  })

  test('answers of yesterday do not count; fetched anew into the same bundle they do', async () => {
    await fetchFor('daily')
    expect(await verify('device.json', 'daily', 'values.json', testTime + day)).toMatchObject({
      code: 3,
      failure: 'ocsp/expired',
    })
    await responder.saysOfAll({ thisUpdate: testTime + day - 60, nextUpdate: testTime + day + 3600 })
    expect(await fetchFor('daily', testTime + day)).toMatchObject({ code: 0, err: '' })
    expect(await verify('device.json', 'daily', 'values.json', testTime + day)).toMatchObject({ code: 0 })
    const held = await collateral(testTime + day, 'fetch', '--held', '--out', at('daily'), ...mirrors())
    expect([held.code, held.out.match(/^fetched /gm)?.length]).toEqual([0, 8])
  })

  test('a responder that is away: what could not be had is said, and without it nothing passes', async () => {
    await responder.saysOfAll(status(503))
    const found = await fetchFor('away')
    expect([found.code, found.err.match(/collateral\/refused/g)?.length]).toEqual([3, 6])
    expect(await verify('device.json', 'away')).toMatchObject({ code: 3, failed: ['ocsp'] })
    const loose = await verify('device.json', 'away', 'loose.json')
    expect([loose.code, loose.failed, loose.steps.find(({ id }) => id === 'gpu/ocsp')!.verdict]).toEqual([
      3,
      [],
      'skip',
    ])
  })

  test('an older answer than the bundle holds is refused, and the bundle stays as it was', async () => {
    await responder.says('ocspDeviceL4', { status: { reason: 1 }, thisUpdate: testTime - 60 })
    await fetchFor('ahead')
    await responder.says('ocspDeviceL4', {})
    const found = await fetchFor('ahead')
    expect([found.code, found.err.includes('collateral/rollback')]).toEqual([3, true])
    expect(await verify('device.json', 'ahead', 'loose.json')).toMatchObject({ code: 3, failure: 'ocsp/revoked' })
  })

  test('answers on devices of others in a bundle are left out', async () => {
    await fetchFor('shared')
    const other = await mintGpuEvidence([{ architecture: 'HOPPER', number: 1 }])
    await writeFile(at('other.json'), JSON.stringify(other))
    const found = await fetchFor('shared', testTime, 'other.json')
    expect(found.code).toBe(3) // the responder knows the first device only
    expect(await verify('device.json', 'shared')).toMatchObject({ code: 0 })
    expect(await verify('other.json', 'shared')).toMatchObject({ code: 3, failed: ['ocsp'] })
  })
})

describe('answers and services', () => {
  test('a bundle is imported, shown and exported with its answers, and an older one refused', async () => {
    await fetchFor('first')
    await responder.says('ocspDeviceL4', { status: { reason: 1 }, thisUpdate: testTime - 60 })
    await fetchFor('second')
    const place = ['--state', at('services'), ...(databaseUrl === undefined ? [] : ['--database-url', databaseUrl])]
    expect((await collateral(testTime, 'import', at('second'), ...place)).out.match(/^stored /gm)?.length).toBe(8)
    const old = await collateral(testTime, 'import', at('first'), ...place)
    expect([old.code, old.err.match(/collateral\/rollback/g)?.length]).toEqual([3, 1])
    expect((await collateral(testTime, 'status', ...place)).out).toContain(' REVOKED,')
    await collateral(testTime, 'export', ...place, '--out', at('out'))
    expect((await loadBundle(at('out'))).filter(({ name }) => name.kind === 'nvidia-ocsp').length).toBe(6)
    expect(await verify('device.json', 'out', 'loose.json')).toMatchObject({ code: 3, failure: 'ocsp/revoked' })
  })

  test('an answer is renewed by its name in a store that has it, and not in a bundle that has not', async () => {
    const { name } = await answerDocument('ocspDeviceL3')
    await storeBundle(at('one'), [await answerDocument('ocspDeviceL3')])
    const { issuerName, issuerKey, serial } = name as { issuerName: string; issuerKey: string; serial: string }
    const label = `nvidia/ocsp/${issuerName}/${issuerKey}/${serial}`
    const typed = (out: string) => collateral(testTime, 'fetch', '--document', label, '--out', at(out), ...mirrors())
    expect((await typed('one')).code).toBe(0)
    expect(await typed('none')).toMatchObject({ code: 3, err: expect.stringContaining('ask for it by evidence') })
  })

  test('a verifier that was told where to ask completes bare evidence, and nobody else is asked', async () => {
    const own = (await anyDatabaseUrl()) ?? undefined
    await runCreate({ state: at('verifier'), origin: 'log.example/verifier', json: true, databaseUrl: own }, testIo())
    let stop: () => void = () => undefined
    const stopped = new Promise<void>((resolve) => void (stop = resolve))
    const base = testIo()
    let tell: (line: string) => void = () => undefined
    const ready = new Promise<string>((resolve) => void (tell = resolve))
    const io = { ...base, now: () => testTime, stdout: (line: string) => tell(line) }
    const args = {
      state: at('verifier'),
      databaseUrl: own,
      listen: '127.0.0.1:0',
      simulatedRoot: deviceRoots,
      fetchCollateral: true,
      rim: vendor.url,
      ocsp: vendor.url,
    }
    const ended = runAttest(args, io, stopped)
    const { url } = JSON.parse(await ready) as { url: string }
    const { readFile } = await import('node:fs/promises')
    const token = (await readFile(at('verifier/admin-token'), 'utf8')).trim()
    const referenceValues = testGpuValues({ rim: 'required', ocsp: 'required' })
    const body = { evidence: device, reportData: toHex(gpuReportData), referenceValues, tenantClass: 'development' }
    const response = await fetch(`${url}/v1/verify`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    })
    expect(await response.json()).toMatchObject({
      failure: null,
      status: 'warning', // simulated
      claims: { ocsp: { needed: 6, answered: 6 } },
      collateral: { unavailable: [] },
    })
    stop()
    expect(await ended).toBe(0)
  })

  test('a responder that nobody would ask is refused when it is typed', async () => {
    const args = { state: at('services'), databaseUrl, listen: '127.0.0.1:0', simulatedRoot: [], ocsp: vendor.url }
    await expect(runAttest(args, testIo())).rejects.toMatchObject({ code: 'usage/fetch-collateral' })
  })
})
