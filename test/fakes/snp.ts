import { extensionOid, hwIdSize, type Product } from '#attest/snp/layout.js'
import { concat, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import type { UnixSeconds } from '#core/time.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { rootName, serials, vcekExtensions } from '#runtime/attester/simulated/authority.js'
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

type Change = (der: Uint8Array) => Uint8Array

/** One thing to break, or to do differently. Everything else stays as it is on a good machine. */
export interface Breakage {
  readonly product?: Product
  readonly at?: UnixSeconds
  readonly report?: Partial<MintReport>
  /** changes the bytes before they are signed, so that the signature stays good */
  readonly beforeSigning?: (signed: Uint8Array) => void
  /** changes the whole report after it was signed */
  readonly afterSigning?: (report: Uint8Array) => void
  /** changes the length of the whole report */
  readonly reportBytes?: Change
  readonly vek?: Partial<MintCertificate>
  readonly ask?: Partial<MintCertificate>
  readonly ark?: Partial<MintCertificate>
  readonly vekSigner?: MintKey
  readonly askSigner?: MintKey
  /** changes the certificate's bytes after it was signed */
  readonly vekBytes?: Change
  readonly askBytes?: Change
  /** a VLEK of this provider instead of a VCEK */
  readonly cspId?: string
  /** null for evidence without one */
  readonly crl?: Partial<MintCrl> | null
  readonly crlSigner?: MintKey
  readonly crlBytes?: Change
}

const day = 86_400
/** The 64 bytes that evidence of mintEvidence binds. */
export const mintedReportData = new Uint8Array(64).fill(7)

/** Extensions of a VCEK of `product` as they should be. */
export function goodExtensions(product: Product): MintCertificate['extensions'] {
  return vcekExtensions(product, productDefaults[product].tcb, new Uint8Array(hwIdSize[product]).fill(0x5a))
}

function goodCertificates(product: Product, at: UnixSeconds, cspId: string | undefined) {
  const dates = { notBefore: at - 100 * day, notAfter: at + 1000 * day }
  const vlek = cspId !== undefined
  const intermediate = vlek ? `SEV-VLEK-${product}` : `SEV-${product}`
  const plain = goodExtensions(product).filter((one) => one.oid !== extensionOid.hwId)
  const csp = { oid: extensionOid.cspId, critical: false, value: ia5(cspId ?? '') }
  const vek: MintCertificate = {
    ...dates,
    serial: 0,
    issuer: intermediate,
    subject: vlek ? 'SEV-VLEK' : 'SEV-VCEK',
    spki: throwawayKeys.chip.spki,
    extensions: vlek ? [...plain, csp] : goodExtensions(product),
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
  return { vek, ask, ark }
}

function goodReport(product: Product, cspId: string | undefined): MintReport {
  const size = hwIdSize[product]
  const chip = concat(new Uint8Array(size).fill(0x5a), new Uint8Array(64 - size))
  return {
    product,
    version: productDefaults[product].version,
    guestSvn: 0,
    policy: defaultPolicy,
    vmpl: 0,
    platformInfo: 0x24n,
    signingKey: cspId === undefined ? 'VCEK' : 'VLEK',
    tcb: productDefaults[product].tcb,
    chipId: cspId === undefined ? chip : new Uint8Array(64),
    measurement: new Uint8Array(48).fill(Number.parseInt(testMeasurement.slice(0, 2), 16)),
    hostData: new Uint8Array(32),
    reportData: mintedReportData,
    reportId: new Uint8Array(32).fill(1),
  }
}

// Signatures are random: what is minted from the same fields is minted once, so that it is the same bytes.
const minted = new Map<string, Promise<Uint8Array>>()
function once(fields: unknown, signer: MintKey, mint: () => Promise<Uint8Array>): Promise<Uint8Array> {
  const spelled = JSON.stringify(fields, (_, value) => (value instanceof Uint8Array ? toHex(value) : value))
  const key = `${toHex(sha256(signer.spki))} ${spelled}`
  const known = minted.get(key) ?? mint()
  minted.set(key, known)
  return known
}

/** Evidence of a simulated machine with one thing broken. With no argument it is good. */
export async function mintEvidence(broken: Breakage = {}): Promise<SnpEvidence> {
  const { product = 'Genoa', at = testTime, cspId } = broken
  const good = goodCertificates(product, at, cspId)
  const signed = encodeReport({ ...goodReport(product, cspId), ...broken.report })
  broken.beforeSigning?.(signed)
  const report = await signReport(signed, throwawayKeys.chip)
  broken.afterSigning?.(report)
  const certificate = (fields: MintCertificate, signer: MintKey) =>
    once(fields, signer, () => mintCertificate(fields, signer))
  const ark = await certificate({ ...good.ark, ...broken.ark }, throwawayKeys.ark)
  const ask = await certificate({ ...good.ask, ...broken.ask }, broken.askSigner ?? throwawayKeys.ark)
  const vek = await certificate({ ...good.vek, ...broken.vek }, broken.vekSigner ?? throwawayKeys.ask)
  const intermediate = broken.askBytes?.(ask) ?? ask
  const authority = {
    product,
    ark: { key: throwawayKeys.ark, certificate: ark },
    ask: { key: throwawayKeys.ask, certificate: intermediate },
  }
  const sent = broken.reportBytes?.(report) ?? report
  return evidenceOf(sent, broken.vekBytes?.(vek) ?? vek, authority, await mintCrlOf(broken, at))
}

async function mintCrlOf(broken: Breakage, at: UnixSeconds): Promise<Uint8Array | null> {
  if (broken.crl === null) return null
  const good: MintCrl = { issuer: rootName, thisUpdate: at - day, nextUpdate: at + 30 * day, revoked: [0x30000] }
  const fields = { ...good, ...broken.crl }
  const signer = broken.crlSigner ?? throwawayKeys.ark
  const crl = await once(fields, signer, () => mintCrl(fields, signer))
  return broken.crlBytes?.(crl) ?? crl
}
