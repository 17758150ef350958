/**
 * What belongs in test/interop: programs of others as a second opinion on the same bytes. Never believed, never imported by
 * the product.
 */
/**
 * Another verifier of DCAP quotes beside ours: `@phala/dcap-qvl`. It is asked about the same bytes at the same time and
 * never believed: where the two differ, docs/decisions/dcap-tcb.md says who is right, and the test holds the list.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Collateral, QuoteVerifier } from '@phala/dcap-qvl'
import { appraiseUnder } from '#attest/appraise-under.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { SgxClaims } from '#attest/sgx/claims.js'
import type { TdxClaims } from '#attest/tdx/claims.js'
import { type CaseInput, parseCase } from '#attest/vectors/case.js'
import { evidenceOf } from '#attest/vectors/dcap.js'
import { roleOf } from '#attest/vectors/judge.js'
import { applyVariant, inputOf } from '#attest/vectors/run.js'
import { fromUtf8, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { encodePem, parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { parseCertificate } from '#core/x509/certificate.js'

/** What both verifiers can say. Advisories are sorted. */
export type Verdict =
  | { readonly kind: 'accepted'; readonly status: string; readonly advisories: readonly string[] }
  | { readonly kind: 'refused'; readonly reason: string }

export interface DcapRun {
  readonly name: string
  readonly tee: 'tdx' | 'sgx'
  readonly input: CaseInput
}

/** Every case and variant below a folder of cases of one TEE. */
export function dcapRuns(folder: string, tee: 'tdx' | 'sgx'): readonly DcapRun[] {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return names.flatMap(({ name }) => {
    const read = (file: string) => new Uint8Array(readFileSync(join(folder, name, file)))
    const one = parseCase(read('case.json'))
    const input = inputOf(one, read)
    const variants = (one.variants ?? []).map((variant) => ({
      name: `${tee}/${name} [${variant.name}]`,
      tee,
      input: applyVariant(one, input, variant, read, new Map()),
    }))
    return [{ name: `${tee}/${name}`, tee, input }, ...variants]
  })
}

/** No owner's reference values, no report data: what is left is what the code alone decides, as in the other verifier. */
const policy = { name: 'oracle', skips: ['reference-values', 'report-data', 'crl'] } as const

/** Our verdict, in the words of the other one: a status that only an owner could accept is an accepted quote there. */
export async function ourVerdict({ tee, input }: DcapRun): Promise<Verdict> {
  try {
    const { simulatedRoots, collateralFloors, at } = input
    const verified = await verifyEvidence(evidenceOf(tee, input), { simulatedRoots, collateralFloors }, at)
    const { tcbStatus: status, advisories } = verified.claims as TdxClaims | SgxClaims
    const result = appraiseUnder(
      policy,
      verified,
      { expectedReportData: new Uint8Array(64), referenceValues: {}, tenantClass: 'development', at },
      [],
    )
    const refused = result.checks.find((one) => one.status === 'contraindicated' && one.id !== 'tcb-status')
    if (refused) return { kind: 'refused', reason: refused.id }
    if (status === 'Revoked') return { kind: 'refused', reason: 'tcb-status Revoked' }
    return { kind: 'accepted', status, advisories }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { kind: 'refused', reason: error.code }
  }
}

/** `{"<member>":{...},"signature":"..."}` as the other verifier wants it. */
function cut(response: Uint8Array): { readonly value: string; readonly signature: string } {
  const text = fromUtf8(response)
  const end = text.lastIndexOf(',')
  const signature = /"signature"\s*:\s*"([0-9a-fA-F]+)"/.exec(text.slice(end))?.[1]
  if (signature === undefined) throw new Error('response has no signature')
  return { value: text.slice(text.indexOf(':') + 1, end).trim(), signature }
}

/** What the other verifier is given: the case's bytes, and the root that the caller believes. */
export function oracleInput({ input }: DcapRun): { readonly root: Uint8Array; readonly collateral: Collateral } {
  const signing = fromUtf8(roleOf(input, 'tcbSigningChain'))
  const [, above] = parsePem(signing, 'CERTIFICATE', 2)
  const simulated = input.simulatedRoots.includes(toHex(sha256(parseCertificate(above!).spki)))
  const root = simulated ? above! : intelRoot
  const tcbInfo = cut(roleOf(input, 'tcbInfo'))
  const identity = cut(roleOf(input, 'qeIdentity'))
  const collateral = {
    pck_crl_issuer_chain: encodePem(root, 'CERTIFICATE'),
    root_ca_crl: toHex(roleOf(input, 'rootCaCrl')),
    pck_crl: toHex(roleOf(input, 'pckCrl')),
    tcb_info_issuer_chain: signing,
    tcb_info: tcbInfo.value,
    tcb_info_signature: tcbInfo.signature,
    qe_identity_issuer_chain: signing,
    qe_identity: identity.value,
    qe_identity_signature: identity.signature,
  }
  return { root, collateral }
}

const [intelRoot] = parsePem(
  readFileSync(join(import.meta.dirname, '../../attest/dcap/roots/intel-sgx-root-ca.pem'), 'utf8'),
  'CERTIFICATE',
  1,
) as [Uint8Array]

/** The other verifier's verdict. Whatever it throws is a refusal. */
export function oracleVerdict(run: DcapRun): Verdict {
  try {
    const { root, collateral } = oracleInput(run)
    const verifier = QuoteVerifier.newWithRootCa(Buffer.from(root))
    const { status, advisory_ids } = verifier.verify(roleOf(run.input, 'quote'), collateral, run.input.at)
    return { kind: 'accepted', status, advisories: advisory_ids.toSorted() }
  } catch (error) {
    if (!(error instanceof Error)) throw error
    return { kind: 'refused', reason: error.message }
  }
}

/** Null where both say the same; else both verdicts. Two refusals are the same verdict, whatever their reasons. */
export function difference(ours: Verdict, theirs: Verdict): string | null {
  const say = (one: Verdict) => (one.kind === 'refused' ? `refused (${one.reason})` : accepted(one))
  const accepted = (one: Extract<Verdict, { kind: 'accepted' }>) => `${one.status} [${one.advisories.join(' ')}]`
  if (ours.kind === 'refused' && theirs.kind === 'refused') return null
  return say(ours) === say(theirs) ? null : `ours ${say(ours)}, oracle ${say(theirs)}`
}
