import type { Anchors } from '#attest/anchors.js'
import { type Caches, noCaches } from '#attest/caches.js'
import { type DeviceIdentity, verifyDeviceChain } from '#attest/gpu/chain.js'
import type { GpuCode } from '#attest/gpu/codes.js'
import {
  type DeviceRims,
  type Golden,
  rimsOf,
  type VerifiedAnswers,
  verifyAnswers,
  verifyRims,
} from '#attest/gpu/collateral.js'
import { type GpuReport, parseReport } from '#attest/gpu/parse.js'
import type { Trace } from '#attest/trace.js'
import { equal, toHex } from '#core/bytes/bytes.js'
import { verifySpkiSignature } from '#core/crypto/sign.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import type { GpuEvidence } from '#core/wire/evidence.js'

declare const verified: unique symbol

/** A device whose report, identity and firmware are true, and what its maker's RIMs say of it. */
export interface VerifiedDevice {
  readonly report: GpuReport
  readonly identity: DeviceIdentity
  readonly rims: DeviceRims
}

/** Devices that answered one nonce, each a different one. Only verifyGpu makes it. */
export interface VerifiedGpu {
  readonly [verified]: true
  /** `hardware` only when every root is NVIDIA's */
  readonly platform: 'hardware' | 'simulated'
  /** 32 bytes */
  readonly nonce: Uint8Array
  readonly devices: readonly VerifiedDevice[]
  readonly ocsp: VerifiedAnswers
}

function refuse(code: GpuCode, message: string, cause?: unknown): Failure<GpuCode> {
  return new Failure<GpuCode>(code, message, { cause })
}

/**
 * Verifies that genuine NVIDIA devices, or simulated ones under a root that the caller named, made these reports for one
 * nonce. What the reports say, the nonce included, is not judged here: the appraisal does.
 *
 * at      the time at which certificates must be valid
 *         Golden values are compared, but a difference is no failure: the appraisal judges it.
 * throws  GpuCode, and those of core/x509: x509/..., chain/..., ocsp/...
 * source  NVIDIA nvtrust, local_gpu_verifier, "attest"
 */
export async function verifyGpu(
  evidence: GpuEvidence,
  anchors: Anchors,
  at: UnixSeconds,
  trace: Trace,
  given: Caches = noCaches(),
): Promise<VerifiedGpu> {
  // Devices of one system share three certificates of five, and RIMs share theirs: each signature is verified once.
  const caches = given.forOneRun()
  const reports = evidence.devices.map((device) => parseReport(caches.decode(device.report)))
  trace('gpu/structure', countOf(reports))
  const identities: DeviceIdentity[] = []
  const certificates = new Map()
  for (const [i, { chain }] of evidence.devices.entries())
    identities.push(await verifyDeviceChain(chain, reports[i]!.kind, anchors, at, certificates, caches))
  trace('gpu/chain', () => [...new Set(identities.map((one) => one.chip))].join(', '))
  verifyDistinct(identities)
  trace('gpu/distinct', () => identities.map((one) => one.pdi).join(', '))
  const nonce = verifyOneNonce(reports)
  trace('gpu/nonce', toHex(nonce))
  for (const [i, report] of reports.entries()) await verifyReportSignature(report, identities[i]!, caches)
  trace('gpu/signature', () => `${reports.length} good, each by the key of its own device`)
  for (const [i, report] of reports.entries()) verifyFirmware(report, identities[i]!)
  trace('gpu/firmware', () => firmwareOf(reports, identities))
  const parts = reports.map((report, i) => ({ report, identity: identities[i]! }))
  const rims = await verifyRims(evidence.rims, parts, anchors, at, caches)
  const devices = parts.map((device) => ({ ...device, rims: rimsOf(device, rims.verified) }))
  const without = devices.flatMap(missingRims)
  const isWhole = without.length === 0
  if (isWhole) trace('gpu/rim', () => evidence.rims.map(({ id }) => id).join(', '))
  else trace('gpu/rim', () => rimsFound(evidence.rims.length, without), 'skip')
  const { answers: ocsp, unanswered } = await verifyAnswers(evidence.ocsp, parts, rims, anchors, at, caches)
  if (unanswered.length === 0) trace('gpu/ocsp', `${ocsp.answered} of ${ocsp.needed} certificates are good`)
  else trace('gpu/ocsp', () => answersFound(ocsp, unanswered), 'skip')
  if (isWhole) trace('gpu/golden', () => comparedOf(devices))
  else trace('gpu/golden', () => goldenFound(devices, without), 'skip')
  const simulated = rims.simulated || identities.some((one) => one.platform === 'simulated')
  return { platform: simulated ? 'simulated' : 'hardware', nonce, devices, ocsp } as unknown as VerifiedGpu
}

