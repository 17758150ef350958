import { extensionOid, hwIdSize, type Product } from '#attest/snp/layout.js'
import { concat } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import type { Evidence } from '#core/wire/evidence.js'
import { backend } from '#crypto-backend'
import { rootName, type SimulatedAuthority, serials, vcekExtensions } from '#runtime/attester/simulated/authority.js'
import {
  basicConstraints,
  keyUsage,
  type MintCertificate,
  type MintCrl,
  type MintKey,
  mintCertificate,
  mintCrl,
} from '#runtime/attester/simulated/certificate.js'
import { ia5 } from '#runtime/attester/simulated/der.js'
import { evidenceOf } from '#runtime/attester/simulated/platform.js'
import {
  defaultPolicy,
  encodeReport,
  type MintReport,
  productDefaults,
  signReport,
} from '#runtime/attester/simulated/report.js'
import { testMeasurement, testTime, throwawayKeys } from './platform.js'

/** One thing to break, or to do differently. Everything else stays as it is on a good machine. */
export interface Breakage {
  readonly product?: Product
  readonly at?: UnixSeconds
  readonly report?: Partial<MintReport>
  /** changes the bytes before they are signed, so that the signature stays good */
  readonly beforeSigning?: (signed: Uint8Array) => void
  /** changes the whole report after it was signed */
  readonly afterSigning?: (report: Uint8Array) => void
  readonly vek?: Partial<MintCertificate>
  readonly ask?: Partial<MintCertificate>
  readonly ark?: Partial<MintCertificate>
  readonly askSigner?: MintKey
  /** a VLEK of this provider instead of a VCEK */
  readonly cspId?: string
  readonly crl?: Partial<MintCrl> | null
  readonly crlSigner?: MintKey
  readonly vekSigner?: MintKey
}

const day = 86_400

/** The certificates of a simulated machine of `product`, before anything is broken. */
async function goodCertificates(product: Product, at: UnixSeconds, hwId: Uint8Array, cspId: string | undefined) {
  const dates = { notBefore: at - 100 * day, notAfter: at + 1000 * day }
  const vlek = cspId !== undefined
  const intermediate = vlek ? `SEV-VLEK-${product}` : `SEV-${product}`
  const vcek = vcekExtensions(product, productDefaults[product].tcb, hwId)
  const chipKey = await backend.generateKey('ES384')
  const plain = vcek.filter((one) => one.oid !== extensionOid.hwId)
  const vek: MintCertificate = {
    ...dates,
    serial: 0,
    issuer: intermediate,
    subject: vlek ? 'SEV-VLEK' : 'SEV-VCEK',
    spki: chipKey.spki,
    extensions: vlek ? [...plain, { oid: extensionOid.cspId, critical: false, value: ia5(cspId) }] : vcek,
  }
  const ask: MintCertificate = {
    ...dates,
    serial: serials.ask,
    issuer: rootName,
    subject: intermediate,
    spki: throwawayKeys.ask.spki,
    extensions: [basicConstraints(0), keyUsage(false)],
  }
  const ark: MintCertificate = {
    ...dates,
    serial: serials.ark,
    issuer: rootName,
    subject: rootName,
    spki: throwawayKeys.ark.spki,
    extensions: [keyUsage(true), basicConstraints()],
  }
  return { chipKey, vek, ask, ark }
}

/** Evidence of a simulated machine with one thing broken. With no argument it is good. */
export async function mintEvidence(broken: Breakage = {}): Promise<Evidence> {
  const { product = 'Genoa', at = testTime } = broken
  const hwId = new Uint8Array(hwIdSize[product]).fill(0x5a)
  const good = await goodCertificates(product, at, hwId, broken.cspId)
  const fields: MintReport = {
    product,
    version: productDefaults[product].version,
    guestSvn: 0,
    policy: defaultPolicy,
    vmpl: 0,
    platformInfo: 0x24n,
    signingKey: broken.cspId === undefined ? 'VCEK' : 'VLEK',
    tcb: productDefaults[product].tcb,
    chipId: broken.cspId === undefined ? concat(hwId, new Uint8Array(64 - hwId.length)) : new Uint8Array(64),
    measurement: new Uint8Array(48).fill(Number.parseInt(testMeasurement.slice(0, 2), 16)),
    hostData: new Uint8Array(32),
    reportData: new Uint8Array(64).fill(7),
    reportId: new Uint8Array(32).fill(1),
    ...broken.report,
  }
  const signed = encodeReport(fields)
  broken.beforeSigning?.(signed)
  const report = await signReport(signed, good.chipKey)
  broken.afterSigning?.(report)
  const authority: SimulatedAuthority = {
    product,
    ark: {
      key: throwawayKeys.ark,
      certificate: await mintCertificate({ ...good.ark, ...broken.ark }, throwawayKeys.ark),
    },
    ask: {
      key: throwawayKeys.ask,
      certificate: await mintCertificate({ ...good.ask, ...broken.ask }, broken.askSigner ?? throwawayKeys.ark),
    },
  }
  const vek = await mintCertificate({ ...good.vek, ...broken.vek }, broken.vekSigner ?? throwawayKeys.ask)
  const crl = { issuer: rootName, thisUpdate: at - day, nextUpdate: at + 30 * day, revoked: [0x30000] }
  const crlBytes =
    broken.crl === null ? null : await mintCrl({ ...crl, ...broken.crl }, broken.crlSigner ?? throwawayKeys.ark)
  return evidenceOf(report, vek, authority, crlBytes)
}
