import type { Chooser } from '#attest/endorsements/choose.js'
import { type AmdKey, type CollateralName, type EndorsementCode, formatName } from '#attest/endorsements/names.js'
import { readEndorsement } from '#attest/snp/endorsement.js'
import { cpuModels, hwIdSize, type Product } from '#attest/snp/layout.js'
import { parseReport, type SnpReport } from '#attest/snp/parse.js'
import { readTcb } from '#attest/snp/tcb.js'
import { fromBase64, isZero, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import { parseCertificate } from '#core/x509/certificate.js'

/** AMD's part of evidence, as far as it came along; base64. */
export interface AmdMembers {
  readonly vek: string | null
  readonly ask: string | null
  readonly ark: string | null
  readonly crl: string | null
}

function undetermined(message: string): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>('collateral/undetermined', message)
}

function absent(name: CollateralName): Failure<EndorsementCode> {
  return new Failure<EndorsementCode>(
    'collateral/absent',
    `the evidence comes without ${formatName(name)}, which is not held here`,
    { detail: { hint: 'send the certificates of the chip along, or have them fetched or imported here' } },
  )
}

/** What the report says of the product is a hint: the certificate that it leads to is verified against it. */
function productOf(report: SnpReport): Product {
  if (report.cpuid) {
    const { family, model } = report.cpuid
    const known = cpuModels.find((one) => one.family === family && model >= one.from && model <= one.to)
    if (known) return known.product
  }
  throw undetermined('the report does not say of which product it is: send the certificate of its chip along')
}

/** The certificate of the chip for the TCB that the report was signed under. @throws collateral/undetermined */
export function vcekNameOf(report: SnpReport): Extract<CollateralName, { readonly kind: 'amd-vcek' }> {
  if (report.signingKey !== 'VCEK')
    throw undetermined("a VLEK is the cloud provider's to give out: send its certificate along")
  const product = productOf(report)
  const chipId = report.bytesOf('chipId')
  if (isZero(chipId)) throw undetermined('the chip id is masked: send the certificate of the chip along')
  const hwId = toHex(chipId.subarray(0, hwIdSize[product]))
  return { kind: 'amd-vcek', product, hwId, tcb: readTcb(report.bytesOf('reportedTcb'), product, 'reported TCB') }
}

/**
 * Certificates and list of the root for a report. A list that is not to be had stays absent: the appraisal says whether
 * that is enough.
 *
 * throws  collateral/undetermined, collateral/absent, and those of reading report and certificates: snp/..., x509/...
 */
export async function completeAmd(reportBytes: Uint8Array, sent: AmdMembers, chooser: Chooser): Promise<AmdMembers> {
  const members = await certificatesOf(reportBytes, sent, chooser)
  const ark = fromBase64(members.ark)
  const { product, key } = members
  const name: CollateralName = { kind: 'amd-crl', product, key }
  const root = toHex(sha256(parseCertificate(ark, 'root certificate').spki))
  const sentCrl = sent.crl === null ? null : { name, body: fromBase64(sent.crl), chain: [ark] }
  const crl = await chooser.choose(name, root, sentCrl)
  const { vek, ask } = members
  return { vek, ask, ark: members.ark, crl: crl && toBase64(crl.body) }
}

interface Certificates {
  readonly vek: string
  readonly ask: string
  readonly ark: string
  readonly product: Product
  readonly key: AmdKey
}

async function certificatesOf(reportBytes: Uint8Array, sent: AmdMembers, chooser: Chooser): Promise<Certificates> {
  if (sent.vek === null) {
    const name = vcekNameOf(parseReport(reportBytes))
    const held = await chooser.choose(name, null, null)
    if (held === null) throw absent(name)
    const [ask, ark] = held.chain.map(toBase64) as [string, string]
    return { vek: toBase64(held.body), ask, ark, product: name.product, key: 'vcek' }
  }
  const vek = parseCertificate(fromBase64(sent.vek), 'endorsement key certificate')
  const { key: kind, product } = readEndorsement(vek)
  const key: AmdKey = kind === 'VCEK' ? 'vcek' : 'vlek'
  const { ask, ark } = sent
  if (ask !== null && ark !== null) return { vek: sent.vek, ask, ark, product, key }
  const name: CollateralName = { kind: 'amd-ask', product, key }
  const held = await chooser.choose(name, null, null)
  if (held === null) throw absent(name)
  return { vek: sent.vek, ask: ask ?? toBase64(held.body), ark: ark ?? toBase64(held.chain[0]!), product, key }
}
