import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { formatTime } from '#core/time.js'
import type { GpuReferenceValues, ReferenceValues } from '#core/wire/reference-values.js'
import type { CollateralFloor } from '#core/wire/trust-file.js'
import { ocspSubject } from '#core/x509/ocsp-request.js'
import { deviceSubjects, gpuReportData, gpuRootDigest, kindOf, mintGpuEvidence } from './gpu.js'
import { type GpuCase, gpuCases } from './gpu-cases.js'
import { mintRim, rimRootDigest, rimSubjects } from './gpu-rim.js'
import { mintOcsp, subjectId } from './ocsp.js'
import { testTime } from './platform.js'

/** Reference values that one good minted GPU meets. */
export function testGpuValues(overrides: Partial<GpuReferenceValues> = {}): ReferenceValues {
  const gpu = { devices: { HOPPER: 1 }, rim: 'when-given', ocsp: 'when-given', topology: 'any', ...overrides }
  return { gpu: gpu as GpuReferenceValues }
}

async function filesOf(one: GpuCase): Promise<ReadonlyMap<string, Uint8Array>> {
  const evidence = await mintGpuEvidence(one.devices)
  const files = new Map<string, Uint8Array>()
  for (const [i, device] of evidence.devices.entries()) {
    const name = evidence.devices.length === 1 ? '' : `${kindOf(one.devices[i]!.architecture)}${i}`
    const chain = device.chain.map((text) => encodePem(fromBase64(text), 'CERTIFICATE')).join('')
    files.set(name === '' ? 'report' : `${name}Report`, fromBase64(device.report))
    files.set(name === '' ? 'certChain' : `${name}Chain`, utf8(chain))
  }
  for (const [role, rim] of Object.entries(one.rims ?? {})) files.set(role, await mintRim(rim))
  const subjects = { ...deviceSubjects(one.devices[0]!.architecture), ...rimSubjects }
  for (const [role, change] of Object.entries(one.ocsp ?? {})) {
    const about = role === 'ocspMore' ? 'ocspDeviceL2' : role
    files.set(role, await mintOcsp(subjects[about]!, change))
  }
  files.set('referenceValues', canonicalJson(one.values === null ? {} : testGpuValues(one.values)))
  return files
}

const kebab = (role: string) => role.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
function fileName(role: string): string {
  if (role.toLowerCase().endsWith('report')) return `${kebab(role)}.bin`
  if (role.startsWith('ocsp')) return `${kebab(role)}.der`
  if (role.endsWith('Rim')) return `${kebab(role)}.xml`
  return role.toLowerCase().endsWith('chain') ? `${kebab(role)}.pem` : `${kebab(role)}.json`
}

/** Every minted case as path and bytes below one folder. A file that an earlier case has is named, not repeated. */
export async function mintGpuVectors(): Promise<ReadonlyMap<string, Uint8Array>> {
  const out = new Map<string, Uint8Array>()
  const known = new Map<string, string>()
  for (const one of gpuCases) {
    const files: Record<string, string> = {}
    for (const [role, bytes] of await filesOf(one)) {
      const name = fileName(role)
      const digest = `${name.slice(name.lastIndexOf('.'))} ${toHex(sha256(bytes))}`
      const path = known.get(digest) ?? `${one.name}/${name}`
      known.set(digest, path)
      out.set(path, bytes)
      files[role] = path.startsWith(`${one.name}/`) ? name : `../${path}`
    }
    out.set(`${one.name}/case.json`, utf8(`${JSON.stringify(caseJson(one, files), null, 2)}\n`))
  }
  return out
}

function floorsOf({ seenRevoked = {}, seenRims = {}, devices }: GpuCase): readonly CollateralFloor[] {
  const subjects = { ...deviceSubjects(devices[0]!.architecture), ...rimSubjects }
  const revoked = Object.entries(seenRevoked).map(([role, issuedAtMin]) => ({
    ...{ kind: 'nvidia-revoked' as const, ...ocspSubject(subjectId(subjects[role]!)), issuedAtMin },
  }))
  const rims = Object.entries(seenRims).map(([id, issuedAtMin]) => ({
    kind: 'nvidia-rim' as const,
    id,
    root: rimRootDigest,
    issuedAtMin,
  }))
  return [...revoked, ...rims]
}

function caseJson(one: GpuCase, files: Readonly<Record<string, string>>): unknown {
  return {
    tee: 'nvidia-gpu',
    product: one.devices.map((device) => device.architecture).join(', '),
    realHardware: false,
    note: 'NOT HARDWARE',
    proves: one.name.replaceAll('-', ' '),
    source: 'minted by test/fakes/gpu-vectors.ts with the keys of test/fakes/gpu-keys.json',
    files,
    validAt: formatTime(testTime),
    reportData: toHex(one.reportData ?? gpuReportData),
    expect: one.code === null ? 'pass' : 'fail',
    expectCrypto: one.crypto,
    ...(one.code === null ? {} : { code: one.code }),
    ...(one.skips === undefined ? {} : { skips: one.skips }),
    simulatedRoots: one.unknownRoot ? [] : [gpuRootDigest, rimRootDigest],
    ...(one.rimIds === undefined ? {} : { rimIds: one.rimIds }),
    ...(one.seenRevoked === undefined && one.seenRims === undefined ? {} : { collateralFloors: floorsOf(one) }),
    tenantClass: one.tenantClass ?? 'development',
  }
}
