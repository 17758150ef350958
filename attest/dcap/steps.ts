import type { Step } from '#attest/trace.js'

/** Documents that TDX and SGX share. */
export const qvl = 'Intel SGX and TDX DCAP Quote Verification Library, DCAP 1.21, commit 7e5b2a13ca54'
export const own = 'docs/spec/evidence.md'
const pcs = 'Intel PCS API version 4 (TCB info V3, enclave identity V2)'

type Tee = 'tdx' | 'sgx'

const quoteFormat: Readonly<Record<Tee, Pick<Step, 'document' | 'section' | 'expected'>>> = {
  tdx: {
    document: 'Intel TDX DCAP Quoting Library API, revision 0.91, appendix A',
    section: 'Version 4 Quote Format; Version 5 Quote Format',
    expected: "version 4 or 5, ECDSA P-256, Intel's quoting enclave, a TD report, a PCK chain, every length exact",
  },
  sgx: {
    document: 'Intel SGX ECDSA QuoteLibReference DCAP API, DCAP 1.16, appendix A',
    section: 'Quote Format',
    expected: "version 3, ECDSA P-256, Intel's quoting enclave, an enclave's report, a PCK chain, every length exact",
  },
}

/** Steps that verifyTdx and verifySgx both make, under the name of each. */
export function dcapSteps(tee: Tee) {
  const step = (id: string, document: string, section: string, expected: string): Step => ({
    id: `${tee}/${id}`,
    document,
    section,
    expected,
  })
  return {
    structure: { id: `${tee}/structure`, ...quoteFormat[tee] },
    pckChain: step(
      'pck-chain',
      qvl,
      'PckCertVerifier',
      "names, P-256 keys, dates, constraints, signatures; the root key is Intel's or a simulated one that was named",
    ),
    collateral: step(
      'collateral',
      pcs,
      'Get TCB Info; Get Quoting Enclave Identity; Get PCK CRL',
      'TCB info, QE identity, both CRLs: signed under this root, current, of this kind, not below a floor; none revoked',
    ),
    family: step('family', pcs, 'TCB Info V3', 'FMSPC and PCEID of the TCB info are those of the PCK certificate'),
    qeReport: step('qe-report', qvl, 'QuoteVerifier', 'the PCK signed the report of the quoting enclave'),
    attestationKey: step(
      'attestation-key',
      qvl,
      'QuoteVerifier',
      'REPORT_DATA of the quoting enclave is SHA-256 of attestation key and authentication data, then zeros',
    ),
    qeIdentity: step(
      'qe-identity',
      qvl,
      'EnclaveReportVerifier',
      "MISCSELECT, attributes, MRSIGNER and ISVPRODID of the quoting enclave are Intel's; it is no debug enclave",
    ),
    signature: step('signature', qvl, 'QuoteVerifier', 'the attestation key signed header and body'),
    tcb: step(
      'tcb',
      qvl,
      tee === 'tdx' ? 'TcbLevelCheck; TdxModuleCheck; TDRelaunchCheck' : 'TcbLevelCheck',
      'a level for each part and one status for all; whether it is enough is the appraisal',
    ),
  } as const
}

type Source = Pick<Step, 'document' | 'section'>

/** Comparisons of both appraisals that need no reference values, and where a report says what they compare. */
export const dcapChecks = (reportData: Source, attributes: Source): readonly Step[] => [
  {
    id: 'platform',
    document: own,
    section: 'Evidence',
    expected: 'hardware; simulated evidence is a warning for development tenants and refused for others',
  },
  {
    id: 'report-data',
    ...reportData,
    expected: 'REPORTDATA is what the caller bound in, all 64 bytes',
  },
  { id: 'debug', ...attributes, expected: 'the debug attribute is clear' },
  {
    id: 'memory-encryption',
    ...attributes,
    expected: 'memory that the host cannot read: hardware, and no debugging',
  },
  {
    id: 'tcb-not-supported',
    document: qvl,
    section: 'TcbLevelCheck',
    expected: 'security versions that Intel lists, for every part',
  },
  {
    id: 'tcb-status',
    document: qvl,
    section: 'TcbLevelCheck',
    expected: 'UpToDate, or a status that the owner accepts; such a one stays a warning',
  },
]

/** Comparisons of both appraisals with what the owner says of machine and collateral. */
export const dcapMachineChecks: readonly Step[] = [
  {
    id: 'tcb-evaluation-number',
    document: pcs,
    section: 'TCB Info V3',
    expected: 'tcbEvaluationDataNumber is at least what the owner asks for',
  },
  { id: 'advisories', document: pcs, section: 'TCB Info V3', expected: 'no advisory but those that the owner accepts' },
  { id: 'fmspc', document: pcs, section: 'TCB Info V3', expected: 'FMSPC is one that the owner accepts' },
  {
    id: 'chip-id',
    document: 'Intel SGX PCK Certificate and CRL Profile, revision 1.5',
    section: 'PCK Certificate',
    expected: 'PPID is one that the owner accepts',
  },
]
