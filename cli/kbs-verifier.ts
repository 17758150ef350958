import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Anchors } from '#attest/anchors.js'
import { appraiseEvidence } from '#attest/appraise.js'
import type { CollateralSupply } from '#attest/collateral/supply.js'
import { deployedClaims } from '#attest/ear/deployed-claims.js'
import { verifyEvidence } from '#attest/kinds.js'
import { type Claims, type TenantClass, trust } from '#attest/result.js'
import type { SnpClaims } from '#attest/snp/claims.js'
import { assert } from '#core/assert.js'
import { equal, fromHex, fromUtf8, toBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { chainLengthMax } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { evidenceShape, type SnpEvidence } from '#core/wire/evidence.js'
import type { ReferenceValues } from '#core/wire/reference-values.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { VerifyKbsEvidence } from '#keybroker/kbs/ports.js'
import type { SnpKbsEvidence } from '#keybroker/kbs/snp-evidence.js'

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

const rootsFolder = join(import.meta.dirname, '../attest/snp/roots')

function der(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === 0x30) return bytes
  return parsePem(fromUtf8(bytes), 'CERTIFICATE', 1)[0]!
}

/** The vendor's intermediate and root for an endorsement key that came without them, by the name of its issuer. */
function vendorChain(vek: Uint8Array): readonly Uint8Array[] {
  const issuer = /SEV-(VLEK-)?(Milan|Genoa|Turin)/.exec(Buffer.from(vek).toString('latin1'))
  const [, vlek, product] = issuer ?? []
  if (product === undefined) return []
  const name = `${product.toLowerCase()}-${vlek === undefined ? 'ask' : 'asvk'}-ark.pem`
  return parsePem(readFileSync(join(rootsFolder, name), 'utf8'), 'CERTIFICATE', chainLengthMax)
}

/**
 * The evidence as the verifier takes it. What the client sent along is collateral, never an anchor: what it lacks, or has
 * older than it is held here, comes from the store.
 *
 * throws  kbs/evidence when the certificate of the endorsement key is neither in it nor held
 */
async function evidenceOf(
  evidence: SnpKbsEvidence,
  { collateral }: KbsAcceptance,
  anchors: Anchors,
  at: UnixSeconds,
): Promise<SnpEvidence> {
  const sent = (...types: readonly string[]) => evidence.certificates.find((one) => types.includes(one.type))?.bytes
  const vek = sent('VCEK', 'VLEK')
  if (vek === undefined && !collateral) throw new Failure<KbsCode>('kbs/evidence', 'cert_chain holds no VCEK or VLEK')
  const [ask, ark] = vek === undefined ? [] : vendorChain(der(vek))
  const [sentAsk, sentArk, crl] = [sent('ASK', 'ASVK'), sent('ARK'), sent('CRL')]
  const chain = { ask: sentAsk === undefined ? ask : der(sentAsk), ark: sentArk === undefined ? ark : der(sentArk) }
  if (vek !== undefined && (chain.ask === undefined || chain.ark === undefined)) {
    throw new Failure<KbsCode>('kbs/evidence', 'cert_chain holds no ASK and ARK, and its VCEK names no vendor')
  }
  const spelled = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : toBase64(bytes))
  const document = {
    kind: 'snp',
    report: toBase64(evidence.report),
    vek: spelled(vek && der(vek)),
    ask: spelled(chain.ask),
    ark: spelled(chain.ark),
    crl: spelled(crl),
  }
  return collateral ? completed(document, collateral, anchors, at) : ofKindSnp(document)
}

function ofKindSnp(document: Json): SnpEvidence {
  const evidence = evidenceShape(document, 'evidence')
  assert(evidence.kind === 'snp', 'evidence of the KBS route is SEV-SNP')
  return evidence
}

/** Guests of this route are strangers: no vendor is asked for what nobody knows here. */
async function completed(
  document: Json,
  collateral: NonNullable<KbsAcceptance['collateral']>,
  { simulatedRoots }: Anchors,
  at: UnixSeconds,
): Promise<SnpEvidence> {
  try {
    const { evidence } = await collateral.complete(document, { simulatedRoots, at }, { kind: 'stranger' })
    return ofKindSnp({ ...evidence } as Json)
  } catch (error) {
    if (!isFailure(error) || error.code.startsWith('database/')) throw error
    throw new Failure<KbsCode>('kbs/evidence', `cert_chain is not enough: ${error.message}`, { cause: error })
  }
}

