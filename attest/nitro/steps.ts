import type { Step } from '#attest/trace.js'

const process = 'AWS Nitro Enclaves NSM API, docs/attestation_process.md, commit c7ba5f32febe'
const guide = 'AWS Nitro Enclaves user guide, of 2025'
const own = 'docs/spec/evidence-nitro.md'

/** Steps of verifyNitro, in order. */
export const nitroSteps: readonly Step[] = [
  {
    id: 'nitro/structure',
    document: process,
    section: 'Syntactical Validation',
    expected:
      'COSE_Sign1 with ES384, protected header of the algorithm alone; known members, each once, in its type and size',
  },
  {
    id: 'nitro/root',
    document: process,
    section: 'Attestation Document Definition',
    expected: 'the first of cabundle has the root key of AWS, compiled in, or a simulated one that the caller named',
  },
  {
    id: 'nitro/chain',
    document: process,
    section: 'Semantical validation',
    expected:
      'certificate and cabundle, root first, form a chain that was valid at the timestamp; authorities have keyCertSign, ' +
      'the signing certificate has digitalSignature and is no authority; ES384 throughout',
  },
  {
    id: 'nitro/time',
    document: process,
    section: 'Certificates validity',
    expected: 'the timestamp is not after now, give or take a minute, and no certificate has expired by now',
  },
  {
    id: 'nitro/signature',
    document: 'RFC 9052',
    section: 'Signing and Verification Process',
    expected: 'protected header and payload, as carried, signed by the key of the certificate',
  },
]

const member = (id: string, expected: string): Step => ({
  id,
  document: process,
  section: 'Attestation Document Specification',
  expected,
})
const register = (id: string, expected: string): Step => ({
  id,
  document: guide,
  section: "Where to get an enclave's measurements",
  expected,
})

/** Every comparison of appraiseNitro. */
export const nitroChecks: readonly Step[] = [
  {
    id: 'platform',
    document: own,
    section: 'Evidence',
    expected: 'hardware; simulated evidence is a warning for development tenants and refused for others',
  },
  member('report-data', 'user_data is what the caller bound in, all 64 bytes'),
  {
    id: 'debug',
    document: guide,
    section: 'nitro-cli run-enclave',
    expected: 'PCR0, PCR1 and PCR2 are not zero, as they are in debug mode',
  },
  member('document-age', 'timestamp is no further back than the owner allows'),
  register('measurement', 'PCR0, PCR1 and PCR2 are, together, those of one image that the owner accepts'),
  register('pcr3', 'PCR3, the IAM role of the parent instance, is one that the owner accepts'),
  register('pcr4', 'PCR4, the id of the parent instance, is one that the owner accepts'),
  register('pcr8', 'PCR8, the certificate that the image was signed with, is one that the owner accepts'),
  member('module-id', 'module_id is one that the owner accepts'),
]
