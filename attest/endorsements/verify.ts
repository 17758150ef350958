import type { Facts, VerifyContext } from '#attest/endorsements/context.js'
import { type CollateralItem, type VerifiedItem, verifySizes } from '#attest/endorsements/item.js'
import { formatName } from '#attest/endorsements/names.js'
import { verifyAmd } from '#attest/endorsements/verify-amd.js'
import { verifyIntel } from '#attest/endorsements/verify-intel.js'
import { verifyAnswer, verifyRim } from '#attest/endorsements/verify-nvidia.js'

/**
 * The document is what its name says, its vendor signed it, and it is current at `context.at`. Whether it is older than
 * one that was seen before is the store's to know.
 *
 * throws  collateral/size, collateral/mismatch, collateral/root-crl-missing, dcap/..., snp/..., gpu/...,
 *         x509/..., chain/..., crl/..., ocsp/...
 */
export async function verifyItem(item: CollateralItem, context: VerifyContext): Promise<VerifiedItem> {
  verifySizes(item)
  const { name, body, chain } = item
  const facts = await factsOf(item, context)
  const { platform, crl, floor, edition, issuedAt } = facts
  return {
    name,
    body,
    chain,
    label: formatName(name),
    root: facts.rootDigest,
    platform,
    issuedAt,
    validUntil: Math.min(facts.nextUpdate, facts.issuer.notAfter, facts.root.notAfter),
    edition,
    floor,
    revoked: facts.revoked ?? false,
    crl,
  } as VerifiedItem
}

function factsOf(item: CollateralItem, context: VerifyContext): Promise<Facts> {
  const { name } = item
  switch (name.kind) {
    case 'amd-ask':
    case 'amd-crl':
    case 'amd-vcek':
      return verifyAmd(item, name, context)
    case 'nvidia-rim':
      return verifyRim(item, name, context)
    case 'nvidia-ocsp':
      return verifyAnswer(item, name, context)
    default:
      return verifyIntel(item, name, context)
  }
}
