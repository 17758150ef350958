import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { appraiseEvidence } from '#attest/appraise.js'
import { makeCaches } from '#attest/caches.js'
import { deployedClaims } from '#attest/ear/deployed-claims.js'
import { parseReport } from '#attest/gpu/parse.js'
import { readRim } from '#attest/gpu/rim/rim.js'
import { nvidiaRoots } from '#attest/gpu/roots.js'
import { verifyEvidence } from '#attest/kinds.js'
import { noTrace } from '#attest/trace.js'
import { concat, fromBase64, fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { deviceNonceOf } from '#core/wire/binding.js'
import { anyEvidenceShape, evidenceShape, type GpuEvidence } from '#core/wire/evidence.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { codeOf } from '../../fakes/code-of.js'
import { goldenOf, gpuReportData, gpuRootDigest, mintGpuEvidence, single, versions } from '../../fakes/gpu.js'
import { mintRim, rimRootDigest } from '../../fakes/gpu-rim.js'
import { testGpuValues } from '../../fakes/gpu-vectors.js'
import { testTime } from '../../fakes/platform.js'

const anchors = { simulatedRoots: [gpuRootDigest, rimRootDigest] }
const alone = await mintGpuEvidence(single())
const report = fromBase64(alone.devices[0]!.report)
const rimFor = (version: string) => mintRim({ version, product: 'GH100', golden: goldenOf('HOPPER', [0, 1]) })
const driverRim = await mintRim({
  version: versions.HOPPER.driver,
  product: 'GH100',
  golden: goldenOf('HOPPER', [7, 8]),
})
const vbiosRim = await rimFor(versions.HOPPER.vbios)
const evidence: GpuEvidence = {
  ...alone,
  rims: [
    { id: 'NV_GPU_DRIVER_GH100_580.10.01', rim: toBase64(driverRim) },
    { id: 'NV_GPU_VBIOS_G520_0200_885_9600A50001', rim: toBase64(vbiosRim) },
  ],
}

const near = (good: Uint8Array) =>
  fc
    .record({
      changes: fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
      size: fc.oneof(fc.constant(good.length), fc.nat(good.length)),
      more: fc.uint8Array({ maxLength: 8 }),
    })
    .map(({ changes, size, more }) => {
      const bytes = good.slice(0, size)
      for (const [at, value] of changes) if (at < size) bytes[at] = value
      return concat(bytes, more)
    })

describe('on any bytes only a Failure is thrown', () => {
  test('report', () => {
    // Most of what can go wrong is behind the record, so that half of the changes are there.
    const behind = near(report.slice(3565)).map((bytes) => concat(report.subarray(0, 3565), bytes))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 5000 }), near(report), behind), (bytes) => {
        codeOf(() => parseReport(bytes))
      }),
      { numRuns: 2000 },
    )
  })

  test('RIM', async () => {
    const only = async (bytes: Uint8Array) => {
      try {
        await readRim(toBase64(bytes))
      } catch (error) {
        if (!isFailure(error)) throw error
        expect(error.code).toMatch(/^(gpu\/rim-|x509\/)/)
      }
    }
    await fc.assert(fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 500 }), near(driverRim)), only), {
      numRuns: 2000,
    })
  })
})

test('no changed bit of a report or of a RIM is accepted', async () => {
  const caches = makeCaches()
  await verifyEvidence(evidence, anchors, testTime, noTrace, caches)
  const rejects = (changed: GpuEvidence) =>
    expect(verifyEvidence(changed, anchors, testTime, noTrace, caches)).rejects.toMatchObject({ name: 'Failure' })
  const flip = (good: Uint8Array, at: number, bit: number) => {
    const bytes = good.slice()
    bytes[at]! ^= 1 << bit
    return toBase64(bytes)
  }
  await fc.assert(
    fc.asyncProperty(fc.nat(report.length - 1), fc.nat(7), async (at, bit) => {
      await rejects({ ...evidence, devices: [{ ...evidence.devices[0]!, report: flip(report, at, bit) }] })
    }),
    { numRuns: 150 },
  )
  const signed = fromUtf8(driverRim).indexOf('<ds:Signature ')
  await fc.assert(
    fc.asyncProperty(fc.nat(signed - 1), fc.nat(6), async (at, bit) => {
      await rejects({ ...evidence, rims: [{ ...evidence.rims[0]!, rim: flip(driverRim, at, bit) }, evidence.rims[1]!] })
    }),
    { numRuns: 150 },
  )
})

