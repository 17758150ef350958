import { azureSnp, azureTdx } from '#attest/azure/steps.js'
import { ccaChecks, ccaSteps } from '#attest/cca/steps.js'
import { gpuChecks, gpuSteps } from '#attest/gpu/steps.js'
import { nitroChecks, nitroSteps } from '#attest/nitro/steps.js'
import { sgxChecks, sgxSteps } from '#attest/sgx/steps.js'
import { snpChecks, snpSteps } from '#attest/snp/steps.js'
import { tdxChecks, tdxSteps } from '#attest/tdx/steps.js'
import type { KindSteps, Step } from '#attest/trace.js'
import type { DeviceEvidence, PartEvidence } from '#core/wire/evidence.js'

/** Comparisons that every kind can come to. */
const everyKind: readonly Step[] = [
  {
    id: 'reference-values',
    document: 'docs/spec/evidence.md',
    section: 'Reference values',
    expected: 'reference values of the owner for this kind of evidence',
  },
]

/** Comparisons of every machine, whatever devices it has. */
const everyMachine: readonly Step[] = [
  ...everyKind,
  {
    id: 'devices',
    document: 'docs/spec/evidence-composite.md',
    section: 'Appraisal',
    expected: 'evidence of devices comes along where the owner asks for devices',
  },
  {
    id: 'devices-digest',
    document: 'docs/spec/evidence-composite.md',
    section: 'Binding',
    expected: 'the binding names the digest of exactly the devices whose evidence came along, or of none',
  },
]

/** Two parts of a node may compare the same thing: each comparison keeps a name of its own. Steps and codes of a kind have one. */
export function devicesId(kind: DeviceEvidence['kind'], id: string): string {
  return id.startsWith(`${kind}/`) ? id : `devices/${id}`
}

/** Every step and comparison there is, by kind of evidence. docs/spec/checks.md is this table as a page. */
export const catalogue: Readonly<Record<PartEvidence['kind'], KindSteps>> = {
  snp: { steps: snpSteps, checks: [...everyMachine, ...snpChecks] },
  tdx: { steps: tdxSteps, checks: [...everyMachine, ...tdxChecks] },
  sgx: { steps: sgxSteps, checks: [...everyMachine, ...sgxChecks] },
  gpu: { steps: gpuSteps, checks: [...everyKind, ...gpuChecks] },
  nitro: { steps: nitroSteps, checks: [...everyMachine, ...nitroChecks] },
  'azure-snp': { steps: azureSnp.steps, checks: [...everyMachine, ...azureSnp.checks] },
  'azure-tdx': { steps: azureTdx.steps, checks: [...everyMachine, ...azureTdx.checks] },
  cca: { steps: ccaSteps, checks: [...everyMachine, ...ccaChecks] },
}

/**
 * Comparisons of devices beside a machine, under the ids that they have in the trace of composite evidence. Their steps keep
 * the ids of the kind.
 */
export const besideMachine: readonly Step[] = catalogue.gpu.checks.map((step) => ({
  ...step,
  id: devicesId('gpu', step.id),
}))
