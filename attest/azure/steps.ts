import { snpChecks, snpSteps } from '#attest/snp/steps.js'
import { eventLogStep, tdxChecks, tdxSteps } from '#attest/tdx/steps.js'
import type { KindSteps, Step } from '#attest/trace.js'

const openhcl = 'Microsoft OpenHCL, openhcl_attestation_protocol, igvm_attest/get.rs'
const structures = 'TCG TPM 2.0 Library Part 2: Structures, revision 1.59'
const rsa = 'RFC 8017'
const tdx = 'Intel TDX Module ABI Specification, revision 1.5'
const own = 'docs/spec/evidence-azure.md'

const structure: Step = {
  id: 'azure/structure',
  document: openhcl,
  section: 'IgvmAttestRequestBase',
  expected:
    'an HCL report of 2600 bytes with sizes that agree and zeros elsewhere, and a TPM quote of one SHA-256 bank',
}
const paravisor: Step = {
  id: 'azure/paravisor',
  document: own,
  section: 'Steps of verification',
  expected: 'a report that was asked for at VMPL 0, where the paravisor alone runs',
}
const tdReport: Step = {
  id: 'azure/td-report',
  document: tdx,
  section: 'TDREPORT_STRUCT',
  expected: 'every field of the quote stands in the TDREPORT of the HCL report too',
}
/** Steps of a vTPM, in order, once the hardware is verified. */
const vtpmSteps: readonly Step[] = [
  {
    id: 'azure/runtime-binding',
    document: openhcl,
    section: 'IgvmAttestHashType',
    expected: 'REPORT_DATA is the digest of the runtime data as found, then zeros',
  },
  {
    id: 'azure/attestation-key',
    document: openhcl,
    section: 'RuntimeClaims; RsaJwk',
    expected: 'runtime data without duplicates, with one RSA-2048 key HCLAkPub that signs',
  },
  {
    id: 'azure/quote-signature',
    document: rsa,
    section: 'RSASSA-PKCS1-v1_5, Signature Verification Operation',
    expected: 'TPMS_ATTEST signed by HCLAkPub, PKCS#1 version 1.5 with SHA-256',
  },
  {
    id: 'azure/pcrs',
    document: structures,
    section: 'TPMS_QUOTE_INFO',
    expected: 'the values of exactly the quoted PCRs, whose digest in the order of their indices is the quote',
  },
]

const config = (id: string, expected: string): Step => ({
  id,
  document: openhcl,
  section: 'AttestationVmConfig',
  expected,
})
const extraData: Step = {
  id: 'report-data',
  document: structures,
  section: 'TPMS_ATTEST',
  expected: 'extraData of the quote is made of the report data of this challenge',
}
/** Comparisons of a vTPM. */
const vtpmChecks: readonly Step[] = [
  config('tpm-enabled', 'tpm-enabled is true'),
  ...Array.from({ length: 16 }, (_, index) => ({
    id: `pcr-${index}`,
    document: own,
    section: 'Reference values',
    expected: `PCR ${index} is quoted, and its value is one that the owner accepts`,
  })),
  config('secure-boot', 'secure-boot is true, where the owner requires it'),
  config('console', 'console-enabled is false, or the owner allows a console'),
  config('vm-id', 'vmUniqueId is one that the owner accepts'),
]

/** A challenge is bound by the quote, never by the hardware's own report data. */
const ofHardware = (checks: readonly Step[]) => checks.filter(({ id }) => id !== 'report-data')

/** Steps of verifyAzureSnp and comparisons of appraiseAzureSnp, in order. */
export const azureSnp: KindSteps = {
  steps: [structure, ...snpSteps, paravisor, ...vtpmSteps],
  checks: [extraData, ...ofHardware(snpChecks), ...vtpmChecks],
}
/** Steps of verifyAzureTdx and comparisons of appraiseAzureTdx, in order. There is no log to replay: registers are empty. */
export const azureTdx: KindSteps = {
  steps: [structure, ...tdxSteps.filter((step) => step !== eventLogStep), tdReport, ...vtpmSteps],
  checks: [extraData, ...ofHardware(tdxChecks), ...vtpmChecks],
}
