import { sha256Hex } from '#core/crypto/hash.js'
import type { Certificate } from '#core/x509/certificate.js'

/** Digests of certificates that are still held by somebody. What is read is not changed any more, so they stay true. */
const ofCertificates = new WeakMap<Certificate, string>()
const ofKeys = new WeakMap<Certificate, string>()

function remembered(known: WeakMap<Certificate, string>, certificate: Certificate, bytes: Uint8Array): string {
  const found = known.get(certificate)
  if (found !== undefined) return found
  const digest = sha256Hex(bytes)
  known.set(certificate, digest)
  return digest
}

/** Lowercase hex of SHA-256 over the DER of a certificate. */
export const certificateDigest = (certificate: Certificate): string =>
  remembered(ofCertificates, certificate, certificate.der)

/** Lowercase hex of SHA-256 over the DER SubjectPublicKeyInfo of a certificate. */
export const keyDigest = (certificate: Certificate): string => remembered(ofKeys, certificate, certificate.spki)

const links = new WeakMap<Certificate, { readonly issuer: Certificate; readonly link: string }>()

/** Names a certificate and the key of its issuer: every byte that the verification of its signature reads. */
export function linkOf(certificate: Certificate, issuer: Certificate): string {
  const known = links.get(certificate)
  if (known?.issuer === issuer) return known.link
  const link = `${certificateDigest(certificate)}:${keyDigest(issuer)}`
  links.set(certificate, { issuer, link })
  return link
}
