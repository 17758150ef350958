import { type Assembler, Wanted } from '#attest/assemble/wanted.js'
import { attempt, type Pool, type PooledCertificate, type PooledCrl } from '#attest/pool.js'
import { readEndorsement } from '#attest/snp/endorsement.js'
import { type Misfit, misfitsOf } from '#attest/snp/fit.js'
import { parseReport, type SnpReport } from '#attest/snp/parse.js'
import { equal, toBase64 } from '#core/bytes/bytes.js'
import type { Certificate } from '#core/x509/certificate.js'

export const assembleSnp: Assembler = ({ bytes, title }, pool) => ({
  kind: 'snp',
  report: toBase64(bytes),
  ...amdCollateral(bytes, pool, title),
})

const isVek = ({ name }: PooledCertificate) => name === 'SEV-VCEK' || name === 'SEV-VLEK'

/** What a certificate is wrong in, worst first: one of the same chip for another TCB is nearest to the right one. */
const weight: Readonly<Record<Misfit['part'], number>> = { key: 8, product: 4, chip: 2, tcb: 1 }
const unreadable = 16

function distance(report: SnpReport, { certificate }: PooledCertificate): number {
  const endorsement = attempt(() => readEndorsement(certificate))
  if (endorsement === null) return unreadable
  return misfitsOf(report, endorsement).reduce((sum, { part }) => sum + weight[part], 0)
}

/**
 * The certificate for the chip and TCB of the report; of several the newest. Where none is, the nearest, so that the verifier
 * says what it is for instead.
 */
function vekOf(reportBytes: Uint8Array, pool: Pool): PooledCertificate | undefined {
  const veks = pool.certificates.filter(isVek)
  const report = attempt(() => parseReport(reportBytes))
  if (report === null) return veks[0]
  const far = new Map(veks.map((one) => [one, distance(report, one)]))
  return veks.toSorted((a, b) => far.get(a)! - far.get(b)! || b.certificate.notBefore - a.certificate.notBefore)[0]
}

/** Endorsement key by the report, intermediate and root by their names, and the list of the root where there is one. */
export function amdCollateral(report: Uint8Array, pool: Pool, title: string) {
  const vek = vekOf(report, pool)
  const ask = vek && issuerOf(pool, vek)
  const ark = ask && issuerOf(pool, ask)
  const crl = ark && amdListOf(pool.crls, ark.certificate, ask.certificate)
  const wanted = new Wanted()
  const parts = {
    vek: wanted.take(vek?.der, 'the certificate of the key that signed it (VCEK or VLEK)'),
    ask: wanted.take(ask?.der, 'the certificate of the ASK or ASVK'),
    ark: wanted.take(ark?.der, 'the certificate of the ARK'),
    crl: crl ? toBase64(crl.der) : null,
  }
  wanted.done(title)
  return parts
}

const issuerOf = (pool: Pool, { certificate }: PooledCertificate) =>
  pool.certificates.find((one) => one.certificate.isCa && equal(one.certificate.subject, certificate.issuer))
/**
 * AMD's root signs a list for each kind of key, and neither says which it is: of those at hand the one that takes the
 * intermediate back, or else the newest.
 */
export function amdListOf(
  crls: readonly PooledCrl[],
  ark: Pick<Certificate, 'subject'>,
  ask: Pick<Certificate, 'serial'>,
): PooledCrl | undefined {
  const all = crls.filter(({ crl }) => equal(crl.issuer, ark.subject))
  const newest = all.toSorted((a, b) => b.crl.thisUpdate - a.crl.thisUpdate)
  return newest.find(({ crl }) => crl.revoked.has(ask.serial)) ?? newest[0]
}

/** The newest list of this issuer, by name. */
export const crlOf = (crls: readonly PooledCrl[], issuer: Uint8Array): PooledCrl | undefined =>
  crls.filter(({ crl }) => equal(crl.issuer, issuer)).toSorted((a, b) => b.crl.thisUpdate - a.crl.thisUpdate)[0]