type Verified = Awaited<ReturnType<VerifyKbsEvidence>>['result']

/** Under the broker's own reference values, as everywhere. */
async function appraised(
  evidence: SnpEvidence,
  accepted: KbsAcceptance & { readonly referenceValues: ReferenceValues },
  anchors: Anchors,
  input: Input,
): Promise<Verified & Claimed> {
  const { referenceValues, tenantClass } = accepted
  const result = await appraiseEvidence(evidence, anchors, { ...input, referenceValues, tenantClass })
  const { claims, platform, status, vector, policy } = result
  if (claims === null || platform === 'unverified' || (status !== 'affirming' && status !== 'warning')) {
    const worst = result.checks.find((one) => one.status === status)
    const why =
      worst === undefined ? 'nothing was compared' : `${worst.id}: expected ${worst.expected}, found ${worst.found}`
    throw new Failure<KbsCode>('kbs/attestation', why)
  }
  return { status, platform, vector, policyId: policy, ...claimed(claims) }
}

/**
 * Without reference values: the evidence is genuine, no debug guest, asked for by the guest's kernel, and carries the report
 * data. Nothing is said of what runs there, so the result is never better than a warning.
 */
async function verifiedOnly(
  evidence: SnpEvidence,
  tenantClass: TenantClass,
  anchors: Anchors,
  input: Input,
): Promise<Verified & Claimed> {
  const { claims: found, platform } = await verifyEvidence(evidence, anchors, input.at)
  const claims = ofSnp(found)
  const refuse = (why: string) => new Failure<KbsCode>('kbs/attestation', why)
  if (!equal(fromHex(claims.reportData), input.expectedReportData))
    throw refuse('report data is not that of this session')
  if (claims.debug) throw refuse('the host can read the memory of a debug guest')
  if (claims.vmpl !== 0) throw refuse(`the report was asked for at VMPL ${claims.vmpl}, expected 0`)
  if (tenantClass === 'production' && platform !== 'hardware') throw refuse('the evidence is NOT HARDWARE')
  const vector = { hardware: platform === 'hardware' ? trust.approved : trust.knownVulnerabilities }
  const policyId = 'claviger.kbs.verified-only.1'
  return { status: 'warning', platform, vector, policyId, ...claimed(claims) }
}

interface Input {
  readonly expectedReportData: Uint8Array
  readonly at: UnixSeconds
}
interface Claimed {
  readonly hostData: string
}
/** This route takes SEV-SNP evidence alone, so its claims can be of no other kind. */
function ofSnp(claims: Claims): SnpClaims {
  assert('vmpl' in claims, 'evidence of the KBS route is SEV-SNP')
  return claims
}
function claimed(claims: Claims): { readonly claims: Json; readonly hostData: string } {
  return { claims: (deployedClaims(claims) as { readonly snp: Json }).snp, hostData: ofSnp(claims).hostData }
}

/**
 * Verifies evidence of the KBS route with the verifier of all other routes. Here the two are joined; the broker knows
 * neither attestation reports nor vendors.
 */
export function kbsVerifier(accepted: KbsAcceptance): VerifyKbsEvidence {
  return async (sent, expected, at) => {
    const anchors = await accepted.anchors()
    const evidence = await evidenceOf(sent, accepted, anchors, at)
    const input = { expectedReportData: expected.reportData, at }
    const { referenceValues, tenantClass } = accepted
    const { hostData, ...result } =
      referenceValues === null
        ? await verifiedOnly(evidence, tenantClass, anchors, input)
        : await appraised(evidence, { ...accepted, referenceValues }, anchors, input)
    if (expected.hostData !== null && !equal(fromHex(hostData), expected.hostData)) {
      throw new Failure<KbsCode>('kbs/init-data', 'the report was not started with this init-data')
    }
    return { result, evidence }
  }
}
