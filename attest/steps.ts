import { azureSnp, azureTdx } from '#attest/azure/steps.js'
import { ccaChecks, ccaSteps } from '#attest/cca/steps.js'
import { gpuChecks, gpuSteps } from '#attest/gpu/steps.js'
import { nitroChecks, nitroSteps } from '#attest/nitro/steps.js'
import { sgxChecks, sgxSteps } from '#attest/sgx/steps.js'
import { snpChecks, snpSteps } from '#attest/snp/steps.js'
import { tdxChecks, tdxSteps } from '#attest/tdx/steps.js'
import type { KindSteps, Step } from '#attest/trace.js'
import type { AnyEvidence } from '#core/wire/evidence.js'

/** Comparisons that every kind can come to. */
const everyKind: readonly Step[] = [
  {
    id: 'reference-values',
    document: 'docs/spec/evidence.md',
    section: 'Reference values',
    expected: 'reference values of the owner for this kind of evidence',
  },
]

/** Every step and comparison there is, by kind of evidence. docs/spec/checks.md is this table as a page. */
export const catalogue: Readonly<Record<AnyEvidence['kind'], KindSteps>> = {
  snp: { steps: snpSteps, checks: [...everyKind, ...snpChecks] },
  tdx: { steps: tdxSteps, checks: [...everyKind, ...tdxChecks] },
  sgx: { steps: sgxSteps, checks: [...everyKind, ...sgxChecks] },
  gpu: { steps: gpuSteps, checks: [...everyKind, ...gpuChecks] },
  nitro: { steps: nitroSteps, checks: [...everyKind, ...nitroChecks] },
  'azure-snp': { steps: azureSnp.steps, checks: [...everyKind, ...azureSnp.checks] },
  'azure-tdx': { steps: azureTdx.steps, checks: [...everyKind, ...azureTdx.checks] },
  cca: { steps: ccaSteps, checks: [...everyKind, ...ccaChecks] },
}
