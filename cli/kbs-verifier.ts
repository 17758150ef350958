import type { Anchors } from '#attest/anchors.js'
import { appraiseEvidence } from '#attest/appraise.js'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import { deployedClaims } from '#attest/ear/deployed-claims.js'
import { examineEvidence } from '#attest/examine.js'
import { type AttestationResult, type Claims, type TenantClass, trust } from '#attest/result.js'
import { kbsEnvelope, withVendorChain } from '#cli/kbs-envelope.js'
import { equal, fromHex } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'
import { evidenceShape, type MachineEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { KbsEvidence } from '#keybroker/kbs/evidence.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { VerifiedTee } from '#keybroker/kbs/messages.js'
import type { VerifyKbsEvidence } from '#keybroker/kbs/ports.js'

/** What a broker accepts on its KBS route. */
export interface KbsAcceptance {
  /** read anew for each guest: owners of development tenants name roots that stand for no vendor */
  readonly anchors: () => Promise<Anchors>
  /** what evidence lacks, or has older than it is held, is taken from here; absent: nothing is added */
  readonly collateral?: Pick<CollateralSupply, 'complete'>
  /** null: genuine evidence is enough for a token, and each resource decides for itself */
  readonly referenceValues: ReferenceValues | null
  readonly tenantClass: TenantClass
}

/** The kind of evidence of each kind of TEE. */
const kinds = {
  snp: 'snp',
  tdx: 'tdx',
  sgx: 'sgx',
  'az-snp-vtpm': 'azure-snp',
  'az-tdx-vtpm': 'azure-tdx',
} as const satisfies Readonly<Record<VerifiedTee, MachineEvidence['kind']>>
type KbsMachineEvidence = Extract<MachineEvidence, { readonly kind: (typeof kinds)[VerifiedTee] }>

/**
 * The evidence as the verifier takes it. What the client sent along is collateral, never an anchor: what it lacks, or has
 * older than it is held here, comes from the store.
 *
 * throws  kbs/evidence; kbs/collateral when something without which it cannot be verified is neither in it nor held
 */
async function evidenceOf(
  sent: KbsEvidence,
  { collateral }: KbsAcceptance,
  anchors: Anchors,
  at: UnixSeconds,
): Promise<KbsMachineEvidence> {
  const document = kbsEnvelope(sent)
  const whole = collateral ? await completed(document, collateral, anchors, at) : withVendorChain(document)
  try {
    const evidence = evidenceShape(whole, 'evidence')
    if (evidence.kind === kinds[sent.tee]) return evidence as KbsMachineEvidence
    throw new Failure<KbsCode>('kbs/evidence', `evidence of ${sent.tee} became ${evidence.kind}`)
  } catch (error) {
    if (!isFailure(error) || error.code === 'kbs/evidence') throw error
    // Members of collateral alone may be null until here.
    const code: KbsCode = missing(whole) ? 'kbs/collateral' : 'kbs/evidence'
    throw new Failure<KbsCode>(code, `evidence of ${sent.tee}: ${error.message}`, { cause: error })
  }
}

const missing = (document: Json) =>
  Object.entries(document as object).some(([name, value]) => value === null && !optionalMembers.has(name))
const optionalMembers = new Set(['crl', 'eventLog'])

/**
 * Guests of this route are strangers: no vendor is asked for what nobody knows here. What is held comes first; the vendor's
 * chain that is built in stands in where no chain is held.
 */
async function completed(
  document: Json,
  collateral: NonNullable<KbsAcceptance['collateral']>,
  { simulatedRoots }: Anchors,
  at: UnixSeconds,
): Promise<Json> {
  const complete = async (given: Json) => {
    const { evidence } = await collateral.complete(given, { simulatedRoots, at }, { kind: 'stranger' })
    return { ...evidence } as Json
  }
  try {
    return await complete(document)
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('database/')) throw error
    const code: KbsCode = error.code.startsWith('collateral/') ? 'kbs/collateral' : 'kbs/evidence'
    const more = withVendorChain(document)
    if (code === 'kbs/collateral' && more !== document) return complete(more)
    throw new Failure<KbsCode>(code, `what came along is not enough: ${error.message}`, { cause: error })
  }
}

type Verified = Awaited<ReturnType<VerifyKbsEvidence>>['result']
type Found = Verified & { readonly about: Claims }
const refuse = (why: string) => new Failure<KbsCode>('kbs/attestation', why)

function told(result: AttestationResult, isRefusal: (check: AttestationResult['checks'][number]) => boolean) {
  const { claims, platform, failure } = result
  const worst = result.checks.find(isRefusal)
  if (worst !== undefined) throw refuse(`${worst.id}: expected ${worst.expected}, found ${worst.found}`)
  if (failure !== null || claims === null || platform === 'unverified') throw refuse('the evidence did not verify')
  if (!result.checks.some(({ id }) => id === 'report-data')) throw refuse('nothing says for which session it was made')
  return { claims, platform }
}

