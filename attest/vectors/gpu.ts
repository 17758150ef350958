import type { GpuClaims, GpuDeviceClaims } from '#attest/gpu/claims.js'
import { parseReport } from '#attest/gpu/parse.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { equal, fromHex, fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { anyEvidenceShape, type GpuEvidence, type PartEvidence } from '#core/wire/evidence.js'
import { parseOcsp } from '#core/x509/ocsp-answer.js'

/** Prefixes of the roles of each device: none for a single one, else `gpu0`, `switch8` and so on. */
function devicesOf(input: CaseInput): readonly string[] {
  const named = [...input.roles.keys()].flatMap((role) => /^((?:gpu|switch)\d{1,2})Report$/.exec(role)?.[1] ?? [])
  return named.length > 0 ? named : ['']
}
const roleFor = (device: string, name: 'report' | 'chain') =>
  device === '' ? { report: 'report', chain: 'certChain' }[name] : device + { report: 'Report', chain: 'Chain' }[name]

/** Devices alone: report and chain of each. */
function devicesAlone(input: CaseInput): GpuEvidence {
  const devices = devicesOf(input).map((device) => ({
    report: toBase64(roleOf(input, roleFor(device, 'report'))),
    chain: parsePem(fromUtf8(roleOf(input, roleFor(device, 'chain'))), 'CERTIFICATE', 8).map(toBase64),
  }))
  return anyEvidenceShape({ kind: 'gpu', devices, rims: [], ocsp: [] }, 'evidence') as GpuEvidence
}

/**
 * The whole evidence: a case names a RIM by what it is of, and it goes under every id that a device asks for so. What
 * does not fit its device is refused then, as it would be if the vendor's service had given out a wrong one. A case whose
 * answers are of several times says so: then those go along that are current at its time, and gpuDifferences judges the
 * others at theirs.
 */
function wholeEvidence(input: CaseInput, alone: GpuEvidence, { devices }: GpuClaims): GpuEvidence {
  const rims = new Map<string, Uint8Array>()
  const add = (id: string | null, role: string) => {
    const bytes = input.roles.get(role)
    const own = Object.hasOwn(input.rimIds, role) ? input.rimIds[role]! : id
    if (own !== null && bytes) rims.set(own, bytes)
  }
  for (const { kind, rimIds } of devices) {
    add(rimIds.driver, 'driverRim')
    add(rimIds.vbios, kind === 'switch' && devices.length > 1 ? 'switchRim' : 'vbiosRim')
  }
  const list = [...rims].map(([id, bytes]) => ({ id, rim: toBase64(bytes) }))
  const more = input.roles.get('moreRim')
  if (more) list.push({ id: list[0]?.id ?? 'NV_GPU_DRIVER_GH100_1.0', rim: toBase64(more) })
  const ocsp = [...input.roles].flatMap(([role, bytes]) => (isAnswerNow(role, bytes, input) ? [toBase64(bytes)] : []))
  return anyEvidenceShape({ ...alone, rims: list, ocsp }, 'evidence') as GpuEvidence
}

function isAnswerNow(role: string, bytes: Uint8Array, { ocspWindows, at }: CaseInput): boolean {
  if (!role.startsWith('ocsp')) return false
  if (ocspWindows.length === 0) return true
  const { thisUpdate, nextUpdate } = parseOcsp(bytes)
  return thisUpdate <= at && at <= nextUpdate
}

/** The envelope that a node would send, with what its devices ask for. @throws those of verifyGpu */
export async function evidenceOf(input: CaseInput): Promise<GpuEvidence> {
  const alone = devicesAlone(input)
  const { claims } = await verifyEvidence(alone, { simulatedRoots: input.simulatedRoots }, input.at)
  return wholeEvidence(input, alone, claims)
}

/**
 * Runs one case of GPUs and switches as the service would. Its cryptography is that of the devices alone, as published
 * cases mean it: what is wrong with a RIM is not. A published case says the bare nonce that its devices answered, which
 * belongs to no report data: it is compared here, and nowhere else.
 */
export async function judgeGpu(input: CaseInput): Promise<Judgement> {
  const judged = await judgeWithCollateral(input)
  if (judged.overall === 'fail' || input.nonce === null) return judged
  // It verified, so that all devices answered one nonce.
  const { nonce } = parseReport(roleOf(input, roleFor(devicesOf(input)[0]!, 'report')))
  return equal(nonce, input.nonce) ? judged : { ...judged, overall: 'fail', code: 'report-data' }
}

async function judgeWithCollateral(input: CaseInput): Promise<Judgement> {
  const collateral = [...input.roles.keys()].some((role) => role.endsWith('Rim') || role.startsWith('ocsp'))
  if (!collateral) return judge<PartEvidence>(input, () => devicesAlone(input))
  let alone: GpuEvidence
  let claims: GpuClaims
  try {
    alone = devicesAlone(input)
    claims = (await verifyEvidence(alone, { simulatedRoots: input.simulatedRoots }, input.at)).claims
  } catch (error) {
    if (!isFailure(error)) throw error
    // What fails alone fails here too, and with its trace.
    return judge<PartEvidence>(input, () => devicesAlone(input))
  }
  return { ...(await judge<PartEvidence>(input, () => wholeEvidence(input, alone, claims))), crypto: 'pass' }
}

