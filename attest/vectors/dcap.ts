import { cutQuote } from '#attest/dcap/quote.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { SgxClaims } from '#attest/sgx/claims.js'
import type { TdxClaims } from '#attest/tdx/claims.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { formatTime } from '#core/time.js'
import { type MachineEvidence, machineEvidenceShape } from '#core/wire/evidence.js'

/** Attestation devices hand out buffers of fixed size: what is behind the quote is cut off here, as on a machine. */
function quoteOf(input: CaseInput): Uint8Array {
  return cutQuote(roleOf(input, 'quote'))
}

/** Intel's part of a case, as a member of an envelope. */
export function collateralOf(input: CaseInput) {
  const [signer, ...above] = parsePem(fromUtf8(roleOf(input, 'tcbSigningChain')), 'CERTIFICATE', 2)
  if (!signer || above.length !== 1)
    throw new Failure<CaseCode>('case/file', 'tcbSigningChain does not hold a certificate and a root')
  return {
    tcbInfo: toBase64(roleOf(input, 'tcbInfo')),
    tcbInfoSigner: toBase64(signer),
    qeIdentity: toBase64(roleOf(input, 'qeIdentity')),
    qeIdentitySigner: toBase64(signer),
    pckCrl: toBase64(roleOf(input, 'pckCrl')),
    rootCrl: toBase64(roleOf(input, 'rootCaCrl')),
  }
}

/** The envelope that a node would send. @throws case/file, dcap/..., pem/..., shape/... */
export function evidenceOf(kind: 'tdx' | 'sgx', input: CaseInput): MachineEvidence {
  const log = input.roles.get('eventLog') ?? input.roles.get('ccel')
  const envelope = {
    kind,
    quote: toBase64(quoteOf(input)),
    collateral: collateralOf(input),
    ...(kind === 'tdx' ? { eventLog: log ? toBase64(log) : null } : {}),
  }
  return machineEvidenceShape(envelope, 'evidence')
}

/** Runs one TDX or SGX case as the service would: envelope, verification, appraisal. */
export const judgeDcap =
  (kind: 'tdx' | 'sgx') =>
  (input: CaseInput): Promise<Judgement> =>
    judge(input, () => evidenceOf(kind, input))

/** Names under which a case decodes fields for its readers, and the claims that say the same. */
const tdxNames = {
  teeTcbSvn: 'teeTcbSvn',
  teeTcbSvn2: 'teeTcbSvnNow',
  mrseam: 'mrSeam',
  mrsignerseam: 'mrSignerSeam',
  xfam: 'xfam',
  mrtd: 'measurement',
  mrconfigid: 'mrConfigId',
  mrowner: 'mrOwner',
  mrownerconfig: 'mrOwnerConfig',
} as const
const sgxNames = {
  attributes: 'attributes',
  mrenclave: 'measurement',
  mrsigner: 'mrSigner',
  isvprodid: 'isvProdId',
  isvsvn: 'isvSvn',
} as const
const commonNames = {
  version: 'quoteVersion',
  debug: 'debug',
  fmspc: 'fmspc',
  pceId: 'pceId',
  cpuSvnFromPck: 'cpuSvn',
  pceSvn: 'pceSvn',
} as const

interface ExpectedTcb {
  readonly platformStatus: string | null
  readonly platformTcbDate: string | null
  readonly advisoryIDs: readonly string[] | null
  readonly tdxModuleStatus: string | null
  readonly qeStatus: string
}

/** What the case decoded otherwise than the verifier, levels of the TCB included. */
export const dcapDifferences =
  (kind: 'tdx' | 'sgx') =>
  async (expected: unknown, input: CaseInput): Promise<readonly string[]> => {
    const wanted = expected as { readonly [name: string]: unknown }
    const out: string[] = []
    const compare = (name: string, found: unknown, want: unknown) => {
      if (want !== undefined && found !== want) out.push(`${name} is ${found}, expected ${want}`)
    }
    let claims: TdxClaims | SgxClaims
    try {
      const anchors = { simulatedRoots: input.simulatedRoots }
      claims = (await verifyEvidence(evidenceOf(kind, input), anchors, input.at)).claims as TdxClaims | SgxClaims
    } catch (error) {
      if (!isFailure(error)) throw error
      return [`cannot be compared: ${error.message}`]
    }
    const names = { ...commonNames, ...(claims.product === 'TDX' ? tdxNames : sgxNames) }
    const found = claims as unknown as { readonly [name: string]: unknown }
    for (const [name, claim] of Object.entries(names)) compare(name, found[claim], wanted[name])
    if (claims.product === 'TDX') {
      for (const [i, register] of claims.rtmrs.entries()) compare(`rtmr${i}`, register, wanted[`rtmr${i}`])
      compare('tdattributes', claims.attributes.raw, wanted.tdattributes)
    }
    compare('quoteUsedLength', quoteOf(input).length, wanted.quoteUsedLength)
    const tcb = wanted.tcb as ExpectedTcb | undefined
    if (tcb) compareTcb(tcb, claims, compare)
    return out
  }

function compareTcb(
  tcb: ExpectedTcb,
  { tcbLevels }: TdxClaims | SgxClaims,
  compare: (name: string, found: unknown, want: unknown) => void,
): void {
  const { platform, module, qe } = tcbLevels
  compare('platformStatus', platform.status, tcb.platformStatus ?? 'NotSupported')
  compare('platformTcbDate', platform.date && formatTime(platform.date), tcb.platformTcbDate)
  compare('tdxModuleStatus', module ? module.status : null, tcb.tdxModuleStatus)
  compare('qeStatus', qe.status, tcb.qeStatus)
  if (tcb.advisoryIDs !== null)
    compare('advisoryIDs', platform.advisories.toSorted().join(), tcb.advisoryIDs.toSorted().join())
}