test('what was read before changes no verdict', async () => {
  const caches = makeCaches()
  const plain = await verifyEvidence(evidence, anchors, testTime)
  for (const vendor of [plain.signatures.vendor, 0]) {
    const again = await verifyEvidence(evidence, anchors, testTime, noTrace, caches)
    expect(again).toEqual({ ...plain, signatures: { evidence: 1, vendor } })
  }
  // A device, two RIMs and the texts of what came along.
  expect(caches.size).toBe(4)
  // Neither roots nor dates are remembered, and a signature of the device is verified each time.
  const rejection = (one: GpuEvidence, simulatedRoots: readonly string[], at: number) =>
    expect(verifyEvidence(one, { simulatedRoots }, at, noTrace, caches)).rejects
  await rejection(evidence, [gpuRootDigest], testTime).toMatchObject({ code: 'gpu/unknown-root' })
  await rejection(evidence, [rimRootDigest], testTime).toMatchObject({ code: 'gpu/unknown-root' })
  await rejection(evidence, anchors.simulatedRoots, testTime + 2000 * 86_400).toMatchObject({ code: 'chain/expired' })
  const changed = report.slice()
  changed[60]! ^= 1
  const forged = { ...evidence, devices: [{ ...evidence.devices[0]!, report: toBase64(changed) }] }
  await rejection(forged, anchors.simulatedRoots, testTime).toMatchObject({ code: 'gpu/signature' })
})

test('the roots that are compiled in are those of the files', () => {
  const digest = (file: string) => {
    const pem = readFileSync(new URL(`../../../attest/gpu/roots/${file}`, import.meta.url))
    const [der] = parsePem(fromUtf8(new Uint8Array(pem)), 'CERTIFICATE', 1)
    return toHex(sha256(parseCertificate(der!).spki))
  }
  expect({ device: digest('device-root.pem'), rim: digest('rim-root.pem') }).toEqual(nvidiaRoots)
  expect(Object.values(nvidiaRoots)).not.toContain(gpuRootDigest)
})

test('evidence of devices is none of a machine, under whatever name', () => {
  const json = evidence as unknown as Json
  expect(anyEvidenceShape(json, '')).toEqual(evidence)
  expect(codeOf(() => evidenceShape(json, ''))).toMatch(/^shape\//)
  for (const kind of ['snp', 'tdx', 'sgx', 'GPU', null])
    expect(codeOf(() => anyEvidenceShape({ ...(json as object), kind } as Json, ''))).toMatch(/^shape\//)
})

test('the nonce of devices is bound to the report data, whole, and is none of its bytes', () => {
  const nonce = deviceNonceOf(gpuReportData)
  expect(nonce).toHaveLength(32)
  const other = gpuReportData.slice()
  other[63]! ^= 1
  expect(toHex(deviceNonceOf(other))).not.toBe(toHex(nonce))
  expect(toHex(nonce)).not.toBe(toHex(sha256(gpuReportData)))
})

test('good simulated devices are a warning, with what they run, under the names of NVIDIA too', async () => {
  const input = {
    expectedReportData: gpuReportData,
    referenceValues: testGpuValues({ rim: 'required' }),
    tenantClass: 'development' as const,
    at: testTime,
  }
  const result = await appraiseEvidence(evidence, anchors, input)
  expect(result).toMatchObject({ status: 'warning', platform: 'simulated', failure: null, kind: 'gpu' })
  expect(result.checks.filter((check) => check.status !== 'affirming').map((check) => check.id)).toEqual([
    'platform',
    'topology',
  ])
  const [device] = result.claims!.devices
  expect(device).toMatchObject({ architecture: 'HOPPER', mode: 'PPCIE', driverRim: { compared: 2, differing: [] } })
  expect(deployedClaims(result.claims!)).toEqual({
    nvidia: {
      eat_nonce: toHex(deviceNonceOf(gpuReportData)),
      'GPU-0': {
        hwmodel: 'GH100',
        ueid: device!.deviceId,
        'x-nvidia-gpu-driver-version': '580.10.01',
        'x-nvidia-gpu-vbios-version': '96.00.A5.00.01',
      },
    },
  })
})