interface Expected {
  readonly [name: string]: unknown
}

/** What the case decoded otherwise than the verifier. */
export async function gpuDifferences(expected: unknown, input: CaseInput): Promise<readonly string[]> {
  const out: string[] = []
  const all = (expected as { readonly devices?: readonly Expected[] }).devices
  const compare = (name: string, found: unknown, want: unknown) => {
    if (want !== undefined && found !== want) out.push(`${name} is ${found}, expected ${want}`)
  }
  for (const [i, device] of devicesOf(input).entries()) {
    const wanted = all ? all[i]! : (expected as Expected)
    compareReport(roleOf(input, roleFor(device, 'report')), wanted, (name, found, want) =>
      compare(device + name, found, want),
    )
  }
  try {
    const anchors = { simulatedRoots: input.simulatedRoots }
    const alone = devicesAlone(input)
    const { claims } = await verifyEvidence(alone, anchors, input.at)
    if (!all) compare('arch', claims.devices[0]!.architecture, (expected as Expected).arch)
    const whole = await verifyEvidence(wholeEvidence(input, alone, claims), anchors, input.at)
    compareGolden(whole.claims.devices[0]!, expected as Expected, compare)
  } catch (error) {
    // What does not verify has no claims to compare; that it does not is compared elsewhere.
    if (!isFailure(error)) throw error
  }
  return [...out, ...(await answersOfOtherTimes(input))]
}

/** Answers that are not current at the time of the case, judged at their own. */
async function answersOfOtherTimes(input: CaseInput): Promise<readonly string[]> {
  const out: string[] = []
  for (const [from] of input.ocspWindows) {
    const then = { ...input, at: from! }
    try {
      const anchors = { simulatedRoots: input.simulatedRoots }
      const alone = devicesAlone(input)
      const { claims } = await verifyEvidence(alone, anchors, then.at)
      const whole = await verifyEvidence(wholeEvidence(then, alone, claims), anchors, then.at)
      if (whole.claims.ocsp.answered === 0) out.push(`no OCSP answer is current at ${formatTime(then.at)}`)
    } catch (error) {
      if (!isFailure(error)) throw error
      out.push(`OCSP answers at ${formatTime(then.at)}: ${error.message}`)
    }
  }
  return out
}

function compareReport(
  bytes: Uint8Array,
  wanted: Expected,
  compare: (name: string, found: unknown, want: unknown) => void,
): void {
  const { blocks, opaque } = parseReport(bytes)
  compare('measurementBlocks', blocks.length, wanted.measurementBlocks)
  compare('driverVersion', opaque.driverVersion, wanted.driverVersion)
  compare('vbiosVersion', opaque.vbiosVersion, wanted.vbiosVersion)
  compare('project', opaque.project, wanted.project)
  compare('projectSku', opaque.projectSku, wanted.projectSku)
  compare('chipSku', opaque.chipSku, wanted.chipSku)
  compare('nvdec0Status', opaque.nvdec0, wanted.nvdec0Status)
  compare('fwid', opaque.fwid && toHex(opaque.fwid), wanted.fwid)
  compare('opaqueDataVersion', opaque.version, wanted.opaqueDataVersion)
  compare('chipInfo', opaque.chipInfo, wanted.chipInfo)
  const feature = wanted.featureFlag
  if (typeof feature === 'string') compare('feature', opaque.feature, ['SPT', 'MPT', 'PPCIE'][fromHex(feature)[0]!])
  const pcie = wanted.protectedPcieStatus
  if (typeof pcie === 'string') compare('protectedPcie', opaque.protectedPcie, pcie === 'aa')
  if (typeof wanted.pdis === 'string') compare('pdis', opaque.switchPdis.join(''), wanted.pdis)
  for (const [index, digest] of Object.entries((wanted.measurements ?? {}) as Readonly<Record<string, string>>)) {
    const block = blocks[Number(index) - 1]
    if (!block) throw new Failure<CaseCode>('case/form', `case has measurement ${index}, the report has not`)
    compare(`measurement ${index}`, toHex(block), digest)
  }
}

/** A case counts index 35 of the driver RIM whatever NVDEC0 is; the verifier leaves it out while that is disabled. */
function compareGolden(
  { driverRim, vbiosRim, nvdec0 }: GpuDeviceClaims,
  wanted: Expected,
  compare: (name: string, found: unknown, want: unknown) => void,
): void {
  if (wanted.goldenActive === undefined) return
  const left = driverRim && nvdec0 === 'disabled' ? 1 : 0
  const compared = (driverRim?.compared ?? 0) + (vbiosRim?.compared ?? 0)
  compare('goldenActive', compared + left, wanted.goldenActive)
  const differing = [
    ...(driverRim?.differing ?? []).map((index) => `driverRim:${index}`),
    ...(vbiosRim?.differing ?? []).map((index) => `vbiosRim:${index}`),
  ]
  compare('goldenMatched', compared - differing.length + left, wanted.goldenMatched)
  compare('goldenDiffering', differing.join(), (wanted.goldenDiffering as readonly string[]).join())
  for (const [name, rim] of Object.entries({ driverRim, vbiosRim }))
    compare(`${name} version`, rim?.version, (wanted[name] as { readonly version?: string } | undefined)?.version)
}
