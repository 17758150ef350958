import { type AttestationResult, type Platform, vectorOf } from '#attest/result.js'
import { devicesId } from '#attest/steps.js'
import type { Subject } from '#attest/subject.js'
import type { TracedStep } from '#attest/trace.js'
import { documentDigest } from '#core/wire/binding.js'
import type { Check } from '#core/wire/ear.js'
import type { CompositeEvidence, DeviceEvidence, MachineEvidence } from '#core/wire/evidence.js'
import { evidenceDigest } from '#core/wire/leaf.js'
import { worstTier } from '#core/wire/trust-vector.js'

/**
 * The verdict on a machine and its devices together: never better than that on any part. Claims are the machine's;
 * comparisons of devices stand under `devices/`, as `devices/report-data`, and their steps under the name of their kind.
 */
export function composed(
  evidence: CompositeEvidence,
  cpu: AttestationResult<MachineEvidence>,
  devices: readonly AttestationResult<DeviceEvidence>[],
): AttestationResult<CompositeEvidence> {
  const parts = [cpu, ...devices]
  const checks = [...cpu.checks, ...devices.flatMap(({ kind, checks }) => checks.map((one) => ofDevices(kind, one)))]
  const vector = vectorOf(checks)
  const failure = parts.find((part) => part.failure !== null)?.failure ?? null
  return {
    kind: evidence.kind,
    platform: worstPlatform(parts.map((part) => part.platform)),
    tenantClass: cpu.tenantClass,
    status: worstTier(vector),
    vector,
    checks,
    steps: [...cpu.steps, ...devices.flatMap(({ kind, steps }) => steps.map((one) => ofDevices(kind, one)))],
    skipped: cpu.skipped,
    failure,
    claims: failure === null ? cpu.claims : null,
    subject: failure === null ? subjectOf(cpu, devices) : null,
    parts,
    at: cpu.at,
    signatures: {
      evidence: parts.reduce((sum, { signatures }) => sum + signatures.evidence, 0),
      vendor: parts.reduce((sum, { signatures }) => sum + signatures.vendor, 0),
    },
    policy: cpu.policy,
    digests: {
      ...cpu.digests,
      collateral: documentDigest(parts.map((part) => part.digests.collateral)),
      evidence: evidenceDigest(evidence),
    },
  }
}

function ofDevices<T extends Check | TracedStep>(kind: DeviceEvidence['kind'], one: T): T {
  return { ...one, id: devicesId(kind, one.id) }
}

/** The machine with every device that answered beside it. */
function subjectOf(
  cpu: AttestationResult<MachineEvidence>,
  parts: readonly AttestationResult<DeviceEvidence>[],
): Subject {
  const of = (name: 'devices' | 'drivers' | 'vbioses') => parts.flatMap((part) => part.subject?.[name] ?? [])
  return {
    machine: cpu.subject?.machine ?? null,
    devices: of('devices'),
    drivers: of('drivers'),
    vbioses: of('vbioses'),
  }
}

/** I6: one simulated part makes the whole simulated, and one that did not verify says nothing of the whole. */
function worstPlatform(platforms: readonly Platform[]): Platform {
  const order: readonly Platform[] = ['unverified', 'simulated', 'hardware']
  return order.find((one) => platforms.includes(one)) ?? 'unverified'
}
