import type { Binding } from '#core/wire/binding.js'
import { tpmExtraDataOf } from '#core/wire/binding.js'
import type { DeviceEvidence, MachineEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import { defaultPolicy } from '#runtime/attester/simulated/report.js'
import { type AzureBreakage, mintAzureEvidence } from './azure.js'
import { testAzureValues } from './azure-vectors.js'
import { ccaKeyDigests, mintCcaEvidence } from './cca.js'
import { testCcaValues } from './cca-vectors.js'
import { mintDevices } from './composite.js'
import { dcapRootDigest, mintDcapEvidence } from './dcap.js'
import { testSgxValues, testTdxValues } from './dcap-vectors.js'
import { gpuRootDigest } from './gpu.js'
import { rimRootDigest } from './gpu-rim.js'
import { testGpuValues } from './gpu-vectors.js'
import { mintNitroEvidence, nitroRootDigest } from './nitro.js'
import { testNitroValues } from './nitro-vectors.js'
import { testReferenceValues, testRootDigest } from './platform.js'
import { mintEvidence } from './snp.js'

export type MachineKind = MachineEvidence['kind']

/** A simulated machine of one kind, good at `testTime`, and what an owner who believes it would sign. NOT HARDWARE. */
export interface FakeMachine {
  readonly attest: (reportData: Uint8Array) => Promise<MachineEvidence>
  /** the same machine with a guest that its host can look into */
  readonly debug: (reportData: Uint8Array) => Promise<MachineEvidence>
  readonly simulatedRoots: readonly string[]
  readonly values: ReferenceValues
  /** id of the machine, hex; null where its kind has none */
  readonly platformId: string | null
  /** a value that names software on it beside the first; null where there is none */
  readonly register: string | null
  readonly title: string
}

const azure = (broken: AzureBreakage) => (reportData: Uint8Array) =>
  mintAzureEvidence({ ...broken, extraData: tpmExtraDataOf(reportData) })
const debugTd = (body: Uint8Array) => void (body[120]! |= 1)
const snpDebug = { policy: defaultPolicy | (1n << 19n) }
const ppid = '5a'.repeat(16)
const chip = '5a'.repeat(64)

/** One machine of every kind. A kind without one does not compile. */
export const fakeMachines: Readonly<Record<MachineKind, FakeMachine>> = {
  snp: {
    attest: (reportData) => mintEvidence({ report: { reportData } }),
    debug: (reportData) => mintEvidence({ report: { reportData, ...snpDebug } }),
    simulatedRoots: [testRootDigest],
    values: testReferenceValues(),
    platformId: chip,
    register: null,
    title: 'SEV-SNP',
  },
  tdx: {
    attest: (reportData) => mintDcapEvidence({ report: (body) => body.set(reportData, 520) }),
    debug: (reportData) =>
      mintDcapEvidence({
        report(body) {
          body.set(reportData, 520)
          debugTd(body)
        },
      }),
    simulatedRoots: [dcapRootDigest],
    values: testTdxValues(),
    platformId: ppid,
    register: null,
    title: 'TDX',
  },
  sgx: {
    attest: (reportData) => mintDcapEvidence({ tee: 'sgx', report: (body) => body.set(reportData, 320) }),
    debug: (reportData) =>
      mintDcapEvidence({
        tee: 'sgx',
        report(body) {
          body.set(reportData, 320)
          body[48]! |= 2
        },
      }),
    simulatedRoots: [dcapRootDigest],
    values: testSgxValues(),
    platformId: ppid,
    register: null,
    title: 'SGX',
  },
  nitro: {
    attest: (reportData) => mintNitroEvidence({ members: (all) => void all.set('user_data', reportData) }),
    debug: (reportData) =>
      mintNitroEvidence({
        members(all) {
          all.set('user_data', reportData)
          const pcrs = all.get('pcrs') as Map<number, Uint8Array>
          for (const index of [0, 1, 2]) pcrs.set(index, new Uint8Array(48))
        },
      }),
    simulatedRoots: [nitroRootDigest],
    values: testNitroValues(),
    platformId: null,
    register: 'a8'.repeat(48),
    title: 'Nitro Enclaves',
  },
  cca: {
    attest: (reportData) => mintCcaEvidence({ realm: (all) => void all.set(10, reportData) }),
    debug: (reportData) =>
      mintCcaEvidence({
        realm: (all) => void all.set(10, reportData),
        platform: (all) => void all.set(2395, 0x4000),
      }),
    simulatedRoots: ccaKeyDigests,
    values: testCcaValues(),
    platformId: `01${'5a'.repeat(32)}`,
    register: '01'.repeat(32),
    title: 'CCA',
  },
  'azure-snp': {
    attest: azure({}),
    debug: azure({ snp: { report: snpDebug } }),
    simulatedRoots: [testRootDigest],
    values: testAzureValues(),
    platformId: chip,
    register: '09'.repeat(32),
    title: 'SEV-SNP behind the vTPM of an Azure confidential VM',
  },
  'azure-tdx': {
    attest: azure({ hardware: 'tdx' }),
    debug: azure({ hardware: 'tdx', tdx: { report: debugTd } }),
    simulatedRoots: [dcapRootDigest],
    values: testAzureValues(),
    platformId: ppid,
    register: '09'.repeat(32),
    title: 'TDX behind the vTPM of an Azure confidential VM',
  },
}

export const machineKinds = Object.keys(fakeMachines) as readonly MachineKind[]

/** One GPU beside a machine, and what an owner who asks for it signs. */
export const fakeGpu = {
  devices: async (binding: Binding): Promise<readonly DeviceEvidence[]> => [await mintDevices(binding, [{}])],
  simulatedRoots: [gpuRootDigest, rimRootDigest],
  values: testGpuValues(),
}
