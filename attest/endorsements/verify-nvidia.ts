import type { Facts, VerifyContext } from '#attest/endorsements/context.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { type CollateralName, type EndorsementCode, formatName } from '#attest/endorsements/names.js'
import { readRim, verifyRimChain } from '#attest/gpu/rim/rim.js'
import { toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'

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
  return {
    issuer,
    root,
    rootDigest: toHex(sha256(root.spki)),
    platform,
    crl: null,
    floor: null,
    edition: null,
    issuedAt: issuer.notBefore,
    nextUpdate: until,
  }
}