/** Under the broker's own reference values, as everywhere. */
async function appraised(
  evidence: KbsMachineEvidence,
  accepted: KbsAcceptance & { readonly referenceValues: ReferenceValues },
  anchors: Anchors,
  input: Input,
): Promise<Found> {
  const { referenceValues, tenantClass } = accepted
  const result = await appraiseEvidence(evidence, anchors, { ...input, referenceValues, tenantClass })
  const { status, vector, policy } = result
  const { claims, platform } = told(result, (one) => one.status === 'contraindicated' || one.status === 'none')
  if (status !== 'affirming' && status !== 'warning') throw refuse(`the result is ${status}`)
  return { status, platform, vector, policyId: policy, ...spoken(claims, evidence.kind) }
}

/**
 * Without reference values: the evidence is genuine, nothing that runs there is open to its host, and it carries the report
 * data. Nothing is said of what runs there, so the result is never better than a warning. Of security versions only those
 * that their vendor revoked are refused: how old is too old, each resource decides.
 */
async function verifiedOnly(
  evidence: KbsMachineEvidence,
  tenantClass: TenantClass,
  anchors: Anchors,
  input: Input,
): Promise<Found> {
  const result = await examineEvidence(evidence, anchors, {
    ...input,
    expectedNonce: null,
    referenceValues: null,
    tenantClass,
  })
  const found = result.claims
  const old = found !== null && 'tcbStatus' in found && found.tcbStatus !== 'Revoked'
  const { claims, platform } = told(
    result,
    (one) => (one.status === 'contraindicated' || one.status === 'none') && !(old && one.id === 'tcb-status'),
  )
  if (evidence.kind === 'snp' && 'vmpl' in claims && claims.vmpl !== 0)
    throw refuse(`the report was asked for at VMPL ${claims.vmpl}, expected 0`)
  const vector = { hardware: platform === 'hardware' ? trust.approved : trust.knownVulnerabilities }
  const policyId = 'claviger.kbs.verified-only.1'
  return { status: 'warning', platform, vector, policyId, ...spoken(claims, evidence.kind) }
}

interface Input {
  readonly expectedReportData: Uint8Array
  readonly expectedExtraData: Uint8Array
  readonly at: UnixSeconds
}

/** The names of claims in deployed policies. */
const claimNames: Readonly<Record<KbsMachineEvidence['kind'], string>> = {
  snp: 'snp',
  tdx: 'tdx',
  sgx: 'sgx',
  'azure-snp': 'az-snp-vtpm',
  'azure-tdx': 'az-tdx-vtpm',
}

function spoken(about: Claims, kind: KbsMachineEvidence['kind']): { readonly claims: Json; readonly about: Claims } {
  return { claims: (deployedClaims(about) as { readonly [name: string]: Json })[claimNames[kind]]!, about }
}

/** Where whoever started the guest, or the guest itself, put the digest of init-data; null where there is nothing. */
function hostField(claims: Claims): string | null {
  if ('vtpm' in claims) return claims.vtpm.pcrs['8'] ?? null
  if ('hostData' in claims) return claims.hostData
  if ('mrConfigId' in claims) return claims.mrConfigId
  return 'configId' in claims ? claims.configId : null
}

/** From its second version on the evidence of a vTPM names the challenge in what the hardware signed, too. */
function verifyUserData(sent: KbsEvidence, claims: Claims, digest: Uint8Array): void {
  if (!('version' in sent) || sent.version < 2) return
  const said = 'vtpm' in claims ? claims.vtpm.userData : null
  if (said === null || said.length < 96 || !equal(fromHex(said.slice(0, 96)), digest))
    throw refuse('the runtime data that the hardware signed are not of this session')
}

/**
 * Verifies evidence of the KBS route with the verifier of all other routes. Here the two are joined; the broker knows
 * neither attestation reports nor vendors.
 */
export function kbsVerifier(accepted: KbsAcceptance): VerifyKbsEvidence {
  return async (sent, expected, at) => {
    const anchors = await accepted.anchors()
    const evidence = await evidenceOf(sent, accepted, anchors, at)
    const digest = expected.reportData.subarray(0, 48)
    const input = { expectedReportData: expected.reportData, expectedExtraData: digest, at }
    const { referenceValues, tenantClass } = accepted
    const { about, ...result } =
      referenceValues === null
        ? await verifiedOnly(evidence, tenantClass, anchors, input)
        : await appraised(evidence, { ...accepted, referenceValues }, anchors, input)
    verifyUserData(sent, about, digest)
    if (expected.hostData !== null) {
      const field = hostField(about)
      if (field === null || !equal(fromHex(field), expected.hostData))
        throw new Failure<KbsCode>('kbs/init-data', 'the guest was not started with this init-data')
    }
    return { result, evidence }
  }
}
