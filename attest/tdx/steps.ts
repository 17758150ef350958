import { dcapChecks, dcapMachineChecks, dcapSteps, own, qvl } from '#attest/dcap/steps.js'
import type { Step } from '#attest/trace.js'

const base = 'Intel TDX Module Base Architecture Specification, revision 1.5'
const abi = 'Intel TDX Module ABI Specification, revision 1.5'
const tcg = 'TCG PC Client Platform Firmware Profile, revision 1.05'

const shared = dcapSteps('tdx')

/** The one step that a TD behind a vTPM has no input for, ever. */
export const eventLogStep: Step = {
  id: 'tdx/event-log',
  document: tcg,
  section: 'Event Logging',
  expected: 'replay of the event log gives RTMR0 to RTMR3 of the quote',
  without: 'the evidence came without an event log: what was measured into the registers is not known',
}

/** Steps of verifyTdx, in order. */
export const tdxSteps: readonly Step[] = [
  shared.structure,
  shared.pckChain,
  shared.collateral,
  shared.family,
  {
    id: 'tdx/module',
    document: qvl,
    section: 'TdxModuleCheck',
    expected: 'signer and attributes that Intel lists for the version of the TDX module; attributes are zero',
  },
  shared.qeReport,
  shared.attestationKey,
  shared.qeIdentity,
  shared.signature,
  shared.tcb,
  eventLogStep,
]

const report = (id: string, expected: string): Step => ({ id, document: abi, section: 'TDREPORT_STRUCT', expected })
const attribute = (id: string, expected: string): Step => ({ id, document: base, section: 'ATTRIBUTES', expected })

/** Every comparison of appraiseTdx. */
export const tdxChecks: readonly Step[] = [
  ...dcapChecks({ document: abi, section: 'TDREPORT_STRUCT' }, { document: base, section: 'ATTRIBUTES' }),
  attribute('td-attributes', 'bits 0 to 7, which put a TD under debug or profiling, are clear'),
  report('measurement', 'MRTD is one that the owner accepts'),
  report('rtmr0', 'RTMR0 is one that the owner accepts'),
  report('rtmr1', 'RTMR1 is one that the owner accepts'),
  report('rtmr2', 'RTMR2 is one that the owner accepts'),
  report('rtmr3', 'RTMR3 is one that the owner accepts'),
  report('mr-seam', 'MRSEAM is one that the owner accepts'),
  {
    id: 'compose-hash',
    document: own,
    section: 'Reference values',
    expected: 'the event compose-hash is one that the owner accepts',
  },
  {
    id: 'event-log',
    document: own,
    section: 'Reference values',
    expected: 'an event log, where the owner requires one',
  },
  attribute('sept-ve-disable', 'SEPT_VE_DISABLE, bit 28, is set, where the owner requires it'),
  attribute('migration', 'MIGRATABLE, bit 29, is clear, or the owner allows it'),
  attribute('perfmon', 'PERFMON, bit 63, is clear, or the owner allows it'),
  report('service-td', 'MRSERVICETD is zero, or one that the owner accepts'),
  report('xfam', 'XFAM is one that the owner accepts'),
  report('mr-config-id', 'MRCONFIGID is one that the owner accepts'),
  report('mr-owner', 'MROWNER is one that the owner accepts'),
  report('mr-owner-config', 'MROWNERCONFIG is one that the owner accepts'),
  ...dcapMachineChecks,
]
