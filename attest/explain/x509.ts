import { type ExplainedPart, field } from '#attest/explain/part.js'
import { attempt, type PooledCertificate, type PooledCrl } from '#attest/pool.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { formatTime } from '#core/time.js'
import { commonName } from '#core/x509/certificate.js'

const pkix = 'RFC 5280'
const serialsMax = 20

/** The common name; the whole name in hex where it has none that can be read. */
const named = (name: Uint8Array) => {
  const text = attempt(() => commonName(name))
  return text ? `CN ${text}` : toHex(name)
}

export function explainCertificate({ der, certificate, name }: PooledCertificate): ExplainedPart {
  const { subject, issuer, serial, notBefore, notAfter, algorithm, spki, isCa, extensions } = certificate
  return {
    title: `Certificate ${name}`,
    document: pkix,
    fields: [
      field('serialNumber', toHex(serial)),
      field('signatureAlgorithm', algorithm),
      field('issuer', named(issuer)),
      field('validity.notBefore', formatTime(notBefore)),
      field('validity.notAfter', formatTime(notAfter)),
      field('subject', named(subject)),
      field('subjectPublicKeyInfo', `SHA-256 ${toHex(sha256(spki))}`),
      field('basicConstraints.cA', String(isCa)),
      ...[...extensions.values()].map(({ oid, critical, value }) =>
        field(`extension ${oid}${critical ? ' (critical)' : ''}`, toHex(value)),
      ),
      field('(whole)', `SHA-256 ${toHex(sha256(der))}`, null, der.length),
    ],
  }
}

export function explainCrl({ der, crl }: PooledCrl): ExplainedPart {
  const serials = [...crl.revoked]
  const more = serials.length > serialsMax ? ` and ${serials.length - serialsMax} more` : ''
  return {
    title: 'Certificate revocation list',
    document: pkix,
    fields: [
      field('signature', crl.algorithm),
      field('issuer', named(crl.issuer)),
      field('thisUpdate', formatTime(crl.thisUpdate)),
      field('nextUpdate', formatTime(crl.nextUpdate)),
      field('revokedCertificates', `${serials.length}: ${serials.slice(0, serialsMax).join(', ')}${more}`),
      field('(whole)', `SHA-256 ${toHex(sha256(der))}`, null, der.length),
    ],
  }
}