function comparedOf(devices: readonly VerifiedDevice[]): string {
  const golden = devices.flatMap(({ rims }) => [rims.driver, rims.vbios].filter((one) => one !== null))
  const sum = (count: (one: Golden) => number) => golden.reduce((total, one) => total + count(one), 0)
  return `${sum((one) => one.compared.length)} compared, ${sum((one) => one.differing.length)} differ`
}

/** RIMs that a device asks for, or would if it named its board, and that did not come along; a switch has none of a driver. */
function missingRims({ report, identity, rims }: VerifiedDevice): readonly string[] {
  const { ids, driver, vbios } = rims
  return [
    ...(report.kind === 'gpu' && driver === null ? [ids.driver ?? `driver of ${identity.pdi}`] : []),
    ...(vbios === null ? [ids.vbios ?? `VBIOS of ${identity.pdi}, which does not name its board`] : []),
  ]
}

/** What is said of a step that only part of its input came along for; of none at all the catalogue says it (empty). */
const rimsFound = (given: number, without: readonly string[]): string =>
  given === 0 ? '' : `${given} good, and not there: ${once(without)}; what those devices run is not known`

const answersFound = ({ answered, needed }: VerifiedAnswers, unanswered: readonly string[]): string =>
  answered === 0
    ? ''
    : `${answered} of ${needed} certificates are good; whether these were revoked is not known: ${once(unanswered)}`

const goldenFound = (devices: readonly VerifiedDevice[], without: readonly string[]): string =>
  devices.every(({ rims }) => rims.driver === null && rims.vbios === null)
    ? ''
    : `${comparedOf(devices)}; nothing to compare with for ${once(without)}`

const once = (names: readonly string[]): string => [...new Set(names)].join(', ')

function countOf(reports: readonly GpuReport[]): string {
  const gpus = reports.filter((one) => one.kind === 'gpu').length
  return `${gpus} GPUs, ${reports.length - gpus} switches`
}

/** The firmware of each certificate, and whose reports leave it out. */
function firmwareOf(reports: readonly GpuReport[], identities: readonly DeviceIdentity[]): string {
  return reports
    .map(({ opaque }, i) => `${toHex(identities[i]!.fwid)}${opaque.fwid === null ? ' (not in the report)' : ''}`)
    .join(', ')
}

/** One device cannot be counted twice, whatever certificates it shows. */
function verifyDistinct(identities: readonly DeviceIdentity[]): void {
  const seen = new Set<string>()
  for (const { pdi, chain } of identities) {
    const key = toHex(chain[0]!.spki)
    if (seen.has(pdi) || seen.has(key)) throw refuse('gpu/duplicate-device', `device ${pdi} is there twice`)
    seen.add(pdi).add(key)
  }
}

/** The nonce that every device answered. Whether it is the expected one is the appraisal's to say. */
function verifyOneNonce(reports: readonly GpuReport[]): Uint8Array {
  const [first] = reports as readonly [GpuReport]
  if (reports.some(({ nonce }) => !equal(nonce, first.nonce)))
    throw refuse('gpu/nonces-differ', 'devices answer different nonces')
  return first.nonce
}

async function verifyReportSignature(report: GpuReport, { chain, pdi }: DeviceIdentity, caches: Caches): Promise<void> {
  try {
    await verifySpkiSignature('ES384', chain[0]!.spki, report.signed, report.signature, 'report')
    caches.count('evidence')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw refuse('gpu/signature', `report was not signed by device ${pdi}`, cause)
  }
}

/** Drivers that write no digest of the firmware. */
const driversWithoutFwid = /^(535|545)\./

/** The firmware that made the report is the one that the certificate is for. */
function verifyFirmware({ opaque, kind }: GpuReport, { fwid, pdi }: DeviceIdentity): void {
  if (opaque.fwid !== null) {
    if (!equal(opaque.fwid, fwid))
      throw refuse('gpu/fwid', `firmware of device ${pdi} is not the one that its certificate is for`)
  } else if (kind === 'gpu' && !driversWithoutFwid.test(opaque.driverVersion ?? ''))
    throw refuse('gpu/fwid', `report of device ${pdi} does not say which firmware made it`)
}
