import { type Assembler, Wanted } from '#attest/assemble/wanted.js'
import type { Pool, PooledCertificate, PooledCrl } from '#attest/pool.js'
import { equal, toBase64 } from '#core/bytes/bytes.js'
import type { Certificate } from '#core/x509/certificate.js'

export const assembleSnp: Assembler = ({ bytes, title }, pool) => ({
  kind: 'snp',
  report: toBase64(bytes),
  ...amdCollateral(pool, title),
})

const isVek = ({ name }: PooledCertificate) => name === 'SEV-VCEK' || name === 'SEV-VLEK'

/** Endorsement key, intermediate and root by their names, and the list of the root where there is one. */
export function amdCollateral(pool: Pool, title: string) {
  const vek = pool.certificates.find(isVek)
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

/** A list of this issuer, by name. */
export const crlOf = (crls: readonly PooledCrl[], issuer: Uint8Array): PooledCrl | undefined =>
  crls.find(({ crl }) => equal(crl.issuer, issuer))
