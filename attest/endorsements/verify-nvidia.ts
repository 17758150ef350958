import type { Facts, VerifyContext } from '#attest/endorsements/context.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { type CollateralName, type EndorsementCode, formatName, type OcspName } from '#attest/endorsements/names.js'
import { rootPlatform } from '#attest/gpu/chain.js'
import type { GpuCode } from '#attest/gpu/codes.js'
import { readRim, verifyRimChain } from '#attest/gpu/rim/rim.js'
import { nvidiaRoots } from '#attest/gpu/roots.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { hasKeyForm } from '#core/crypto/spki.js'
import { Failure } from '#core/failure.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { verifyChain } from '#core/x509/chain.js'
import { verifyOcspAnswer } from '#core/x509/ocsp.js'
import { issuerId, parseOcsp } from '#core/x509/ocsp-answer.js'
import { ocspId } from '#core/x509/ocsp-request.js'

type RimName = Extract<CollateralName, { readonly kind: 'nvidia-rim' }>

/**
 * A reference integrity manifest that NVIDIA signed, about the version that its id ends with. Its certificates are inside.
 * Whether it is about a device is known beside the device's report only.
 *
 * throws  collateral/mismatch, gpu/rim-..., gpu/unknown-root, x509/..., chain/...
 */
export async function verifyRim(item: CollateralItem, name: RimName, context: VerifyContext): Promise<Facts> {
  const mismatch = (found: string) =>
    new Failure<EndorsementCode>('collateral/mismatch', `${formatName(name)}: ${found}`)
  if (item.chain.length > 0) throw mismatch('certificates beside it, expected all of them inside')
  const rim = await readRim(toBase64(item.body))
  const platform = await verifyRimChain(rim, context, context.at)
  const version = rim.version.toUpperCase()
  const ends = [`_${version}`, `_${version.replaceAll('.', '')}`]
  if (!ends.some((end) => name.id.toUpperCase().endsWith(end)))
    throw mismatch(`it is for version ${version.slice(0, 40)}`)
  const [issuer, root] = [rim.chain[0]!, rim.chain.at(-1)!]
  const until = Math.min(...rim.chain.map((one) => one.notAfter))
  const rootDigest = toHex(sha256(root.spki))
  return {
    issuer,
    root,
    rootDigest,
    platform,
    crl: null,
    floor: { kind: 'nvidia-rim', id: name.id, root: rootDigest, issuedAtMin: Math.min(issuer.notBefore, context.at) },
    edition: null,
    issuedAt: issuer.notBefore,
    nextUpdate: until,
  }
}

const chainNames = ['issuer of the certificate', 'certificate above it', 'certificate above that', 'root']

/** The certificates above the one that an answer is about: P-384, up to one of NVIDIA's roots or a simulated one. */
async function verifyAbove(item: CollateralItem, context: VerifyContext) {
  const chain = item.chain.map((der, i) => parseCertificate(der, chainNames[i]!, { times: 'any' }))
  const [issuer, root] = [chain[0], chain.at(-1)]
  if (!issuer || !root)
    throw new Failure<EndorsementCode>('collateral/mismatch', 'an OCSP answer without the certificates above it')
  const digest = toHex(sha256(root.spki))
  const platform = rootPlatform(
    root,
    digest === nvidiaRoots.rim ? nvidiaRoots.rim : nvidiaRoots.device,
    context,
    'the certificate that an OCSP answer is about',
  )
  for (const [i, one] of chain.entries()) {
    if (one.algorithm !== 'ES384' || !hasKeyForm('ES384', one.spki))
      throw new Failure<GpuCode>('gpu/certificate', `${chainNames[i]} is not on P-384`)
  }
  if (!issuer.isCa || issuer.keyUsage?.certSign === false)
    throw new Failure<GpuCode>('gpu/certificate', `${chainNames[0]} is no authority`)
  // The root alone is verified as its own issuer.
  await verifyChain(chain.length === 1 ? [root, root] : chain, chainNames, context.at, context.links)
  return { issuer, root, rootDigest: digest, platform, until: Math.min(...chain.map((one) => one.notAfter)) }
}

/**
 * An answer of NVIDIA's responders on the certificate of its name, good or revoked: signed by a responder that the issuer of
 * the certificate appointed, and current. An answer that says that the certificate is not known is none.
 *
 * throws  collateral/mismatch, gpu/unknown-root, gpu/certificate, x509/..., chain/..., ocsp/... but ocsp/revoked
 * source  RFC 6960, "Signed Response Acceptance Requirements"
 */
export async function verifyAnswer(item: CollateralItem, name: OcspName, context: VerifyContext): Promise<Facts> {
  const { until, ...above } = await verifyAbove(item, context)
  const parsed = parseOcsp(item.body)
  if (parsed.id !== ocspId(name) || !parsed.id.startsWith(issuerId(above.issuer)))
    throw new Failure<EndorsementCode>('collateral/mismatch', `${formatName(name)}: it is on another certificate`)
  const answer = await verifyOcspAnswer(parsed, above.issuer, context.at, 'OCSP answer', context.links)
  const revoked = answer.status !== 'good'
  const { issuerName, issuerKey, serial } = name
  const { thisUpdate: issuedAt, nextUpdate, responder } = answer
  // Of a clock that is ahead of ours it counts from now on: a floor of a later time would wait for it.
  const issuedAtMin = Math.min(issuedAt, context.at)
  return {
    ...above,
    crl: null,
    floor: revoked ? { kind: 'nvidia-revoked', issuerName, issuerKey, serial, issuedAtMin } : null,
    revoked,
    edition: null,
    issuedAt,
    nextUpdate: Math.min(nextUpdate, responder.notAfter, until),
  }
}
