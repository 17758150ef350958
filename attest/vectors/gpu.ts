import { parseReport } from '#attest/gpu/parse.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { equal, fromHex, fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { type AnyEvidence, anyEvidenceShape, type GpuEvidence } from '#core/wire/evidence.js'

/** Prefixes of the roles of each device: none for a single one, else `gpu0`, `switch8` and so on. */
function devicesOf(input: CaseInput): readonly string[] {
  const named = [...input.roles.keys()].flatMap((role) => /^((?:gpu|switch)\d{1,2})Report$/.exec(role)?.[1] ?? [])
  return named.length > 0 ? named : ['']
}
const roleFor = (device: string, name: 'report' | 'chain') =>
  device === '' ? { report: 'report', chain: 'certChain' }[name] : device + { report: 'Report', chain: 'Chain' }[name]

function evidenceOf(input: CaseInput): GpuEvidence {
  const devices = devicesOf(input).map((device) => ({
    report: toBase64(roleOf(input, roleFor(device, 'report'))),
    chain: parsePem(fromUtf8(roleOf(input, roleFor(device, 'chain'))), 'CERTIFICATE', 8).map(toBase64),
  }))
  return anyEvidenceShape({ kind: 'gpu', devices }, 'evidence') as GpuEvidence
}

/**
 * Runs one case of GPUs and switches as the service would. A published case says the bare nonce that its devices
 * answered, which belongs to no report data: it is compared here, and nowhere else.
 */
export async function judgeGpu(input: CaseInput): Promise<Judgement> {
  const judged = await judge<AnyEvidence>(input, () => evidenceOf(input))
  if (judged.overall === 'fail' || input.nonce === null) return judged
  const answered = devicesOf(input).map((device) => parseReport(roleOf(input, roleFor(device, 'report'))).nonce)
  if (answered.every((nonce) => equal(nonce, input.nonce!))) return judged
  return { ...judged, overall: 'fail', code: 'report-data' }
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
    const { claims } = await verifyEvidence(evidenceOf(input), anchors, input.at)
    if (!all) compare('arch', claims.devices[0]!.architecture, (expected as Expected).arch)
  } catch (error) {
    // What does not verify has no claims to compare; that it does not is compared elsewhere.
    if (!isFailure(error)) throw error
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
