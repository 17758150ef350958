import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import type { OcspName } from '#attest/endorsements/names.js'
import { verifyItem } from '#attest/endorsements/verify.js'
import { readRim } from '#attest/gpu/rim/rim.js'
import { nvidiaRoots } from '#attest/gpu/roots.js'
import { verifyEvidence } from '#attest/kinds.js'
import { fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import type { GpuEvidence } from '#core/wire/evidence.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { certificateId, parseOcsp } from '#core/x509/ocsp-answer.js'
import { ocspSubject } from '#core/x509/ocsp-request.js'
import { mintRim, rimRootDigest } from '../../fakes/gpu-rim.js'
import { testGpuValues } from '../../fakes/gpu-vectors.js'
import { outside } from '../../fakes/outside.js'
import { testTime } from '../../fakes/platform.js'

const published = outside('vectors')
const read = (folder: string, file: string) =>
  new Uint8Array(readFileSync(join(published!, 'nvidia-gpu', folder, file)))
const device = (folder: string, name: string) => ({
  report: toBase64(read(folder, `${name}report.bin`)),
  chain: parsePem(fromUtf8(read(folder, `${name}cert-chain.pem`)), 'CERTIFICATE', 8).map(toBase64),
})
const none = { simulatedRoots: [] }

describe.skipIf(published === undefined)('published evidence', () => {
  const folder = 'gh100-550.90.07-full'
  const answers = (...names: readonly string[]) => names.map((name) => toBase64(read(folder, `ocsp-${name}.der`)))
  const whole = (ocsp: readonly string[]): GpuEvidence => ({
    kind: 'gpu',
    devices: [device(folder, '')],
    rims: [
      { id: 'NV_GPU_DRIVER_GH100_550.90.07', rim: toBase64(read(folder, 'driver-rim.xml')) },
      { id: 'NV_GPU_VBIOS_1010_0200_882_96009F0001', rim: toBase64(read(folder, 'vbios-rim.xml')) },
    ],
    ocsp,
  })

  test('a GPU with both RIMs is hardware that measures what NVIDIA released', async () => {
    const at = Date.parse('2025-08-21T12:00:00Z') / 1000
    const { claims, platform } = await verifyEvidence(whole(answers('device-l2', 'device-l3', 'device-l4')), none, at)
    expect(platform).toBe('hardware')
    expect(claims.ocsp).toMatchObject({ needed: 7, answered: 3 })
    expect(claims.devices[0]).toMatchObject({
      chip: 'GH100',
      deviceId: '431d480fe5e87274',
      driverRim: { version: '550.90.07', differing: [] },
      vbiosRim: { version: '96.00.9F.00.01', differing: [] },
    })
  })

  test('answers are documents of their own under the roots of NVIDIA, each for its day', async () => {
    const chain = parsePem(fromUtf8(read(folder, 'cert-chain.pem')), 'CERTIFICATE', 8)
    const driver = await readRim(toBase64(read(folder, 'driver-rim.xml')))
    const rim = driver.chain.map(({ der }) => der)
    const cases = [
      ['device-l2', chain.slice(3), nvidiaRoots.device],
      ['device-l3', chain.slice(2), nvidiaRoots.device],
      ['device-l4', chain.slice(1), nvidiaRoots.device],
      ['rim-l2', rim.slice(2), nvidiaRoots.rim],
      ['driver-rim-l3', rim.slice(1), nvidiaRoots.rim],
      ['driver-rim-l4', rim, nvidiaRoots.rim],
    ] as const
    for (const [file, [own, ...above], root] of cases) {
      const body = read(folder, `ocsp-${file}.der`)
      const parse = (der: Uint8Array) => parseCertificate(der, 'certificate', { times: 'any' })
      const name: OcspName = {
        kind: 'nvidia-ocsp',
        ...ocspSubject(certificateId(parse(own!), parse(above[0]!))),
      }
      const { thisUpdate } = parseOcsp(body)
      const context = { ...none, at: thisUpdate, crlOf: () => null }
      const item = await verifyItem({ name, body, chain: above }, context)
      expect([file, item.platform, item.root, item.revoked]).toEqual([file, 'hardware', root, false])
      expect(item.validUntil - item.issuedAt).toBe(86_400)
      const late = verifyItem({ name, body, chain: above }, { ...context, at: thisUpdate + 86_401 })
      await expect(late).rejects.toMatchObject({ code: 'ocsp/expired' })
    }
  })

  test('is affirming where it answers the nonce that is asked for, and refused where it does not', async () => {
    const at = Date.parse('2025-08-21T12:00:00Z') / 1000
    const result = await appraiseEvidence(whole([]), none, {
      expectedReportData: new Uint8Array(64),
      referenceValues: testGpuValues({ rim: 'required', driverVersionMin: '550.90' }),
      tenantClass: 'production',
      at,
    })
    // The nonce of a capture belongs to no report data of ours: that alone is wrong with it.
    const refused = result.checks.filter((check) => check.status !== 'affirming')
    expect(refused.map((check) => check.id)).toEqual(['report-data'])
  })

  test('is NOT HARDWARE with a RIM under a simulated root, which nobody can name for production', async () => {
    const at = testTime
    const golden = { 7: ['00'.repeat(48)] }
    const rim = toBase64(await mintRim({ version: '550.90.07', product: 'GH100', golden }))
    const evidence = { ...whole([]), rims: [{ id: 'NV_GPU_DRIVER_GH100_550.90.07', rim }] }
    const { platform } = await verifyEvidence(evidence, { simulatedRoots: [rimRootDigest] }, at)
    expect(platform).toBe('simulated')
    await expect(verifyEvidence(evidence, none, at)).rejects.toMatchObject({ code: 'gpu/unknown-root' })
  })

  test('answers on its RIMs are good at their own time, two months later', async () => {
    const at = Date.parse('2025-10-24T12:00:00Z') / 1000
    const names = ['rim-l2', 'driver-rim-l3', 'driver-rim-l4', 'vbios-rim-l4']
    const { claims } = await verifyEvidence(whole(answers(...names)), none, at)
    expect(claims.ocsp).toMatchObject({ needed: 7, answered: 4 })
    await expect(verifyEvidence(whole(answers('device-l2')), none, at)).rejects.toMatchObject({ code: 'ocsp/expired' })
  })

  test('eight GPUs and four switches are one board; without one of them they are not', async () => {
    const board = 'gh100-ppcie-8gpu-4switch-590.12'
    const names = Array.from({ length: 12 }, (_, i) => (i < 8 ? `gpu${i}-` : `switch${i}-`))
    const devices = names.map((name) => device(board, name))
    const at = Date.parse('2026-01-01T00:00:00Z') / 1000
    const problem = async (some: typeof devices) =>
      (await verifyEvidence({ kind: 'gpu', devices: some, rims: [], ocsp: [] }, none, at)).claims.topologyProblem
    expect(await problem(devices)).toBeNull()
    expect(await problem(devices.slice(1))).toBe('7 GPUs and 4 switches, not 8 and 4')
  })
})
