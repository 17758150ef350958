import type { AzureSnpClaims, AzureTdxClaims } from '#attest/azure/claims.js'
import { parseHclReport } from '#attest/azure/hcl-report.js'
import { field } from '#attest/azure/layout.js'
import { parseTpmQuote } from '#attest/azure/tpm-quote.js'
import { cutQuote } from '#attest/dcap/quote.js'
import { verifyEvidence } from '#attest/kinds.js'
import type { CaseInput, Judgement } from '#attest/vectors/case.js'
import { collateralOf } from '#attest/vectors/dcap.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { endorsementOf } from '#attest/vectors/snp.js'
import { equal, fromHex, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parseJson } from '#core/encoding/json.js'
import { either, hex, list, record } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import { type MachineEvidence, machineEvidenceShape } from '#core/wire/evidence.js'

/** By index, or all 24 in the order of their indices. */
const pcrsShape = either(list(hex(32), { min: 24, max: 24 }), record(hex(32), { max: 24 }))

function evidenceOf(input: CaseInput): MachineEvidence {
  const pcrs = pcrsShape(parseJson(roleOf(input, 'pcrs')), 'pcrs')
  const vtpm = {
    hclReport: toBase64(roleOf(input, 'hclReport')),
    tpmQuote: toBase64(roleOf(input, 'tpmQuoteMessage')),
    tpmSignature: toBase64(roleOf(input, 'tpmQuoteSignature')),
    pcrs: Object.fromEntries(Object.entries(pcrs).map(([index, value]) => [index, toBase64(fromHex(value))])),
  }
  const hardware = input.roles.has('tdQuote')
    ? { kind: 'azure-tdx', quote: toBase64(cutQuote(roleOf(input, 'tdQuote'))), collateral: collateralOf(input) }
    : { kind: 'azure-snp', ...endorsementOf(input) }
  return machineEvidenceShape({ ...hardware, ...vtpm }, 'evidence')
}

/**
 * Runs one Azure case as the service would. A published case says the bare nonce that the vTPM took as extra data, which
 * belongs to no report data: it is compared here, and nowhere else.
 */
export async function judgeAzure(input: CaseInput): Promise<Judgement> {
  const judged = await judge(input, () => evidenceOf(input))
  if (judged.crypto === 'fail' || input.nonce === null) return judged
  const { extraData } = parseTpmQuote(roleOf(input, 'tpmQuoteMessage'))
  return equal(extraData, input.nonce) ? judged : { ...judged, overall: 'fail', code: 'report-data' }
}

interface Expected {
  readonly hcl: { readonly [name: string]: unknown }
  readonly runtimeDataSha256: string
  readonly akModulus: string
  readonly tpmExtraData: string
  readonly pcrSelection: { readonly pcrs: readonly number[] }
  readonly pcrDigest: string
  readonly pcrs: { readonly [index: string]: string }
  readonly vmConfiguration: { readonly vmUniqueId: string; readonly 'secure-boot': boolean }
  readonly userData: string
  readonly snp?: { readonly measurement: string; readonly reportData: string; readonly chipId: string }
  readonly tdx?: { readonly mrtd: string; readonly reportData: string }
  readonly tcb?: { readonly platformStatus: string; readonly tdxModuleStatus: string; readonly qeStatus: string }
}

/** What the case decoded otherwise than the verifier. */
export async function azureDifferences(expected: unknown, input: CaseInput): Promise<readonly string[]> {
  const wanted = expected as Expected
  const out: string[] = []
  const compare = (name: string, found: unknown, want: unknown) => {
    if (found !== want) out.push(`${name} is ${found}, expected ${want}`)
  }
  const { simulatedRoots } = input
  let claims: AzureSnpClaims | AzureTdxClaims
  try {
    const evidence = evidenceOf(input)
    claims = (await verifyEvidence(evidence, { simulatedRoots }, input.at)).claims as typeof claims
  } catch (error) {
    if (!isFailure(error)) throw error
    return [`cannot be compared: ${error.message}`]
  }
  compareHcl(wanted, input, compare)
  const { vtpm } = claims
  compare('tpmExtraData', vtpm.extraData, wanted.tpmExtraData)
  for (const [index, value] of Object.entries(wanted.pcrs)) compare(`pcr${index}`, vtpm.pcrs[index], value)
  compare('vmUniqueId', vtpm.vm.id, wanted.vmConfiguration.vmUniqueId)
  compare('secure-boot', vtpm.vm.secureBoot, wanted.vmConfiguration['secure-boot'])
  compare('userData', vtpm.userData, wanted.userData.toLowerCase())
  compare('measurement', claims.measurement, wanted.snp?.measurement ?? wanted.tdx?.mrtd)
  compare('reportData', claims.reportData, wanted.snp?.reportData ?? wanted.tdx?.reportData)
  if (claims.product !== 'TDX') compare('chipId', claims.chipId, wanted.snp?.chipId)
  if (claims.product === 'TDX' && wanted.tcb) {
    compare('platformStatus', claims.tcbLevels.platform.status, wanted.tcb.platformStatus)
    compare('tdxModuleStatus', claims.tcbLevels.module?.status, wanted.tcb.tdxModuleStatus)
    compare('qeStatus', claims.tcbLevels.qe.status, wanted.tcb.qeStatus)
  }
  return out
}

function compareHcl(
  wanted: Expected,
  input: CaseInput,
  compare: (name: string, found: unknown, want: unknown) => void,
): void {
  const bytes = roleOf(input, 'hclReport')
  const hardware = input.roles.has('tdQuote') ? 'tdx' : 'snp'
  const report = parseHclReport(bytes, hardware)
  const quote = parseTpmQuote(roleOf(input, 'tpmQuoteMessage'))
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  for (const name of ['version', 'requestType', 'dataSize', 'dataVersion', 'variableDataSize'] as const)
    compare(name, view.getUint32(field[name][0], true), wanted.hcl[name])
  compare('reportType', hardware === 'tdx' ? 'TDX' : 'SEV-SNP', wanted.hcl.reportType)
  compare('runtimeData', toHex(sha256(report.runtimeData)), wanted.runtimeDataSha256)
  compare('pcrSelection', quote.pcrs.join(), wanted.pcrSelection.pcrs.join())
  compare('pcrDigest', toHex(quote.pcrDigest), wanted.pcrDigest)
}
