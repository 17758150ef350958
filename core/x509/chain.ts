import { equal } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { chainLengthMax } from '#core/limits.js'
import { formatTime, type UnixSeconds } from '#core/time.js'
import { type Certificate, verifyX509Signature } from '#core/x509/certificate.js'
import { linkOf } from '#core/x509/digests.js'

/** Failures of verifying a chain. */
export type ChainCode =
  | 'chain/length'
  | 'chain/not-yet-valid'
  | 'chain/expired'
  | 'chain/issuer-name'
  | 'chain/not-a-ca'
  | 'chain/key-usage'
  | 'chain/path-length'
  | 'chain/signature'

/** A chain that has been verified, as one string: links already verified need not be verified again. */
export interface VerifiedLinks {
  has(link: string): boolean
  add(link: string): unknown
  /** false: nothing is kept, so that no link is worth its digest */
  readonly keeps?: boolean
  /** told of every signature that was verified now and found good, for callers who count */
  verified?(): void
}

/**
 * Verifies that each certificate of `chain` was issued by the next one and that the last one issued itself, that all
 * are valid at `at`, and that each issuer may issue.
 *
 * chain   leaf first, root last; 2 to 8 certificates
 * names   how messages call each certificate
 * links   remembers signatures that were found good; names, dates and constraints are read again each time
 * top     `verified`: that the last certificate signed itself is known, from another chain or since it is compiled in whole
 * trusts  that the caller pins the last certificate: a chain alone proves nothing
 * throws  chain/length, chain/not-yet-valid, chain/expired, chain/issuer-name, chain/not-a-ca, chain/key-usage,
 *         chain/path-length, chain/signature
 * source  RFC 5280, "Basic Path Validation"
 */
export async function verifyChain(
  chain: readonly Certificate[],
  names: readonly string[],
  at: UnixSeconds,
  links?: VerifiedLinks,
  top: 'verify' | 'verified' = 'verify',
): Promise<void> {
  if (chain.length < 2 || chain.length > chainLengthMax)
    throw new Failure<ChainCode>(
      'chain/length',
      `chain has ${chain.length} certificates, expected 2 to ${chainLengthMax}`,
    )
  const nameOf = (i: number) => names[i] ?? `certificate ${i}`
  verifyCurrent(chain, names, at)
  for (const [i, issuer] of chain.entries()) if (i > 0) verifyMayIssue(issuer, i - 1, nameOf(i))
  for (const [i, certificate] of chain.entries()) {
    const above = Math.min(i + 1, chain.length - 1)
    verifyIssuerName(certificate, chain[above]!, nameOf(i), nameOf(above))
  }
  // Signatures come last: everything above costs nothing.
  for (const [i, certificate] of chain.entries()) {
    const above = Math.min(i + 1, chain.length - 1)
    if (top === 'verified' && i === above) continue
    await verifyIssued(certificate, chain[above]!, nameOf(i), nameOf(above), links)
  }
}

/**
 * Returns only when every certificate of `chain` is valid at `at`: for a chain that was verified at another time.
 *
 * throws  chain/not-yet-valid, chain/expired
 * source  RFC 5280, "Validity"
 */
export function verifyCurrent(chain: readonly Certificate[], names: readonly string[], at: UnixSeconds): void {
  for (const [i, certificate] of chain.entries()) verifyDates(certificate, names[i] ?? `certificate ${i}`, at)
}

function verifyDates(certificate: Certificate, name: string, at: UnixSeconds): void {
  const { notBefore, notAfter } = certificate
  if (at < notBefore)
    throw new Failure<ChainCode>(
      'chain/not-yet-valid',
      `${name} is valid from ${formatTime(notBefore)}, verified at ${formatTime(at)}`,
    )
  if (at > notAfter)
    throw new Failure<ChainCode>(
      'chain/expired',
      `${name} was valid until ${formatTime(notAfter)}, verified at ${formatTime(at)}`,
    )
}

/** `below`: how many certificates that are not the leaf stand under this issuer. */
function verifyMayIssue(issuer: Certificate, below: number, name: string): void {
  if (!issuer.isCa) throw new Failure<ChainCode>('chain/not-a-ca', `${name} is not a certificate authority`)
  if (issuer.keyUsage && !issuer.keyUsage.certSign)
    throw new Failure<ChainCode>('chain/key-usage', `${name} may not sign certificates`)
  if (issuer.pathLengthMax !== undefined && below > issuer.pathLengthMax)
    throw new Failure<ChainCode>(
      'chain/path-length',
      `${name} allows ${issuer.pathLengthMax} authorities below it, found ${below}`,
    )
}

function verifyIssuerName(certificate: Certificate, issuer: Certificate, name: string, issuerName: string): void {
  if (!equal(certificate.issuer, issuer.subject))
    throw new Failure<ChainCode>('chain/issuer-name', `${name} names another issuer than ${issuerName}`)
}

async function verifyIssued(
  certificate: Certificate,
  issuer: Certificate,
  name: string,
  issuerName: string,
  links: VerifiedLinks | undefined,
): Promise<void> {
  // Invariant: the link names every byte that the verification reads, so a hit is the same verification.
  const link = links && links.keeps !== false ? linkOf(certificate, issuer) : undefined
  if (links && link && links.has(link)) return
  try {
    await verifyX509Signature(certificate.algorithm, issuer.spki, certificate.tbs, certificate.signature, name)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ChainCode>('chain/signature', `${name} was not signed by the key of ${issuerName}`, { cause })
  }
  links?.verified?.()
  if (links && link) links.add(link)
}
