import { dcapChecks, dcapMachineChecks, dcapSteps } from '#attest/dcap/steps.js'
import type { Step } from '#attest/trace.js'

const sdm = "Intel 64 and IA-32 Software Developer's Manual, volume 3D"

const shared = dcapSteps('sgx')

/** Steps of verifySgx, in order. */
export const sgxSteps: readonly Step[] = [
  shared.structure,
  shared.pckChain,
  shared.collateral,
  shared.family,
  shared.qeReport,
  shared.attestationKey,
  shared.qeIdentity,
  shared.signature,
  shared.tcb,
]

const report = (id: string, expected: string): Step => ({ id, document: sdm, section: 'REPORT', expected })

/** Every comparison of appraiseSgx. */
export const sgxChecks: readonly Step[] = [
  ...dcapChecks({ document: sdm, section: 'REPORT' }, { document: sdm, section: 'ATTRIBUTES' }),
  {
    id: 'enclave-attributes',
    document: sdm,
    section: 'ATTRIBUTES',
    expected: 'INIT is set; PROVISIONKEY and EINITTOKEN_KEY are clear',
  },
  report('measurement', 'MRENCLAVE, or MRSIGNER with ISVPRODID and ISVSVN, is one that the owner accepts'),
  report('config-id', 'CONFIGID is one that the owner accepts'),
  ...dcapMachineChecks,
]
