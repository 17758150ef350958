import { realmClaim } from '#attest/cca/layout.js'
import {
  type Binding,
  deviceNonceOf,
  deviceReportDataOf,
  devicesDigestOf,
  documentDigest,
  noDevicesDigest,
  reportDataOf,
  tpmExtraDataOf,
} from '#core/wire/binding.js'
import type { CompositeEvidence, DeviceEvidence, MachineEvidence } from '#core/wire/evidence.js'
import { mintAzureEvidence } from './azure.js'
import { mintCcaEvidence } from './cca.js'
import { mintDcapEvidence } from './dcap.js'
import { type MintDevice, mintGpuEvidence } from './gpu.js'
import { mintNitroEvidence } from './nitro.js'
import { type Breakage, mintEvidence } from './snp.js'

/** What one node is asked: devices answer it first, then the machine binds what they answered. */
export function challenge(change: Partial<Binding> = {}): Binding {
  return {
    purpose: 'claviger.release.v1',
    audience: 'A'.repeat(43),
    model: `${'B'.repeat(43)}/model`,
    nonce: 'A'.repeat(43),
    keyset_digest: '11'.repeat(32),
    devices_digest: noDevicesDigest,
    config_digest: '22'.repeat(32),
    trust_digest: '33'.repeat(32),
    ...change,
  }
}

// Signatures are random: what is asked for twice is minted once, so that cases can share their files.
const known = new Map<string, Promise<DeviceEvidence>>()
/** Evidence of devices that answer this challenge. */
export function mintDevices(binding: Binding, devices: readonly Partial<MintDevice>[]): Promise<DeviceEvidence> {
  const nonce = deviceNonceOf(deviceReportDataOf(binding))
  const minted = devices.map((device, number) => ({ architecture: 'HOPPER', number, nonce, ...device }) as MintDevice)
  const broken = devices.some((device) => Object.values(device).some((value) => typeof value === 'function'))
  if (broken) return mintGpuEvidence(minted)
  const key = documentDigest(minted.map((device) => ({ ...device, nonce: [...(device.nonce ?? [])] })))
  const evidence = known.get(key) ?? mintGpuEvidence(minted)
  known.set(key, evidence)
  return evidence
}

export type Machine = MachineEvidence['kind']

/** Evidence of a machine that carries these 64 bytes, as its kind does. */
export async function mintMachine(kind: Machine, reportData: Uint8Array, snp: Breakage = {}): Promise<MachineEvidence> {
  if (kind === 'tdx') return mintDcapEvidence({ report: (body) => body.set(reportData, 520) })
  if (kind === 'sgx') return mintDcapEvidence({ tee: 'sgx', report: (body) => body.set(reportData, 320) })
  if (kind === 'azure-snp') return mintAzureEvidence({ extraData: tpmExtraDataOf(reportData) })
  if (kind === 'azure-tdx') return mintAzureEvidence({ hardware: 'tdx', extraData: tpmExtraDataOf(reportData) })
  if (kind === 'nitro') return mintNitroEvidence({ members: (members) => members.set('user_data', reportData) })
  if (kind === 'cca') return mintCcaEvidence({ realm: (claims) => claims.set(realmClaim.challenge, reportData) })
  return mintEvidence({ ...snp, report: { ...snp.report, reportData } })
}

/** The binding that a good node would make of a challenge and of what its devices answered. */
export function bound(binding: Binding, devices: readonly DeviceEvidence[]): Binding {
  return { ...binding, devices_digest: documentDigest(devices) }
}

/** A node with devices: everything answers one challenge and is bound together. */
export async function mintComposite(
  kind: Machine,
  devices: readonly Partial<MintDevice>[],
  change: Partial<Binding> = {},
): Promise<{ readonly evidence: CompositeEvidence; readonly binding: Binding }> {
  const asked = challenge(change)
  const answered = [await mintDevices(asked, devices)]
  const binding = bound(asked, answered)
  const cpu = await mintMachine(kind, reportDataOf(binding))
  const evidence: CompositeEvidence = { kind: 'composite', cpu, devices: answered }
  if (devicesDigestOf(evidence) !== binding.devices_digest) throw new Error('the binding names other devices')
  return { evidence, binding }
}
